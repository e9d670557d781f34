"""Chips show the pixels of scenes where they lie on the ground, whatever grid they were delivered on."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pyproj
import pytest
from PIL import Image
from psycopg import Connection

from db.reports.ground import chip_scenes
from db.reports.page_rows import mine_heads
from reporting.chips import Chip, make_chips
from reporting.view import LocalView
from tests.catalogue_rows import ewkb
from tests.grids import CELL_M, SRID, cells
from tests.reported_mine import CODE, YEARS, add_history

BRIGHT = {"p": (True, False, False), "v": (False, True, False), "l": (True, True, False)}


def pixels_of(chip: Chip) -> np.ndarray[Any, Any]:
    """RGBA ``(height, width, 4)`` of a chip."""
    data = base64.b64decode(chip.png.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


def made(conn: Connection[Any]) -> tuple[LocalView, dict[int, Chip]]:
    (head,) = mine_heads(conn, [CODE])
    view = LocalView.around(head.boundary, longest_px=200)
    return view, {chip.year: chip for chip in make_chips(conn, view, chip_scenes(conn, head.mine_id))}


def middle_of_cell(view: LocalView, row: int, col: int) -> tuple[int, int]:
    """Row and column of the chip's pixel at the middle of a drawn cell."""
    import shapely

    x, y = 500_000 + (col + 0.5) * CELL_M, 4_860_000 - (row + 0.5) * CELL_M
    point = view.to_pixels(
        shapely.Point(pyproj.Transformer.from_crs(SRID, 4326, always_xy=True).transform(x, y))
    )
    return int(point.y), int(point.x)


@pytest.mark.parametrize("srid", [SRID, 32646, 32644])
def test_every_cell_has_the_colour_that_was_drawn(conn: Connection[Any], srid: int) -> None:
    add_history(conn, srid_of={2022: srid, 2023: srid})
    view, chips = made(conn)
    assert list(chips) == [2021, 2022, 2023]
    for year, chip in chips.items():
        pixels = pixels_of(chip)
        assert pixels.shape == (chip.height_px, chip.width_px, 4)
        for row, line in enumerate(YEARS[year].splitlines()):
            for col, letter in enumerate(line):
                red, green, blue, opacity = pixels[middle_of_cell(view, row, col)]
                if letter == ".":
                    assert opacity == 0
                    continue
                assert opacity == 255
                if letter in BRIGHT:
                    assert tuple(value > 150 for value in (red, green, blue)) == BRIGHT[letter], (
                        year,
                        row,
                        col,
                    )


def test_years_are_stretched_alike(conn: Connection[Any]) -> None:
    """The pit has the same pixels in every year, whatever else was there."""
    add_history(conn)
    view, chips = made(conn)
    shown = {tuple(pixels_of(chip)[middle_of_cell(view, 1, 2)]) for chip in chips.values()}
    assert len(shown) == 1
    assert all(chip.is_comparable for chip in chips.values())


def test_another_unit_is_stretched_by_itself(conn: Connection[Any]) -> None:
    add_history(conn)
    conn.execute(
        "update lode.scene set processing_level = 'surface_reflectance', value_scale = 0.0001"
        " where product = 'drawn 2023'"
    )
    _view, chips = made(conn)
    assert {year: chip.is_comparable for year, chip in chips.items()} == {2021: True, 2022: True, 2023: False}


def test_a_scene_without_pixels_gives_no_chip(conn: Connection[Any]) -> None:
    add_history(conn, with_pixels=False)
    assert made(conn)[1] == {}


def test_under_a_cloud_the_other_scene_of_the_year_is_shown(conn: Connection[Any]) -> None:
    """The later scene lies on top, but where it saw cloud the earlier one counts and is what is shown."""
    from datetime import date

    from tests.catalogue_rows import add_model, add_scene, publish_drawing
    from tests.reported_mine import MINE, add_pixels

    add_history(conn)
    later = add_scene(conn, "later", date(2023, 8, 1), cells(MINE, "x"))
    add_pixels(conn, later, "llllll\n" * 6)
    publish_drawing(conn, later, add_model(conn, "other"), 2023, "llllll\n" * 6)
    cloud = ewkb(cells("x.....\nx.....", "x")).hex()
    conn.execute("update lode.scene set clouded = %s::geometry where scene_id = %s", (cloud, later))
    view, chips = made(conn)
    pixels = pixels_of(chips[2023])
    drawn_before = pixels_of(chips[2022])[middle_of_cell(view, 0, 0)]
    assert (pixels[middle_of_cell(view, 0, 0)] == drawn_before).all()
    red, green, blue, _opacity = pixels[middle_of_cell(view, 4, 0)]
    assert (red > 150, green > 150, blue > 150) == BRIGHT["l"]
    assert [scene.product for scene in chips[2023].scenes] == ["drawn 2023", "later"]
