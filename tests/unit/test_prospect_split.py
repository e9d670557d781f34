"""Parts of patches: nothing of one part touches another, and no deposit is in two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from db.errors import UsageError
from db.raster import Grid
from inference.prospect.patches import Patches, candidate_patches
from inference.prospect.split import UNUSED, Parallel, PatchSplit, split_patches
from inference.samples.leaks import Windows, close_pairs
from inference.training.blocks import TEST, TRAIN, VALIDATION, BlockGrid
from tests.unit.test_prospect_patches import CELL_M, ground

PATCH_PX = 6
SIDE = 120


def near_deposits(seed: int, count: int, side: int = SIDE) -> np.ndarray:
    """Squares of 5 x 5 positive cells."""
    rng = np.random.default_rng(seed)
    near = np.zeros((side, side), bool)
    for row, col in rng.integers(0, side - 5, (count, 2)):
        near[row : row + 5, col : col + 5] = True
    return near


def candidates(near: np.ndarray) -> Patches:
    return candidate_patches(
        ground(*near.shape), near, patch_px=PATCH_PX, stride_px=3, positive_share=0.2
    ).patches


def pieces_of(near: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.label(near, structure=np.ones((3, 3)))[0], np.int32)


def split(near: np.ndarray, **options: object) -> tuple[Patches, Grid, PatchSplit]:
    patches, grid = candidates(near), ground(*near.shape).grid
    wanted = {"block_m": None, "parallel": None, "seed": 0} | options
    return patches, grid, split_patches(patches, grid, pieces_of(near), **wanted)  # type: ignore[arg-type]


def check(near: np.ndarray, patches: Patches, grid: Grid, found: PatchSplit) -> None:
    """Every part has both kinds; parts keep apart; no place of positive ground is in two."""
    used = np.flatnonzero(found.parts != UNUSED)
    rows, cols = patches.rows[used], patches.cols[used]
    boxes = np.column_stack((rows, cols, rows + PATCH_PX, cols + PATCH_PX))
    windows = Windows(np.zeros(used.size, np.int64), boxes, found.parts[used].astype(np.int64))
    assert close_pairs(windows, [grid], gap_m=2 * CELL_M).size == 0
    clusters = pieces_of(near)
    held = []
    for part in (TRAIN, VALIDATION, TEST):
        for kind in (True, False):
            assert ((found.parts == part) & (patches.is_positive == kind)).any()
        chosen = patches.chosen(found.parts == part)
        places = {
            place
            for row, col in zip(chosen.rows, chosen.cols, strict=True)
            for place in clusters[row : row + PATCH_PX, col : col + PATCH_PX].flat
        }
        held.append(places - {0})
    assert found.places == tuple(map(len, held))
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]


@settings(max_examples=5)
@given(st.integers(0, 10_000))
def test_parts_keep_apart_and_share_no_deposit(seed: int) -> None:
    near = near_deposits(seed, 25)
    check(near, *split(near, seed=seed))


def test_parts_are_near_six_to_two_to_two() -> None:
    """Small blocks lose the patches at their edges, most of all where they lie alone."""
    patches, _, found = split(near_deposits(4, 300, 400))
    for kind in (True, False):
        counts = np.array(
            [((found.parts == part) & (patches.is_positive == kind)).sum() for part in range(3)]
        )
        assert np.abs(counts / counts.sum() - [0.6, 0.2, 0.2]).max() < 0.1
    assert (found.parts == UNUSED).mean() < 0.5


def test_blocks_are_those_of_the_edge_asked_for_and_the_same_again() -> None:
    near = near_deposits(5, 30)
    patches, grid, found = split(near, block_m=600.0)
    rows, cols = patches.rows + PATCH_PX // 2, patches.cols + PATCH_PX // 2
    assert found.edge_m == 600.0
    assert np.array_equal(found.blocks, BlockGrid(32645, 600.0).keys_of_pixels(grid, rows, cols))
    for part in (TRAIN, VALIDATION, TEST):
        others = np.unique(found.blocks[(found.parts != part) & (found.parts != UNUSED)])
        assert not np.isin(np.unique(found.blocks[found.parts == part]), others).any()
    again = split(near, block_m=600.0)[2]
    assert np.array_equal(found.parts, again.parts)
    assert not np.array_equal(found.parts, split(near, block_m=600.0, seed=9)[2].parts)


def test_blocks_are_halved_until_every_part_has_both_kinds() -> None:
    """Four deposits in one corner lie in a single block of the usual edge, 1000 m."""
    near = np.zeros((300, 300), bool)
    for row, col in ((3, 3), (3, 22), (22, 3), (22, 22)):
        near[row : row + 5, col : col + 5] = True
    patches, grid, found = split(near)
    check(near, patches, grid, found)
    assert found.edge_m == 500
    with pytest.raises(UsageError, match=r"with blocks of 1000 m not every part holds .*4 places.*--block-m"):
        split(near, block_m=1000.0)


def test_a_deposit_across_blocks_goes_where_most_of_it_lies() -> None:
    """A dyke through ten blocks is in one part; the patches on its other blocks that hold it are left out."""
    near = near_deposits(6, 12)
    near[60:63, 5:115] = True
    patches, grid, found = split(near, block_m=600.0)
    check(near, patches, grid, found)
    on_dyke = (patches.rows > 54) & (patches.rows < 63) & patches.is_positive
    assert (found.parts[on_dyke] == UNUSED).any()


def test_blocks_without_a_whole_patch_go_with_the_nearest_that_has_one() -> None:
    """The last blocks begin at column 113; the last patches reach one cell into them."""
    near = near_deposits(5, 30)
    every = candidates(near)
    patches = every.chosen(every.cols <= 108)
    grid = ground(SIDE, SIDE).grid
    found = split_patches(patches, grid, pieces_of(near), block_m=600.0, parallel=None, seed=0)
    check(near, patches, grid, found)
    assert (found.parts[patches.cols == 108] != UNUSED).any()


def test_a_side_of_a_parallel_with_one_place_cannot_be_split() -> None:
    near = np.zeros((SIDE, SIDE), bool)
    for row, col in ((10, 10), (30, 80), (100, 60)):
        near[row : row + 5, col : col + 5] = True
    with pytest.raises(UsageError, match=r"3 places .* choose another parallel, with two places at least"):
        split(near, parallel=Parallel("north", 43.878))


@pytest.mark.parametrize("places", [1, 2])
def test_each_part_needs_a_place_of_its_own(places: int) -> None:
    near = np.zeros((SIDE, SIDE), bool)
    for place in range(places):
        near[10 + 50 * place : 15 + 50 * place, 10:15] = True
    with pytest.raises(
        UsageError, match=rf"there are {places} places of positive ground.*bring more deposits"
    ):
        split(near)


@pytest.mark.parametrize("side", ["north", "south"])
def test_beyond_a_parallel_all_is_test(side: str) -> None:
    near = near_deposits(7, 40)
    latitude = 43.878  # row 60 of the 120 that begin at 43.894
    patches, grid, found = split(near, parallel=Parallel(side, latitude))  # type: ignore[arg-type]
    check(near, patches, grid, found)
    row = {part: patches.rows[found.parts == part] for part in range(3)}
    learned = np.concatenate((row[TRAIN], row[VALIDATION]))
    apart = (
        learned.min() - row[TEST].max() if side == "north" else row[TEST].min() - learned.max()
    ) - PATCH_PX
    assert apart >= PATCH_PX
    is_beyond = patches.rows < 40 if side == "north" else patches.rows > 80
    assert set(found.parts[is_beyond]) <= {TEST, UNUSED}
    assert (found.parts[is_beyond] == TEST).mean() > 0.9
    trained, validated = row[TRAIN].size, row[VALIDATION].size
    assert 0.65 < trained / (trained + validated) < 0.93


@pytest.mark.parametrize(
    ("latitude", "where"), [(44.5, r"no positive patch lies north of 44\.5"), (43.0, r"on the other side")]
)
def test_a_parallel_that_leaves_a_side_empty_is_refused(latitude: float, where: str) -> None:
    with pytest.raises(UsageError, match=where):
        split(near_deposits(7, 40), parallel=Parallel("north", latitude))


@pytest.mark.parametrize(
    ("block_m", "message"),
    [
        (419.0, r"blocks of 419 m are too small for patches of 180 m: give a --block-m of at least 420"),
        (float("nan"), r"too small"),
    ],
)
def test_blocks_too_small_are_refused(block_m: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(near_deposits(8, 20), block_m=block_m)


def test_too_many_blocks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.prospect.split.MOST_BLOCKS", 20)
    with pytest.raises(
        UsageError, match=r"blocks of 600 m are more than 20: give a --block-m of at least 805"
    ):
        split(near_deposits(8, 20), block_m=600.0)
