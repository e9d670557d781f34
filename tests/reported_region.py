"""Two regions side by side, a mine in one, a mine across their edge, a mine in the other, protected land.

Cells are 100 m (``tests.grids``); areas can be counted in the drawings::

    west      east
    012345    6789..
    vIIIEE    EEvOOO     I: mine inside; E: mine edge, half in each; O: mine outside of west
    vIIIEE    EEvOOO
    vvvvvv    vvvvvv
"""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Connection

from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import cells
from tests.regions import add_layer, add_region

YEARS = {
    2021: "vpvvpvpvvpvv\nvvvvvvvvvvpv\nvvvvvvvvvvvv",
    2022: "vppvppp.....\nvvvvvvv.....\nvvvvvvv.....",
}
"""2021: one cell of pit inside, two of edge (one in each region), two outside. 2022: one new cell inside, one
new of edge in the west; the last column of edge and all of the mine outside were not seen."""

MINES = {
    "inside": ".xxx\n.xxx",
    "edge": "....xxxx\n....xxxx",
    "outside": ".........xxx\n.........xxx",
}
REGIONS = {
    "west": "xxxxxx\nxxxxxx\nxxxxxx",
    "east": "......xxxxxx\n......xxxxxx\n......xxxxxx",
    "desert": "." * 30 + "xx",
}
FARMLAND = "....xxxxxxxx"
"""The first row of the mines edge and outside; the mine inside has none of it."""


def add_regions(conn: Connection[Any]) -> None:
    """Bring regions, mines and two years into an empty database."""
    for code, drawing in MINES.items():
        add_mine(conn, code, cells(drawing, "x"))
    conn.execute(
        "update lode.mine set licence_boundary = %s::geometry where code = 'edge'",
        (ewkb(cells("....x...\n....xxxx", "x")).hex(),),
    )
    for code, drawing in REGIONS.items():
        add_region(conn, "county", code, cells(drawing, "x"))
    add_layer(conn, "farmland", is_protected=True)
    add_region(conn, "farmland", "F1", cells(FARMLAND, "x"))
    model_id = add_model(conn, "net")
    for year, drawing in YEARS.items():
        scene_id = add_scene(conn, f"drawn {year}", date(year, 7, 1), cells(drawing, "vp"))
        publish_drawing(conn, scene_id, model_id, year, drawing)
    conn.commit()
