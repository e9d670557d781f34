"""Sample sets: every polygon in a window, parts apart on the ground, classes 6:2:2, the same by seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from inference.samples.balance import (
    balance_warnings,
    balanced_windows,
    check_counts,
)
from inference.samples.leaks import Windows, close_pairs, outlines, without_leaks
from inference.samples.parts import parts_of_groups
from inference.samples.pieces import Pieces, grouped, joined_mines, pieces_of_scene
from inference.samples.settings import SampleSettings
from inference.samples.windows import Placed, place_windows
from inference.segmentation_model import CLASS_CODES
from inference.training.blocks import TEST, TRAIN, VALIDATION, BlockGrid
from inference.training.label_maps import LabelMap

SRID = 32645
TILE_PX = 32
NAMES = {code: f"class_{code}" for code in CLASS_CODES}


def grid_at(
    col: float = 0, row: float = 0, *, size: int = 400, resolution: float = 10.0, srid: int = SRID
) -> Grid:
    """A square scene whose corner lies some pixels of 10 m east and south of (500 km, 4,860 km)."""
    return Grid(srid, 500_000 + 10 * col, 4_860_000 - 10 * row, resolution, resolution, size, size)


def windows_of(*rows: tuple[int, int, int, int], side: int = TILE_PX) -> Windows:
    """Windows from (scene, row, col, part)."""
    table = np.array(rows, np.int64)
    first = table[:, 1:3]
    return Windows(table[:, 0], np.column_stack((first, first + side)), table[:, 3])


def scattered(rng: np.random.Generator, grid: Grid, count: int, largest: int = 20) -> LabelMap:
    """Rectangles of random place, size and class 0, 1 or 6; a few of class 7; later ones on top."""
    polygons = np.zeros((grid.height_px, grid.width_px), np.int32)
    classes = np.full(polygons.shape, 255, np.uint8)
    for number in range(1, count + 1):
        height, width = rng.integers(2, largest, 2)
        row, col = rng.integers(0, grid.height_px - height), rng.integers(0, grid.width_px - width)
        polygons[row : row + height, col : col + width] = number
        classes[row : row + height, col : col + width] = 7 if number % 17 == 0 else rng.choice([0, 1, 6])
    return LabelMap(classes, polygons)


def cut(maps: list[tuple[LabelMap, Grid]], edge_m: float, gap_m: float) -> Pieces:
    """Pieces of scenes without mines; every polygon of every scene is a label of its own."""
    blocks = BlockGrid(SRID, edge_m)
    scenes = []
    for number, (drawn, grid) in enumerate(maps):
        keys = 1000 * number + np.arange(1, drawn.polygons.max() + 1, dtype=np.int64)
        scenes.append(pieces_of_scene(drawn, keys, grid, blocks, TILE_PX, gap_m / 2 + 10, frozenset()))
    return grouped(scenes, {})


def placed_of(maps: list[tuple[LabelMap, Grid]], pieces: Pieces, seed: int, gap_m: float) -> Placed:
    return place_windows(pieces, parts_of_groups(pieces, seed), [grid for _map, grid in maps], TILE_PX, gap_m)


def planar(window: NDArray[np.int64], grid: Grid) -> shapely.Polygon:
    top, left, bottom, right = window
    return shapely.box(grid.x_of_col(left), grid.y_of_row(bottom), grid.x_of_col(right), grid.y_of_row(top))


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 1000),
    st.sampled_from([0.0, 10.0, 50.0, 130.0]),
    st.integers(-200, 200),
    st.integers(-200, 200),
)
def test_no_window_of_two_parts_comes_near_in_any_scene(seed: int, gap_m: float, col: int, row: int) -> None:
    """Two scenes that overlap by any offset, with labels of their own: two years."""
    rng = np.random.default_rng(seed)
    maps = [(scattered(rng, grid, 60), grid) for grid in (grid_at(), grid_at(col, row))]
    pieces = cut(maps, 700.0, gap_m)
    windows = placed_of(maps, pieces, seed, gap_m).windows
    shapes = [planar(box, maps[scene][1]) for scene, box in zip(windows.scenes, windows.boxes, strict=True)]
    for part in (TRAIN, VALIDATION, TEST):
        ours, others = (
            shapely.union_all([s for s, p in zip(shapes, windows.parts, strict=True) if (p == part) == same])
            for same in (True, False)
        )
        if ours.is_empty or others.is_empty:
            continue
        distance = shapely.distance(ours, others)
        assert distance > 0
        assert distance >= gap_m - 1e-6
    assert (windows.boxes[:, :2] >= 0).all()
    assert (windows.boxes[:, 2:] <= 400).all()
    assert (windows.boxes[:, 2:] - windows.boxes[:, :2] == TILE_PX).all()
    rows = np.column_stack((windows.scenes, windows.boxes))
    assert len(np.unique(rows, axis=0)) == len(windows)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000))
def test_every_polygon_lies_in_a_window_of_its_part_or_is_counted_as_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = [(scattered(rng, grid_at(), 60), grid_at())]
    pieces = cut(maps, 700.0, 50.0)
    parts = parts_of_groups(pieces, seed)
    placed = place_windows(pieces, parts, [grid_at()], TILE_PX, 50.0)
    for place, (top, left, bottom, right) in enumerate(pieces.boxes.tolist()):
        boxes = placed.windows.boxes[placed.windows.parts == parts[pieces.groups[place]]]
        inside = (boxes[:, :2] <= (top, left)).all(axis=1) & (boxes[:, 2:] >= (bottom, right)).all(axis=1)
        assert inside.any() != placed.lost[place]
    # nobody else near: nothing may be lost
    alone = place_windows(pieces, np.zeros_like(parts), [grid_at()], TILE_PX, 50.0)
    assert not alone.lost.any()
    assert alone.left_out == 0


def test_what_is_lost_could_not_be_kept() -> None:
    """Two polygons nearer than the gap in different parts: one of them goes, the one of less worth."""
    polygons = np.zeros((400, 400), np.int32)
    polygons[60:68, 60:68], polygons[60:80, 72:90], polygons[300:310, 300:310] = 1, 2, 3
    drawn = LabelMap(np.where(polygons > 0, 6, 255).astype(np.uint8), polygons)
    grid = grid_at()
    scene = pieces_of_scene(drawn, np.array([1, 2, 3]), grid, BlockGrid(SRID, 700.0), TILE_PX, 35.0)
    pieces = grouped([scene], {1: ("A", True), 2: ("B", True), 3: ("C", True)})
    parts = np.array([TRAIN, TEST, TEST])
    apart = place_windows(pieces, parts, [grid], TILE_PX, 40.0)
    assert not apart.lost.any()  # the windows are shifted away from each other until 40 m lie between them
    near = place_windows(pieces, parts, [grid], TILE_PX, 50.0)
    assert near.lost[pieces.labels == 2].all() or near.lost[pieces.labels == 1].all()
    assert near.lost.sum() == 1
    assert not near.lost[pieces.labels == 3].any()


def district(rng: np.random.Generator, holders: int) -> tuple[LabelMap, Grid]:
    """36 separate places 100 px apart with labels of 0, 1 and 6; some also hold class 7."""
    grid = grid_at(size=600)
    polygons = np.zeros((600, 600), np.int32)
    classes = np.full((600, 600), 255, np.uint8)
    number = 0
    for place, rare in enumerate(rng.permutation(36)):
        row, col = 100 * (place // 6) + 30, 100 * (place % 6) + 30
        for shift, code in ((0, 0), (12, 1), (24, 6), *([(36, 7)] if rare < holders else [])):
            number += 1
            size = rng.integers(6, 10)
            polygons[row + shift : row + shift + size, col : col + size] = number
            classes[row + shift : row + shift + size, col : col + size] = code
    return LabelMap(classes, polygons), grid


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.integers(3, 6))
def test_shares_are_near_6_2_2_and_the_rare_class_is_in_all_parts(seed: int, holders: int) -> None:
    drawn, grid = district(np.random.default_rng(seed), holders)
    pieces = cut([(drawn, grid)], 1000.0, 50.0)
    parts = parts_of_groups(pieces, seed)
    placed = place_windows(pieces, parts, [grid], TILE_PX, 50.0)
    assert not placed.lost.any()
    for code in (0, 1, 6, 7):
        chosen = pieces.codes == code
        shares = (
            np.bincount(parts[pieces.groups[chosen]], pieces.pixels[chosen], 3) / pieces.pixels[chosen].sum()
        )
        assert (shares > 0).all()
        if code != 7:
            np.testing.assert_allclose(shares, (0.6, 0.2, 0.2), atol=0.08)


def test_of_several_splits_the_one_counts_whose_windows_are_balanced() -> None:
    """Crowded ground, where windows are lost: the rare class must survive in every part."""
    for seed in range(3):
        maps = [(scattered(np.random.default_rng(seed), grid_at(), 150), grid_at())]
        pieces = cut(maps, 700.0, 50.0)
        parts, placed = balanced_windows(
            pieces, [grid_at()], SampleSettings(tile_px=TILE_PX, gap_m=50.0, seed=seed)
        )
        assert placed.left_out > 0
        held = pieces.codes[~placed.lost], parts[pieces.groups[~placed.lost]]
        for code in (0, 1, 6, 7):
            assert set(held[1][held[0] == code].tolist()) == {TRAIN, VALIDATION, TEST}
        assert len(close_pairs(placed.windows, [grid_at()], 50.0)) == 0


def test_the_same_seed_gives_the_same_windows_and_another_seed_others() -> None:
    drawn, grid = district(np.random.default_rng(2), 4)
    pieces = cut([(drawn, grid)], 1000.0, 50.0)
    first, again, other = (placed_of([(drawn, grid)], pieces, seed, 50.0).windows for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(first.parts, again.parts)
    assert len(first) != len(other) or (first.parts != other.parts).any()


def test_a_polygon_larger_than_a_window_is_cut_between_blocks_and_keeps_a_strip_free() -> None:
    drawn = LabelMap(np.full((400, 400), 6, np.uint8), np.ones((400, 400), np.int32))
    grid = grid_at()
    scene = pieces_of_scene(drawn, np.array([5]), grid, BlockGrid(SRID, 1000.0), TILE_PX, 35.0)
    assert scene.is_part.all()
    assert set(scene.labels.tolist()) == {5}
    # 4 x 4 blocks of 100 px, each without 35 m (3 pixel centres, at 5, 15 and 25 m) along every line
    assert scene.pixels.sum() == (400 - 8 * 3) ** 2
    assert len(set(scene.blocks.tolist())) == 16
    assert ((scene.boxes[:, 2:] - scene.boxes[:, :2]) <= TILE_PX).all()
    held = pieces_of_scene(drawn, np.array([5]), grid, BlockGrid(SRID, 1000.0), TILE_PX, 35.0, frozenset({5}))
    assert held.pixels.sum() == 400 * 400
    assert set(grouped([held], {5: ("M1", True)}).keys) == {"mine M1"}
    touched = grouped([scene], {5: ("M1", False)})
    assert all(key.startswith("block ") for key in touched.keys)


def test_fully_labelled_ground_is_split_with_little_loss() -> None:
    rng = np.random.default_rng(4)
    polygons = np.arange(1, 401).reshape(20, 20).repeat(20, 0).repeat(20, 1).astype(np.int32)
    classes = rng.choice(np.array([0, 1, 6], np.uint8), 401)[polygons]
    maps = [(LabelMap(classes, polygons), grid_at())]
    pieces = cut(maps, 800.0, 50.0)
    placed = placed_of(maps, pieces, 0, 50.0)
    assert placed.lost.mean() < 0.35
    assert set(placed.windows.parts.tolist()) == {TRAIN, VALIDATION, TEST}


def test_near_mines_are_held_out_together_but_rare_classes_stay_apart() -> None:
    count = 40
    places = np.array([(1000.0 * i, 0, 1000.0 * i + 100, 100) for i in range(count)])
    places[1] += (-800, 0, -800, 0)  # 100 m from the first
    places[3] += (-800, 0, -800, 0)  # 100 m from the third, and both hold the rare class
    codes = np.full(count, 1)
    codes[[2, 3, 10]] = 7
    pieces = Pieces(
        scenes=np.zeros(count, np.int64),
        labels=np.arange(count),
        codes=codes,
        groups=np.arange(count),
        boxes=np.zeros((count, 4), np.int64),
        pixels=np.full(count, 100),
        places=places,
        keys=tuple(f"mine {number:02d}" for number in range(count)),
    )
    leader = joined_mines(pieces, CLASS_CODES, 160.0)
    assert leader[1] == 0
    np.testing.assert_array_equal(np.delete(leader, 1), np.delete(np.arange(count), 1))
    chain = replace(pieces, codes=np.ones(count, np.int64), places=places * [0.1, 1, 0.1, 1])
    sizes = np.bincount(joined_mines(chain, CLASS_CODES, 160.0), minlength=count)
    assert sizes.max() == 4  # a tenth of all labels, however long the chain
    blocks = replace(pieces, keys=tuple(f"block {number} 0" for number in range(count)))
    np.testing.assert_array_equal(joined_mines(blocks, CLASS_CODES, 160.0), np.arange(count))


@pytest.mark.parametrize(
    ("col", "gap_m", "is_close"),
    [(31, 0, True), (32, 0, True), (33, 0, False), (36, 50, True), (37, 50, False), (20, 50, True)],
)
def test_windows_are_close_up_to_the_gap(col: int, gap_m: float, is_close: bool) -> None:
    windows = windows_of((0, 0, 0, TRAIN), (0, 0, col, TEST), (0, 0, 0, TRAIN))
    pairs = close_pairs(windows, [grid_at()], gap_m)
    assert pairs.tolist() == ([[0, 1], [1, 2]] if is_close else [])
    corner = windows_of((0, 0, 0, TRAIN), (0, 35, 36, TEST))  # 30 m and 40 m away: 50 m
    assert len(close_pairs(corner, [grid_at()], 49.9)) == 0
    assert len(close_pairs(corner, [grid_at()], 50.1)) == 1


def test_leaks_are_found_between_scenes_of_other_grids() -> None:
    """The second year's scene lies 100 px east and has pixels of 5 m."""
    grids = [grid_at(), grid_at(100, 0, resolution=5.0)]
    windows = windows_of((0, 0, 80, TRAIN), (1, 0, 0, TEST), (1, 0, 40, VALIDATION), (0, 0, 80, TRAIN))
    assert close_pairs(windows, grids, 0).tolist() == [[0, 1], [1, 3]]  # columns 80 to 112, and 100 to 116
    assert close_pairs(windows, grids, 90).tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]


