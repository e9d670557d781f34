"""Two mines that overlap, with scenes, labels and regions, to be edited; all that is derived from them."""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Connection

from db import accounting
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.db.test_accounting_properties import close, snapshot
from tests.grids import CELL_M2, cells
from tests.regions import add_region, derived

WHOLE = "xxxxxxxxxx\n" * 4
MINES = {"M1": "..........\n.xxx......\n.xxx......", "M2": "..........\n...xxx....\n...xxx...."}
DRAWN = {
    date(2021, 5, 1): "ppppddvvvp\nppddwwvvvp\nvvddpppvvb\nvvvvvvvvvb",
    date(2021, 9, 1): "..........\n....ppppdd\n....ppppdd\n....vvvvvv",
    date(2022, 6, 1): "ppppppvvvp\nvpddwwvvvp\nvpddpppvdd\nvvvvvvvddd",
    date(2023, 6, 1): "ppvvvvvvvp\nvpdddwvvvp\nvppppppvdd\nvvvvvvvddd",
}


def add_overlapping_mines(conn: Connection[Any]) -> None:
    """Two mines that overlap, two regions, four scenes of three years, labels in mines and outside."""
    for code, drawing in MINES.items():
        add_mine(conn, code, cells(drawing, "x"))
    add_region(conn, "county", "west", cells("xxxx......\n" * 4, "x"))
    add_region(conn, "county", "all", cells(WHOLE, "x"))
    licence = ewkb(cells("..........\n.x........", "x")).hex()
    conn.execute("update lode.mine set licence_boundary = %s::geometry where code = 'M1'", (licence,))
    model = add_model(conn, "net", (*range(8), 42))
    for day, drawing in DRAWN.items():
        scene = add_scene(conn, f"{day}", day, cells(WHOLE, "x"))
        publish_drawing(conn, scene, model, day.year, drawing)
    add_label(conn, 6, cells("......xx..", "x"), date(2021, 6, 1), is_counted=True)  # 1, outside mines
    add_label(conn, 8, cells("..........\n.xx.......", "x"), date(2021, 6, 1))  # 2, in a mine
    add_label(conn, 9, cells("..........\n..........\n..xxxx....", "x"), date(2022, 7, 1))  # 3, in both mines
    add_label(conn, 6, cells(".......xx.", "x"), date(2021, 7, 1), is_counted=True)  # 4, over 1
    conn.execute("insert into lode.report_period (from_year, to_year) values (2021, 2023)")


def everything(conn: Connection[Any]) -> dict[str, list[tuple[Any, ...]]]:
    """All that is derived, in an order that can be compared."""
    reasons = conn.execute(
        "select reason, reason_zh from lode.alert where is_current order by 1, 2"
    ).fetchall()
    regions = {f"region {name}": rows for name, rows in derived(conn).items()}
    return {**snapshot(conn), **regions, "reasons": reasons}


def assert_as_from_nothing(conn: Connection[Any], edit: str) -> None:
    """Assert that what triggers kept up equals deriving everything from nothing."""
    kept_up = everything(conn)
    assert kept_up["area"], edit
    accounting.derive_all(conn)
    close(kept_up, everything(conn))


def areas(conn: Connection[Any], code: str, land_class: str) -> dict[int, float]:
    """Cells of a class in a mine, by year."""
    rows = conn.execute(
        "select year, area_m2 from lode_api.damage_by_mine_year where mine_code = %s and land_class = %s"
        " and area_m2 is not null",
        (code, land_class),
    )
    return {year: round(area / CELL_M2, 3) for year, area in rows}


def calls(conn: Connection[Any], function: str) -> int:
    """How often this transaction called a function, after ``set local track_functions = 'pl'``."""
    row = conn.execute(
        "select calls from pg_stat_xact_user_functions where schemaname = 'lode_api' and funcname = %s",
        (function,),
    ).fetchone()
    return 0 if row is None else int(row[0])
