"""Cells of a search: squares of pixels, each with its probability of ore, its rank and its outline.

Patches lie ``stride_px`` apart and overlap; cells are the squares of ``stride_px`` x ``stride_px`` pixels
into which the steps of the patches cut the grid. The probability of a cell is the mean over the patches that
hold it wholly. That is so for any edge of the patches, also one that is no multiple of the stride: along
each axis ``patch_px // stride_px`` patches hold a cell, fewer at the edges of the grid. A patch that holds
a cell only in part says nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from db.errors import UsageError
from db.raster import Grid
from inference.polygonise import to_wgs84

LEAST_JUDGED = 0.5
"""Share of a cell's pixels that must be judged for the cell to count."""


@dataclass(frozen=True)
class Cells:
    """The cells of a search.

    Attributes:
        grid: grid of the cells; its pixels are the cells, its origin is that of the ground.
        stride_px: edge of a cell, pixels of the ground.
        probability: ``(rows, columns)`` float32 0..1, NaN where a cell was not scored.

    """

    grid: Grid
    stride_px: int
    probability: NDArray[np.float32]

    @property
    def is_scored(self) -> NDArray[np.bool_]:
        """``(rows, columns)``: cells that have a probability."""
        return np.isfinite(self.probability)

    @property
    def count(self) -> int:
        """Cells that have a probability."""
        return int(self.is_scored.sum())


def check_stride(stride_px: int, patch_px: int) -> None:
    """Refuse steps that leave ground between the patches, or none.

    Raises:
        UsageError: the stride is not 1 to ``patch_px``.

    """
    if not 1 <= stride_px <= patch_px:
        raise UsageError(
            f"a stride of {stride_px} px does not go with patches of {patch_px} px: choose 1 to {patch_px}, "
            "so that no ground is left between them"
        )


def cells_of(
    scores: NDArray[np.float32],
    is_valid: NDArray[np.bool_],
    grid: Grid,
    *,
    patch_px: int,
    stride_px: int,
) -> Cells:
    """Cells from the scores of the patches.

    Pixels at the right and lower edge lie in no cell where no patch holds a whole cell of them. Along each
    axis these are up to ``stride_px - 1`` that no patch reaches, and, where the patch is no multiple of the
    stride, up to ``stride_px - 1`` of the last patch: at most ``2 * (stride_px - 1)``, see `pixels_left_out`.

    Args:
        scores: ``(positions down, positions across)`` probabilities 0..1 of the patches whose upper left
            pixels lie 0, 1, 2 ... strides from the grid's; NaN where a patch was not judged.
        is_valid: ``(height, width)`` pixels that are judged and have all values.
        grid: grid of the pixels.
        patch_px: edge of the patches, pixels.
        stride_px: steps of the patches, and edge of the cells, pixels.

    Raises:
        UsageError: the stride does not go with the patches.
        ValueError: scores and grid do not belong together.

    """
    check_stride(stride_px, patch_px)
    positions = tuple((edge - patch_px) // stride_px + 1 for edge in is_valid.shape)
    if scores.shape != positions:
        raise ValueError(f"{positions} positions of patches lie on the grid, got scores of {scores.shape}")
    probability = _means(scores, patch_px // stride_px)
    down, across = probability.shape
    squares = is_valid[: down * stride_px, : across * stride_px].reshape(down, stride_px, across, stride_px)
    probability[squares.mean(axis=(1, 3)) < LEAST_JUDGED] = np.nan
    spread = replace(
        grid,
        resolution_x=grid.resolution_x * stride_px,
        resolution_y=grid.resolution_y * stride_px,
        width_px=across,
        height_px=down,
    )
    return Cells(spread, stride_px, probability)


def pixels_left_out(cells: Cells, grid: Grid) -> tuple[int, int]:
    """Pixels at the right and at the lower edge of the ground's grid that lie in no cell."""
    return (
        grid.width_px - cells.grid.width_px * cells.stride_px,
        grid.height_px - cells.grid.height_px * cells.stride_px,
    )


def _means(scores: NDArray[np.float32], holding: int) -> NDArray[np.float32]:
    """Mean of the scores of the ``holding`` x ``holding`` patches around each cell, NaN without any.

    Cell i lies wholly in the patches i - holding + 1 to i. Equal scores give equal means: they are added in
    the same order for every cell.
    """
    known = np.isfinite(scores)
    total = _spread(np.where(known, scores, 0).astype(np.float64), holding)
    count = _spread(known.astype(np.float64), holding)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    probability: NDArray[np.float32] = np.clip(mean, 0, 1).astype(np.float32)
    return probability


def _spread(values: NDArray[np.float64], holding: int) -> NDArray[np.float64]:
    for _axis in range(2):
        values = np.pad(values, ((holding - 1, holding - 1), (0, 0)))
        length = len(values) - holding + 1
        total = values[:length].copy()
        for first in range(1, holding):
            total += values[first : first + length]
        values = total.T
    return values


def ranks_of(probability: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rank of each of ``(n,)`` probabilities: 1 is the highest, equals share the lowest of their ranks."""
    ranks: NDArray[np.int64] = stats.rankdata(-probability.astype(np.float64), method="min").astype(np.int64)
    return ranks


def corners_of(grid: Grid) -> NDArray[np.float64]:
    """Longitude and latitude, degrees of WGS 84, of all corners of a grid: ``(rows + 1, columns + 1, 2)``.

    Raises:
        UsageError: a corner has none.

    """
    x = grid.origin_x + np.arange(grid.width_px + 1) * grid.resolution_x
    y = grid.origin_y - np.arange(grid.height_px + 1) * grid.resolution_y
    plane = np.stack(np.broadcast_arrays(x, y[:, np.newaxis]), axis=-1)
    return to_wgs84(plane.reshape(-1, 2), grid.srid).reshape(plane.shape)


def rings_of(
    corners: NDArray[np.float64], rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Closed rings ``(n, 5, 2)`` round cells, counter-clockwise from the upper left corner.

    Args:
        corners: ``(rows + 1, columns + 1, 2)``, see `corners_of`.
        rows: ``(n,)`` rows of the cells, from 0.
        cols: ``(n,)`` their columns.

    """
    around = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
    return np.stack([corners[rows + down, cols + across] for down, across in around], axis=1)