def test_leaks_are_found_across_zones_and_the_date_line() -> None:
    for zones, lon, lat in (((32644, 32645), 84.0, 43.9), ((32660, 32601), 180.0, 52.0)):
        grids = []
        for srid, east_m in zip(zones, (0.0, 400.0), strict=True):
            x, y = pyproj.Transformer.from_crs(4326, srid, always_xy=True).transform(lon - 1e-9, lat)
            grids.append(Grid(srid, x + east_m - 160, float(y) + 160, 10.0, 10.0, 400, 400))
        windows = windows_of((0, 0, 0, TRAIN), (1, 0, 0, TEST))  # about 80 m apart, in turned grids
        assert len(close_pairs(windows, grids, 60)) == 0
        assert len(close_pairs(windows, grids, 100)) == 1


@given(st.integers(0, 10_000))
def test_leaving_windows_out_ends_all_leaks_and_leaves_out_no_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 30))
    pairs = np.unique(np.sort(rng.integers(0, count, (60, 2)), axis=1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    stays = without_leaks(pairs, rng.random(count) + 0.01)
    assert not (stays[pairs[:, 0]] & stays[pairs[:, 1]]).any()
    for place in np.flatnonzero(~stays):
        partners = np.concatenate((pairs[pairs[:, 0] == place, 1], pairs[pairs[:, 1] == place, 0]))
        assert stays[partners].any()


def test_of_a_leaking_pair_the_worthier_window_stays() -> None:
    star = np.array([[0, 1], [0, 2], [0, 3]])
    assert without_leaks(star, np.array([5.0, 1, 1, 1])).tolist() == [True, False, False, False]
    assert without_leaks(star, np.array([2.0, 1, 1, 1])).tolist() == [False, True, True, True]


def test_outlines_lie_where_the_pixels_are() -> None:
    [shape] = outlines(windows_of((0, 10, 20, TRAIN)), [grid_at()])
    back = pyproj.Transformer.from_crs(4326, SRID, always_xy=True)
    planar_shape = shapely.transform(shape, lambda xy: np.column_stack(back.transform(*xy.T)))
    expected = shapely.box(500_200, 4_859_580, 500_520, 4_859_900)
    assert shapely.symmetric_difference(planar_shape, expected).area < 1.0


def test_classes_that_are_not_everywhere_are_mentioned() -> None:
    drawn, grid = district(np.random.default_rng(1), 2)
    pieces = cut([(drawn, grid)], 1000.0, 50.0)
    counts = np.zeros((3, 8), np.int64)
    counts[:, [0, 1]] = [[600, 60], [200, 20], [200, 20]]
    counts[:, 6] = [90, 5, 5]
    counts[:, 7] = [50, 0, 50]
    lines = balance_warnings(pieces, counts, NAMES)
    assert lines == [
        "class_6: its pixels are split 90% : 5% : 5%, not 60 : 20 : 20",
        "class_7: only 2 mines or blocks hold it, none is left for validation",
    ]
    counts[2, 1] = 0
    assert (
        "36 mines or blocks hold it, but none is left for test" in balance_warnings(pieces, counts, NAMES)[0]
    )


def test_what_no_set_can_be_made_of_is_refused() -> None:
    for wrong, message in (
        ({"tile_px": 100}, "multiple of 16"),
        ({"tile_px": 16}, "at least 32"),
        ({"gap_m": -1.0}, "0 or more metres"),
        ({"gap_m": float("nan")}, "0 or more metres"),
        ({"split_rule": "year"}, "mine, block or scene"),
        ({"fewest_px": 0}, "at least 1"),
        ({"seed": 1 << 31}, "seed is 2147483648: it must be at most 2147483647"),
        ({"block_m": 0.0}, "positive"),
        ({"seed": -1}, "at least 0"),
    ):
        with pytest.raises(UsageError, match=message):
            SampleSettings(**wrong)
    counts = np.array([[5, 5], [5, 5], [0, 0]])
    with pytest.raises(UsageError, match=r"left for test .* smaller --tile-px"):
        check_counts(counts, SampleSettings(), 500.0)
    with pytest.raises(UsageError, match="one class only are left for training"):
        check_counts(np.array([[5, 0], [5, 5], [5, 5]]), SampleSettings(), 500.0)
    drawn = LabelMap(np.full((400, 400), 255, np.uint8), np.zeros((400, 400), np.int32))
    drawn.polygons[10:20, 10:20], drawn.classes[10:20, 10:20] = 1, 6
    with pytest.raises(UsageError, match="1 mines or blocks, at least three"):
        parts_of_groups(cut([(drawn, grid_at())], 700.0, 50.0), 0)
