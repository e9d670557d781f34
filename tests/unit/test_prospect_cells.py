"""Cells of a search: probabilities by the patches that hold them, ranks, outlines and rows of a COPY."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from db.errors import UsageError
from db.prospect_cell_rows import CellRows
from db.raster import Grid
from inference.prospect.cells import Cells, cells_of, corners_of, ranks_of, rings_of

NAN = float("nan")


def grid_of(height: int, width: int) -> Grid:
    return Grid(32644, 500_000.0, 3_980_000.0, 30.0, 30.0, width, height)


def made(
    scores: NDArray[np.float64] | list[list[float]], height: int, width: int, patch_px: int, stride_px: int
) -> Cells:
    return cells_of(
        np.array(scores, np.float32),
        np.ones((height, width), bool),
        grid_of(height, width),
        patch_px=patch_px,
        stride_px=stride_px,
    )


def test_a_cell_has_the_mean_of_the_patches_that_hold_it() -> None:
    # Patches of 10 px at 0 and 5 in 15 px: three cells of 5 px, the middle one in both.
    cells = made([[0.2, 0.6]], 10, 15, 10, 5)
    assert cells.probability.shape == (2, 3)
    assert cells.probability.tolist() == [pytest.approx([0.2, 0.4, 0.6])] * 2
    assert cells.grid == Grid(32644, 500_000.0, 3_980_000.0, 150.0, 150.0, 3, 2)


def test_a_patch_that_is_no_multiple_of_the_stride_counts_for_the_cells_it_holds_wholly() -> None:
    # Patches of 5 px at 0, 2, 4 in 9 px: cells of 2 px; each patch holds two of them and half of a third.
    cells = made([[0.1, 0.3, 0.5]], 5, 9, 5, 2)
    assert cells.probability.tolist() == [pytest.approx([0.1, 0.2, 0.4, 0.5])] * 2


def test_what_no_patch_reaches_lies_in_no_cell() -> None:
    # Of 13 px the last 3 lie in no patch of 10 px that begins at 0 or 5 (the second would end at 15).
    cells = made([[0.5]], 10, 13, 10, 5)
    assert cells.probability.shape == (2, 2)


def test_patches_that_were_not_judged_do_not_count() -> None:
    cells = made([[NAN, 0.6, NAN, NAN, 0.2]], 10, 30, 10, 5)
    assert cells.probability[0].tolist() == pytest.approx([NAN, 0.6, 0.6, NAN, 0.2, 0.2], nan_ok=True)
    assert cells.count == 8


def test_a_cell_counts_when_half_of_it_is_judged() -> None:
    is_valid = np.ones((4, 8), bool)
    is_valid[:2, :2] = False  # the whole first cell
    is_valid[2:, 0] = False  # half of that below it
    is_valid[:2, 4:6] = [[False, False], [False, True]]  # three quarters
    scores = np.full((1, 3), 0.5, np.float32)
    cells = cells_of(scores, is_valid, grid_of(4, 8), patch_px=4, stride_px=2)
    assert np.isfinite(cells.probability).tolist() == [[False, True, False, True], [True] * 4]


@given(
    st.integers(1, 7).flatmap(lambda patch: st.tuples(st.just(patch), st.integers(1, patch))),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 2**32 - 1),
)
def test_every_cell_is_the_mean_found_one_by_one(
    sizes: tuple[int, int], extra_rows: int, extra_cols: int, seed: int
) -> None:
    patch_px, stride_px = sizes
    height, width = patch_px + extra_rows, patch_px + extra_cols
    rng = np.random.default_rng(seed)
    down, across = (height - patch_px) // stride_px + 1, (width - patch_px) // stride_px + 1
    scores = rng.random((down, across)).astype(np.float32)
    scores[rng.random((down, across)) < 0.3] = np.nan
    cells = made(scores.astype(np.float64), height, width, patch_px, stride_px)
    for (row, col), found in np.ndenumerate(cells.probability):
        top, left = row * stride_px, col * stride_px
        holding = [
            score
            for (y, x), score in np.ndenumerate(scores)
            if y * stride_px <= top
            and top + stride_px <= y * stride_px + patch_px
            and x * stride_px <= left
            and left + stride_px <= x * stride_px + patch_px
        ]
        assert holding  # every cell lies in a patch
        known = [score for score in holding if np.isfinite(score)]
        assert found == pytest.approx(np.mean(known) if known else NAN, abs=1e-6, nan_ok=True)


def test_equal_scores_give_exactly_equal_cells() -> None:
    cells = made(np.full((9, 9), 0.1), 50, 50, 10, 5)
    assert set(cells.probability.ravel().tolist()) == {float(np.float32(0.1))}


def test_strides_that_leave_ground_between_patches_are_refused() -> None:
    for stride_px in (0, 11):
        with pytest.raises(UsageError, match=f"stride of {stride_px} px .* choose 1 to 10"):
            made([[0.5]], 10, 10, 10, stride_px)


def test_scores_of_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) positions"):
        made([[0.5]], 10, 15, 10, 5)


def test_ties_share_the_lowest_rank() -> None:
    assert ranks_of(np.array([0.5, 0.9, 0.5, 0.1, 0.9], np.float32)).tolist() == [3, 1, 3, 5, 1]


def test_outlines_fit_each_other_and_have_their_area() -> None:
    grid = Grid(32644, 500_000.0, 3_980_000.0, 150.0, 150.0, 3, 2)
    corners = corners_of(grid)
    rows, cols = (each.ravel() for each in np.indices((2, 3)))
    squares = shapely.polygons(rings_of(corners, rows, cols))
    assert shapely.is_valid(squares).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(squares)).all()
    joined = shapely.coverage_union_all(squares)
    assert joined.geom_type == "Polygon"
    assert not joined.interiors
    # The western edge is the central meridian of zone 44; a degree of latitude there is 110.96 km.
    west, south, _east, north = joined.bounds
    assert west == pytest.approx(81.0, abs=1e-9)
    assert (north - south) * 110_960 == pytest.approx(300, rel=2e-3)
    assert squares[0].bounds[3] == pytest.approx(north)  # rows count from the north


def test_rows_are_encoded_as_the_copy_format_says() -> None:
    ring = np.arange(10.0).reshape(1, 5, 2)
    rows = CellRows(np.array([3]), np.array([4]), np.array([0.25], np.float32), np.array([7]), ring)
    polygon = struct.pack("<BIIII10d", 1, 0x20000003, 4326, 1, 5, *range(10))
    expected = struct.pack(">hiiiiiiidii", 6, 4, 11, 4, 3, 4, 4, 8, 0.25, 4, 7)
    expected += struct.pack(">i", len(polygon)) + polygon
    assert bytes(rows.encode(11)) == expected


def test_rows_that_do_not_belong_together_are_refused() -> None:
    one = np.array([1])
    with pytest.raises(UsageError, match="as many places"):
        CellRows(one, one, np.array([0.1, 0.2]), one, np.zeros((1, 5, 2)))
    with pytest.raises(UsageError, match="5 vertices"):
        CellRows(one, one, np.array([0.1]), one, np.zeros((1, 4, 2)))
