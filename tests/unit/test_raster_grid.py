"""Tile arithmetic, against grids drawn small enough to count."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import UsageError
from db.raster import Grid, TileBatch, decode_tile
from db.raster.tiler import Tiler

# Tiles of 16 px on a grid of 40 x 35 px:
#   1 2 3      widths 16 16 8
#   4 5 6      heights 16 16 3
#   7 8 9
GRID = Grid(32645, 500000.0, 4860000.0, 2.0, 4.0, 40, 35)


def test_tiles_count_in_rows() -> None:
    assert (GRID.tiles_across(16), GRID.tiles_down(16)) == (3, 3)
    assert [GRID.tile_id(row, col, 16) for row in range(3) for col in range(3)] == list(range(1, 10))
    last = GRID.tile_box(9, 16)
    assert (last.row_px, last.col_px, last.height_px, last.width_px) == (32, 32, 3, 8)
    for outside in (0, 10):
        with pytest.raises(ValueError, match="outside"):
            GRID.tile_box(outside, 16)


@pytest.mark.parametrize(
    ("window", "rids"),
    [
        ((0, 0, 16, 16), [1]),
        ((15, 15, 2, 2), [1, 2, 4, 5]),
        ((-5, -5, 6, 6), [1]),
        ((30, 31, 100, 100), [5, 6, 8, 9]),
        ((-10, 0, 10, 5), []),
        ((35, 0, 4, 4), []),
        ((0, 40, 4, 4), []),
        ((-100, -100, 300, 300), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_tiles_of_a_window(window: tuple[int, int, int, int], rids: list[int]) -> None:
    assert [box.rid for box in GRID.tiles_in_window(*window, 16)] == rids


def test_positions_and_bounds() -> None:
    assert (GRID.x_of_col(3), GRID.y_of_row(2)) == (500006.0, 4859992.0)
    assert GRID.bounds(16) == (500000.0, 4859860.0, 500080.0, 4860000.0)


@given(
    st.floats(0.01, 100),
    st.floats(-1e6, 1e6),
    st.integers(1, 3000),
    st.sampled_from([16, 100, 256]),
)
def test_bounds_contain_every_tile(resolution: float, origin: float, side_px: int, tile_px: int) -> None:
    grid = Grid(32645, origin, origin, resolution, resolution, side_px, side_px)
    west, south, east, north = grid.bounds(tile_px)
    for rid in {1, grid.tiles_across(tile_px), grid.tiles_across(tile_px) * grid.tiles_down(tile_px)}:
        box = grid.tile_box(rid, tile_px)
        left, top = grid.x_of_col(box.col_px), grid.y_of_row(box.row_px)
        # As PostGIS reckons the envelope of a tile.
        assert west <= left
        assert resolution * box.width_px + left <= east
        assert top <= north
        assert -resolution * box.height_px + top >= south


def test_overviews_cover_partial_pixels() -> None:
    assert GRID.overview(4) == replace(GRID, resolution_x=8.0, resolution_y=16.0, width_px=10, height_px=9)
    assert GRID.overview(1) == GRID
    assert GRID.overview_factors(16) == (2, 4)
    assert GRID.overview_factors(40) == ()
    assert replace(GRID, width_px=10**6).overview_factors(16)[-1] == 1024


@pytest.mark.parametrize(
    "change",
    [
        {"resolution_x": 0.0},
        {"resolution_y": -2.0},
        {"origin_x": math.nan},
        {"resolution_x": math.inf},
        {"width_px": 0},
        {"height_px": -1},
        {"srid": 0},
    ],
)
def test_impossible_grids_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="grid"):
        replace(GRID, **change)


def tiler(
    grid: Grid, nodata: float | tuple[float, float] | None = 0, factors: tuple[int, ...] = (2, 4)
) -> Tiler:
    return Tiler(
        grid,
        dtype=np.dtype(np.uint8),
        nodata=nodata if isinstance(nodata, tuple) else (nodata, nodata),
        tile_px=16,
        overview_factors=factors,
        resampling="nearest",
    )


def collected(batches: list[TileBatch]) -> dict[tuple[int, int], bytes]:
    return {(batch.factor, tile.rid): bytes(tile.wkb) for batch in batches for tile in batch.tiles}


@given(st.lists(st.integers(1, 35), min_size=1), st.integers(1, 40), st.randoms(use_true_random=False))
def test_strips_of_any_height_make_the_same_tiles(heights: list[int], width: int, random: Any) -> None:
    grid = replace(GRID, width_px=width)
    pixels = np.random.default_rng(random.randrange(99)).integers(0, 9, (2, 35, width), dtype=np.uint8)
    at_once = collected(tiler(grid).push(pixels))
    pieces = tiler(grid)
    batches: list[TileBatch] = []
    top = 0
    for height in [*heights, 35]:
        height = min(height, 35 - top)
        if height:
            strip = pixels[:, top : top + height].copy()
            batches += pieces.push(strip)
            strip[...] = 77  # the caller may use its array again
            top += height
    assert pieces.rows_left == 0
    assert collected(batches) == at_once


def test_tiles_hold_the_pixels_of_their_place() -> None:
    pixels = np.arange(2 * 35 * 40, dtype=np.uint16).reshape(2, 35, 40).astype(np.uint8) | 1
    tiles = collected(tiler(GRID).push(pixels))
    assert {rid for factor, rid in tiles if factor == 1} == set(range(1, 10))
    for (factor, rid), wkb in tiles.items():
        grid = GRID.overview(factor)
        box = grid.tile_box(rid, 16)
        tile = decode_tile(wkb)
        level = pixels[:, ::factor, ::factor]
        expected = level[:, box.row_px : box.row_px + 16, box.col_px : box.col_px + 16]
        np.testing.assert_array_equal(tile.pixels, expected)
        assert (tile.origin_x, tile.origin_y) == (grid.x_of_col(box.col_px), grid.y_of_row(box.row_px))
        assert tile.resolution_x == grid.resolution_x


def test_empty_tiles_are_left_out() -> None:
    pixels = np.zeros((2, 35, 40), np.uint8)
    pixels[1, 20, 20] = 5  # in tile 5, in its second band only
    tiles = collected(tiler(GRID, factors=()).push(pixels))
    assert set(tiles) == {(1, 5)}
    assert empty(tiler(GRID, factors=()).push(pixels)) == set()
    assert set(collected(tiler(GRID, nodata=None, factors=()).push(pixels))) == {
        (1, rid) for rid in range(1, 10)
    }


def empty(batches: list[TileBatch]) -> set[tuple[int, int]]:
    return {(batch.factor, rid) for batch in batches for rid in batch.empty}


@pytest.mark.parametrize("nodata", [(7, 7), (0, 7), (7, 0)])
def test_empty_tiles_are_named_where_a_client_would_show_0(nodata: tuple[int, int]) -> None:
    pixels = np.zeros((2, 35, 40), np.uint8) + np.array(nodata, np.uint8)[:, np.newaxis, np.newaxis]
    pixels[1, 20, 20] = 5  # in tile 5 of the raster, and in tiles 1 of the overviews
    batches = tiler(GRID, nodata=nodata).push(pixels)
    assert set(collected(batches)) == {(1, 5), (2, 1), (4, 1)}
    assert empty(batches) == {(1, rid) for rid in range(1, 10) if rid != 5} | {(2, rid) for rid in (2, 3, 4)}


def test_a_raster_without_valid_pixels_keeps_one_tile() -> None:
    pieces = tiler(GRID)
    batches = pieces.push(np.zeros((2, 20, 40), np.uint8)) + pieces.push(np.zeros((2, 15, 40), np.uint8))
    assert collected(batches) == {}
    assert empty(batches) == {(1, 1), (2, 1), (4, 1)}


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [
        ((3, 5, 40), "uint8", "2 bands"),
        ((2, 5, 41), "uint8", "width of 40"),
        ((5, 40), "uint8", "shape"),
        ((2, 5, 40), "uint16", "type uint16"),
        ((2, 36, 40), "uint8", "36 rows were given where 35 are left"),
    ],
)
def test_rows_that_do_not_fit_are_refused(shape: tuple[int, ...], dtype: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        tiler(GRID).push(np.zeros(shape, dtype))
