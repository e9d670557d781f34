"""Blocks and their split: what is held out is ground, polygons are not divided, classes are balanced."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from inference.training.blocks import (
    TEST,
    TRAIN,
    VALIDATION,
    BlockGrid,
    LabelledPixels,
    Split,
    block_key,
    block_place,
    default_edge_m,
)
from inference.training.label_maps import LabelMap, label_map
from inference.training.split import check_split, make_split, pixels_by_part
from inference.training.split_search import search_split

GRID = Grid(32645, 500_000.0, 4_860_000.0, 10.0, 10.0, 12, 4)
BLOCKS = BlockGrid(32645, 40.0)  # 4 x 4 pixels
WEST, MIDDLE, EAST = (block_key(12_500 + place, 121_499) for place in range(3))


def drawn(*rows: str) -> LabelMap:
    """Polygons as digits, all of class 6 but polygon 9 of class 0; dots are unlabelled."""
    polygons = np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.int32)
    return LabelMap(np.where(polygons == 0, 255, np.where(polygons == 9, 0, 6)).astype(np.uint8), polygons)


@given(st.integers(-1_000_000, 1_000_000), st.integers(-3_000_000, 3_000_000))
def test_keys_of_blocks_go_both_ways(col: int, row: int) -> None:
    assert block_place(block_key(col, row)) == (col, row)


def test_polygons_are_not_divided_between_parts() -> None:
    labels = drawn("1111112.....", "......2.9...", "......2...3.", "......22....")
    pixels = LabelledPixels.of_scene(labels, GRID, BLOCKS)
    split = Split(BLOCKS, {WEST: TRAIN, MIDDLE: TEST, EAST: VALIDATION})
    expected = np.full((4, 12), 255)
    expected[0, :4] = TRAIN  # most of polygon 1 lies here; its rest in the test block is not used
    expected[0, 6] = expected[1, 6] = expected[2, 6] = expected[3, 6] = expected[3, 7] = TEST
    expected[1, 8] = expected[2, 10] = VALIDATION
    np.testing.assert_array_equal(split.mask(pixels, GRID), expected)
    together = Split(BLOCKS, {WEST: TRAIN, MIDDLE: TRAIN, EAST: VALIDATION})
    assert (together.mask(pixels, GRID)[0, :7] == TRAIN).all()


def test_of_two_equal_halves_the_home_does_not_depend_on_the_order() -> None:
    pixels = LabelledPixels.of_scene(drawn("..1111......", *["." * 12] * 3), GRID, BLOCKS)
    assert set(pixels.homes.tolist()) == {WEST}


def test_blocks_that_held_no_label_are_not_used() -> None:
    pixels = LabelledPixels.of_scene(drawn("1...2.......", *["." * 12] * 3), GRID, BLOCKS)
    mask = Split(BLOCKS, {WEST: TEST}).mask(pixels, GRID)
    assert mask[0, 0] == TEST
    assert mask[0, 4] == 255


def test_a_scene_of_another_zone_falls_into_the_same_blocks() -> None:
    """UTM 45 and 44 meet at 84 E; the same ground must be the same block."""
    import pyproj

    lon, lat = 84.001, 43.9
    keys = []
    for srid in (32644, 32645):
        x, y = pyproj.Transformer.from_crs(4326, srid, always_xy=True).transform(lon, lat)
        grid = Grid(srid, x - 5, y + 5, 10.0, 10.0, 1, 1)
        blocks = BlockGrid(32645, 200.0)
        keys.append(int(blocks.keys_of_pixels(grid, np.array([0]), np.array([0]))[0]))
    assert keys[0] == keys[1]


def test_a_split_survives_storage() -> None:
    split = Split(BLOCKS, {block_key(-3, 7): TRAIN, WEST: VALIDATION, EAST: TEST})
    assert Split.from_json(json.loads(json.dumps(split.as_json()))) == split
    with pytest.raises(UsageError, match="cannot be read"):
        Split.from_json({"srid": 32645, "edge_m": 40.0, "blocks": [[1, 2, "nowhere"]]})


@st.composite
def label_counts(draw: st.DrawFn) -> NDArray[np.int64]:
    blocks, classes = draw(st.integers(3, 30)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return rng.integers(1, 500, (blocks, classes)) * (rng.random((blocks, classes)) < 0.4)


@given(label_counts(), st.integers(0, 5))
def test_a_class_of_three_blocks_alone_is_in_all_parts(counts: NDArray[np.int64], seed: int) -> None:
    counts = np.column_stack((counts, np.zeros(len(counts), np.int64)))
    counts[:3, -1] = 100
    counts[:3, :-1] = 0  # no other class competes for these blocks
    parts = search_split(counts, seed)
    assert set(parts[:3].tolist()) == {TRAIN, VALIDATION, TEST}


def test_with_enough_blocks_all_classes_are_near_6_2_2() -> None:
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 500, (100, 5)) * (rng.random((100, 5)) < 0.5)
    parts = search_split(counts, 1)
    for part, share in ((TRAIN, 0.6), (VALIDATION, 0.2), (TEST, 0.2)):
        np.testing.assert_allclose(counts[parts == part].sum(axis=0) / counts.sum(axis=0), share, atol=0.03)


def test_rare_classes_go_to_training_first_then_to_test() -> None:
    counts = np.zeros((12, 3), np.int64)
    counts[:, 0] = 100
    counts[4, 1] = 50
    counts[7:9, 2] = 50
    parts = search_split(counts, 1)
    assert parts[4] == TRAIN
    assert set(parts[7:9].tolist()) == {TRAIN, TEST}


def test_the_same_seed_gives_the_same_split() -> None:
    counts = np.random.default_rng(1).integers(0, 50, (40, 4))
    np.testing.assert_array_equal(search_split(counts, 4), search_split(counts, 4))


@pytest.mark.parametrize(
    ("extent_m2", "resolution_m", "edge_m"),
    [
        (4000.0 * 4000, 10.0, 500.0),
        (2000.0 * 2400, 2.0, 200.0),
        (100.0 * 100, 10.0, 100.0),
        (1e8, 2.0, 1000.0),
    ],
)
def test_the_default_edge_follows_the_extent(extent_m2: float, resolution_m: float, edge_m: float) -> None:
    assert default_edge_m(extent_m2, resolution_m) == pytest.approx(edge_m)


def test_a_split_of_scenes_uses_every_class_and_no_block_twice() -> None:
    rng = np.random.default_rng(5)
    polygons = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((10, 10), int)).astype(np.int32)
    classes = rng.choice(np.array([0, 1, 6], np.uint8), 401)[polygons]
    grid = Grid(32645, 500_000.0, 4_860_000.0, 10.0, 10.0, 200, 200)
    split, pixels = make_split([(LabelMap(classes, polygons), grid)] * 2, None, 1)
    counts = pixels_by_part([(scene, split.part_of_pixels(scene)) for scene in pixels])
    check_split(counts, split.grid.edge_m)
    assert (counts[:, [0, 1, 6]] > 0).all()
    assert counts[:, [2, 3, 4, 5, 7]].sum() == 0
    first, second = (split.mask(scene, grid) for scene in pixels)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("counts", "message"),
    [([[5, 0], [5, 0], [5, 0]], "at least two classes"), ([[5, 5], [0, 0], [5, 5]], "validation"),
     ([[5, 5], [5, 5], [0, 0]], "left for test")],
)  # fmt: skip
def test_a_split_that_cannot_be_judged_is_refused(counts: list[list[int]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_split(np.array(counts), 200.0)


def test_labels_are_drawn_by_pixel_centres_and_later_ones_win() -> None:
    import pyproj

    to_wgs84 = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)

    def box(west: float, south: float, east: float, north: float) -> shapely.Geometry:
        planar = shapely.box(
            *(500_000 + 10 * west, 4_860_000 - 10 * south), 500_000 + 10 * east, 4_860_000 - 10 * north
        )
        return shapely.transform(planar, lambda xy: np.column_stack(to_wgs84.transform(*xy.T)))

    labels = label_map([6, 1, 9], [box(0, 0, 4.6, 4), box(3, 0, 6, 2), box(0, 3, 2, 4)], GRID)
    expected = np.full((4, 12), 255)
    expected[:, :5] = 6
    expected[:2, 3:6] = 1
    expected[3, :2] = 255  # treated land: no network answers it
    np.testing.assert_array_equal(labels.classes, expected)
    np.testing.assert_array_equal(labels.polygons > 0, expected != 255)
