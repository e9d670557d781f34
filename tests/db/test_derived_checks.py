"""What `lode db check` says when somebody switched triggers off, and that `lode db refresh` mends it."""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Connection

from db.checks import run_checks
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import RunLode
from tests.grids import CELL_M2, cells


def faults(conn: Connection[Any]) -> dict[str, list[str]]:
    """Faults by title, without the titles that have none; styles are for databases with clients."""
    found = {result.title: result.faults for result in run_checks(conn) if "QGIS" not in result.title}
    conn.commit()
    return {title: said for title, said in found.items() if said}


def test_what_happened_behind_the_triggers_is_found_and_mended(
    conn: Connection[Any], run_lode: RunLode
) -> None:
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("xxxx", "x"))
    mine = add_mine(conn, "M1", cells("xx", "x"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "ppdd")
    conn.commit()
    assert faults(conn) == {"Every scene has its tiles": [
        "scene one: its tile table lode_raster.drawn_one is gone"
    ]}  # fmt: skip
    conn.execute("alter table lode.mine disable trigger user")
    conn.execute("alter table lode.run disable trigger user")
    moved = cells("xxx", "x").wkt
    conn.execute(
        "update lode.mine set boundary = st_geomfromtext(%s, 4326) where mine_id = %s", (moved, mine)
    )
    add_mine(conn, "M2", cells("..xx", "x"))
    later = add_scene(conn, "two", date(2022, 6, 1), cells("xxxx", "x"))
    run = publish_drawing(conn, later, add_model(conn, "other"), 2022, "pppp")
    conn.commit()
    said = faults(conn)
    switched_off = {"run.derive", "run.hold", "mine.hold"}
    switched_off |= {f"mine.derive_{event}" for event in ("inserted", "updated", "deleted")}
    assert set(said["lode_api is complete"]) == {f"trigger {name} was switched off" for name in switched_off}
    assert said["Derived areas fit what they stand on"] == [
        "mine M1: its boundary changed after the areas of 2021 were derived",
        "mine M2: nothing was derived for it",
        f"run {run} stands for its scene, but nothing was derived for it",
    ]
    conn.execute("alter table lode.mine enable trigger user")
    conn.execute("alter table lode.run enable trigger user")
    conn.commit()
    done = run_lode("db", "refresh")
    assert done.returncode == 0, done.stderr
    assert "all 2 mines" in done.stdout
    assert faults(conn).keys() == {"Every scene has its tiles"}
    rows = conn.execute(
        "select mine_code, year, area_m2 from lode_api.damage_by_mine_year"
        " where land_class = 'open_pit' order by 1, 2"
    ).fetchall()
    assert [(code, year, round(area / CELL_M2, 4)) for code, year, area in rows] == [
        ("M1", 2021, 2), ("M1", 2022, 3), ("M2", 2021, 0), ("M2", 2022, 2),
    ]  # fmt: skip
