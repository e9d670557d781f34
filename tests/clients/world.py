"""A small district with a row in most published relations: two years, overlapping scenes, people's input."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection
from shapely import MultiPolygon

from db.qgis.styles import install_styles
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import cells
from tests.rasters import noise, write_table

EARLIER = """
vvvvvvvv
vppvddvv
vppvddvv
vvvvvvww
"""

# The same ground a year later, seen by two scenes: the eastern one is newer and owns what both saw.
LATER_WEST = """
vvvvvv..
pppvdd..
pppvtd..
vvvvvv..
"""
LATER_EAST = """
....bbbb
....dddb
....tdbb
....bbww
"""
LATER = """
vvvvbbbb
pppvdddb
pppvtdbb
vvvvbbww
"""
"""What the year map of the later year shows."""

EVERYWHERE = "\n".join("x" * 8 for _ in range(4))


@dataclass(frozen=True)
class World:
    """A connection to the district and its address."""

    conn: Connection[Any]
    url: str
    label_id: int


def fill_world(conn: Connection[Any], url: str) -> World:
    """Bring the district into an empty database."""
    model = add_model(conn, "net")
    mine = add_mine(conn, "M1", cells("xxxx\nxxxx\nxxxx\nxxxx", "x"))
    licence = cells("....\n.xx.\n.xx.\n....", "x")
    conn.execute(
        "update lode.mine set licence_boundary = %s::geometry where mine_id = %s", (ewkb(licence).hex(), mine)
    )
    add_mine(conn, "M2", cells("....xxxx\n....xxxx\n....xxxx\n....xxxx", "x"))
    _add_regions(conn)
    for product, day, drawing in (
        ("earlier", date(2021, 6, 1), EARLIER),
        ("west", date(2022, 6, 1), LATER_WEST),
        ("east", date(2022, 7, 1), LATER_EAST),
    ):
        footprint = cells(drawing, "vpdwtb")
        scene = add_scene(conn, product, day, footprint)
        write_table(conn, noise("uint16", 4, 70, 90), owner_id=scene, nodata=0, table=f"drawn_{product}")
        run = publish_drawing(conn, scene, model, day.year, drawing)
        shares = noise("uint8", 8, 70, 90)
        write_table(conn, shares, owner_id=run, nodata=255, parent="probability", table=f"probability_{run}")
    label = conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on, interpreter) values (6, %s::geometry,"
        " '2022-06-01', 'drawn') returning label_id",
        (ewkb(cells("....\n.xx.", "x")).hex(),),
    ).fetchone()
    assert label is not None
    _add_geology(conn)
    install_styles(conn)  # a copy under another name
    conn.commit()
    conn.execute("analyze")
    conn.commit()
    return World(conn, url, label[0])


def open_restored(conn: Connection[Any], url: str) -> World:
    """The district in a database restored from a dump, with what docs/operations.md does after that."""
    install_styles(conn)
    label = conn.execute("select label_id from lode.label").fetchone()
    assert label is not None
    conn.commit()
    conn.execute("analyze")
    conn.commit()
    return World(conn, url, label[0])


def _add_regions(conn: Connection[Any]) -> None:
    conn.execute("insert into lode.region_layer (key, name, name_zh) values ('county', 'Counties', '县')")
    conn.execute(
        "insert into lode.region (region_layer_id, code, name, name_zh, geom)"
        " select region_layer_id, 'C1', 'County one', '一县', %s::geometry from lode.region_layer",
        (ewkb(cells(EVERYWHERE, "x")).hex(),),
    )


def _add_geology(conn: Connection[Any]) -> None:
    ground: MultiPolygon = cells("xx", "x")
    conn.execute(
        "insert into lode.pluton (name, lithology, geom) values ('P', 'granite', %s::geometry)",
        (ewkb(ground).hex(),),
    )
    west, south, east, north = ground.bounds
    conn.execute(
        "insert into lode.fault (name, geom) values ('F', st_setsrid(st_multi(st_makeline("
        "st_makepoint(%s, %s), st_makepoint(%s, %s))), 4326))",
        (west, south, east, north),
    )
    conn.execute(
        "insert into lode.deposit (name, commodity, geom) values ('D', 'lithium',"
        " st_setsrid(st_makepoint(%s, %s), 4326))",
        ((west + east) / 2, (south + north) / 2),
    )
