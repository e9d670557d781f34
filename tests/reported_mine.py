"""A mine with a hard name and a history of three years, drawn so that its areas can be counted by hand.

Cells are 100 m (``tests.grids``). Scenes have pixels: every class has a colour of its own, so that a chip
shows at each place what was drawn there.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyproj
from psycopg import Connection

from db.raster import Grid, RasterWriter
from tests.catalogue_rows import CODES, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import CELL_M, SRID, cells

CODE = "M'1\"<i>"
NAME = (
    "\"><script>document.title = 'taken'</script><img src=x onerror=alert(1)> {{ 7 * 7 }} O'Brien & "
    "红山露天煤矿有限责任公司"
)
"""More than 64 bytes, with everything that HTML, SQL and templates give a meaning to."""

YEARS = {
    2021: "bbbbbb\nbppbbb\nbppddb\nbbbddb\nbbbbbb\nvvvvvv",
    2022: "bbbbbb\nbpppbb\nbpppdb\nbbbbbb\nbbbb..\nvvvv..",
    2023: "bbbbbb\nbpppbb\nbpppvv\nbbbbvv\nbbbbll\nvvvvll",
}
"""2021: four cells of pit and four of dump. 2022: one new cell of pit, one of dump became pit, two of dump
were treated, and four cells of the corner were not seen."""

MINE = "xxxxxx\nxxxxxx\nxxxxxx\nxxxxxx\nxxxxxx\nxxxxxx"
LICENCE = "xxxxx.\nxxxxx.\nxxxxx.\nxxxxx.\nxxxxx.\nxxxxx."

COLOURS = {
    "b": (900, 800, 700),
    "p": (3000, 300, 300),
    "d": (1500, 1200, 200),
    "v": (300, 2500, 400),
    "l": (2800, 2800, 300),
}
"""Stored red, green and blue of drawn classes."""

PIXEL_M = 10.0
NODATA = 0


def add_history(
    conn: Connection[Any], *, with_pixels: bool = True, srid_of: dict[int, int] | None = None
) -> None:
    """Publish the three years of the mine; ``srid_of`` stores a year's pixels in another UTM zone."""
    mine_id = add_mine(conn, CODE, cells(MINE, "x"))
    conn.execute(
        "update lode.mine set name = %s, mineral = 'coal', licence_boundary = %s::geometry"
        " where mine_id = %s",
        (NAME, ewkb(cells(LICENCE, "x")).hex(), mine_id),
    )
    model_id = add_model(conn, "net <b>")
    for year, drawing in YEARS.items():
        letters = "".join(CODES)
        scene_id = add_scene(conn, f"drawn {year}", date(year, 7, 1), cells(drawing, letters))
        if with_pixels:
            add_pixels(conn, scene_id, drawing, (srid_of or {}).get(year, SRID))
        publish_drawing(conn, scene_id, model_id, year, drawing)
    conn.commit()


def add_pixels(conn: Connection[Any], scene_id: int, drawing: str, srid: int = SRID) -> None:
    """Store the scene's pixels: blue, green, red and near infrared of 10 m, nodata where nothing is drawn."""
    lines = drawing.splitlines()
    west, north = 500_000.0, 4_860_000.0
    grid = Grid(SRID, west, north, PIXEL_M, PIXEL_M, 60, 60)
    if srid != SRID:
        xs, ys = pyproj.Transformer.from_crs(SRID, srid, always_xy=True).transform(
            [west, west + 600, west, west + 600], [north, north, north - 600, north - 600]
        )
        side = round((max(xs) - min(xs)) / PIXEL_M) + 2
        grid = Grid(srid, min(xs), max(ys), PIXEL_M, PIXEL_M, side, round((max(ys) - min(ys)) / PIXEL_M) + 2)
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * PIXEL_M
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * PIXEL_M
    east, up = pyproj.Transformer.from_crs(srid, SRID, always_xy=True).transform(*np.meshgrid(x, y))
    col, row = np.floor((east - west) / CELL_M).astype(int), np.floor((north - up) / CELL_M).astype(int)
    pixels = np.full((4, grid.height_px, grid.width_px), NODATA, np.uint16)
    for at_row, line in enumerate(lines):
        for at_col, letter in enumerate(line):
            if letter in COLOURS:
                red, green, blue = COLOURS[letter]
                there = (row == at_row) & (col == at_col)
                for band, value in enumerate((blue, green, red, 1000)):
                    pixels[band][there] = value
    table = f"scene_{scene_id}"
    writer = RasterWriter(
        conn, parent="scene_tile", table=table, owner_id=scene_id, grid=grid, dtype=pixels.dtype,
        band_count=4, nodata=NODATA, tile_px=64,
    )  # fmt: skip
    writer.write_rows(pixels)
    writer.finish()
    conn.execute("update lode.scene set tile_table = %s where scene_id = %s", (table, scene_id))
