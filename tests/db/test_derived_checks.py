"""What `lode db check` says of edits that no trigger saw, and that `lode db refresh` mends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from psycopg import Connection

from db import accounting
from db.checks import run_checks
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.conftest import RunLode
from tests.grids import CELL_M2, cells

DERIVED = "Derived areas fit what they stand on"


def faults(conn: Connection[Any]) -> dict[str, list[str]]:
    """Faults by title, without the titles that have none; styles are for databases with clients."""
    found = {result.title: result.faults for result in run_checks(conn) if "QGIS" not in result.title}
    return {title: said for title, said in found.items() if said}


@contextmanager
def unseen(conn: Connection[Any]) -> Iterator[None]:
    """Write as a replica or a restore does: no trigger of ours fires, and every one is switched on."""
    conn.execute("set local session_replication_role = replica")
    yield
    conn.execute("set local session_replication_role = origin")


def test_what_happened_behind_the_triggers_is_found_and_mended(
    conn: Connection[Any], run_lode: RunLode
) -> None:
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("xxxx", "x"))
    mine = add_mine(conn, "M1", cells("xx", "x"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "ppdd")
    conn.commit()
    assert faults(conn) == {"Every scene, layer and search has its tiles": [
        "scene one: its tile table lode_raster.drawn_one is gone"
    ]}  # fmt: skip
    conn.execute("alter table lode.mine disable trigger user")
    conn.execute("alter table lode.run disable trigger user")
    switched_off = {
        f"{table}.{name}"
        for table, name in conn.execute(
            "select tgrelid::regclass::text, tgname from pg_trigger where tgenabled = 'D'"
        )
    }
    assert {"lode.run.derive", "lode.mine.hold", "lode.mine.derive_updated"} < switched_off
    moved = cells("xxx", "x").wkt
    conn.execute(
        "update lode.mine set boundary = st_geomfromtext(%s, 4326) where mine_id = %s", (moved, mine)
    )
    add_mine(conn, "M2", cells("..xx", "x"))
    later = add_scene(conn, "two", date(2022, 6, 1), cells("xxxx", "x"))
    run = publish_drawing(conn, later, add_model(conn, "other"), 2022, "pppp")
    conn.commit()
    said = faults(conn)
    assert set(said["lode_api is complete"]) == {
        f"trigger {name.removeprefix('lode.')} was switched off" for name in switched_off
    }
    assert said[DERIVED] == [
        "mine M1: its boundary, licence or code changed after its areas were derived",
        "mine M2: nothing was derived for it",
        f"run {run} stands for its scene, but nothing was derived for it",
    ]
    conn.execute("alter table lode.mine enable trigger user")
    conn.execute("alter table lode.run enable trigger user")
    conn.commit()
    done = run_lode("db", "refresh")
    assert done.returncode == 0, done.stderr
    assert "all 2 mines" in done.stdout
    assert faults(conn).keys() == {"Every scene, layer and search has its tiles"}
    rows = conn.execute(
        "select mine_code, year, area_m2 from lode_api.damage_by_mine_year"
        " where land_class = 'open_pit' order by 1, 2"
    ).fetchall()
    assert [(code, year, round(area / CELL_M2, 4)) for code, year, area in rows] == [
        ("M1", 2021, 2), ("M1", 2022, 3), ("M2", 2021, 0), ("M2", 2022, 2),
    ]  # fmt: skip


MINE = "mine M1: its boundary, licence or code changed after its areas were derived"
OWNS = "run 1 owns ground, but it does not stand for its scene, or a newer version replaced that"
LABEL = "label 1: the ground that it decides is not what it says now"
UNSEEN: list[tuple[str, str]] = [
    ("update lode.mine set boundary = st_translate(boundary, 1, 0) where code = 'M1'", MINE),
    ("update lode.mine set boundary = st_reverse(boundary) where code = 'M1'", MINE),
    ("update lode.mine set licence_boundary = boundary where code = 'M1'", MINE),
    ("update lode.mine set code = 'M3' where code = 'M1'", MINE.replace("M1", "M3")),
    ("update lode.run set is_current = false, status = 'withdrawn' where run_id = 1", OWNS),
    ("update lode.scene set superseded_by = 2 where scene_id = 1", OWNS),
    (
        "update lode.scene set acquired_on = '2019-01-01' where scene_id = 1",
        "run 1: the day of its scene lies in another year than its areas",
    ),
    ("update lode.label set geom = st_translate(geom, 0.001, 0) where label_id = 1", LABEL),
    ("update lode.label set land_class_code = 9 where label_id = 1", LABEL),
    ("update lode.label set land_class_code = 6 where label_id = 1", LABEL),
    ("update lode.label set valid_on = '2022-01-01' where label_id = 1", LABEL),
    ("update lode.label set is_counted = true where label_id = 3", LABEL.replace("1", "3")),
    ("delete from lode.label where label_id = 1", LABEL),
]


def test_edits_that_no_trigger_saw_are_found_and_mended(conn: Connection[Any]) -> None:
    """Overlapping mines, scenes of two years, labels one over the other, and one that only trains."""
    model = add_model(conn, "net")
    for year in (2021, 2022):
        scene = add_scene(conn, f"{year}", date(year, 6, 1), cells("xxxxxx\n" * 3, "x"))
        publish_drawing(conn, scene, model, year, "ppddvv\nppddvv\nwwppbb")
    add_mine(conn, "M1", cells("xxxx..\nxxxx..", "x"))
    add_mine(conn, "M2", cells("..xxxx\n..xxxx", "x"))
    add_label(conn, 8, cells("....xx", "x"), date(2021, 6, 1))
    add_label(conn, 8, cells("......\nxx....\n.x....", "x"), date(2021, 7, 1))
    add_label(conn, 6, cells(".....x", "x"), date(2021, 8, 1))
    add_label(conn, 9, cells("......\n.xx...", "x"), date(2021, 9, 1))
    assert DERIVED not in faults(conn)
    for edit, said in UNSEEN:
        with conn.transaction(force_rollback=True):
            with unseen(conn):
                conn.execute(edit)
            found = faults(conn)
            assert found[DERIVED] == [said], edit
            assert "lode_api is complete" not in found, "the triggers themselves are in order"
            accounting.derive_all(conn)
            assert DERIVED not in faults(conn), edit


def test_long_edges_of_overlapping_mines_are_no_fault(conn: Connection[Any]) -> None:
    """Where another mine cuts a long edge, its two halves enclose another area than the whole."""
    for code, west in (("A", 84.0), ("B", 85.5)):
        conn.execute(
            "insert into lode.mine (code, name, boundary)"
            " select %s, 'long', st_multi(st_makeenvelope(%s, 43, %s, 44, 4326))",
            (code, west, west + 2),
        )
    publish_drawing(
        conn, add_scene(conn, "one", date(2021, 6, 1), cells("x", "x")), add_model(conn, "net"), 2021, "p"
    )
    row = conn.execute(
        "select max(abs(z.area_m2 / st_area(m.boundary::geography) - 1)) from lode.mine m join ("
        " select mine_id, sum(area_m2) as area_m2 from lode.mine_zone group by mine_id) z using (mine_id)"
    ).fetchone()
    assert row is not None
    assert row[0] > 1e-6, "the case is the one that gave the false alarm"
    assert DERIVED not in faults(conn)
    licence = ewkb(cells("x", "x")).hex()
    conn.execute("update lode.mine set licence_boundary = %s::geometry", (licence,))
    assert DERIVED not in faults(conn)
