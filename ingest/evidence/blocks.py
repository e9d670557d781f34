"""The cells of a grid in blocks that share the samples around them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from db.raster import Grid
from ingest.requests import Report

MOST_SAMPLES = 300
"""A block whose cells need more samples in all is divided: the cost of each cell grows with their square."""

LEAST_PX, MOST_PX = 4, 64
REPORT_S = 10.0

Floats = npt.NDArray[np.float64]
Estimator = Callable[[npt.NDArray[np.int64], Floats], tuple[Floats, Floats]]
"""Samples by number and places (places, 2) in, estimates and errors (places,) out."""


@dataclass(frozen=True)
class Block:
    """Cells from a row and a column on."""

    row: int
    col: int
    height: int
    width: int


@dataclass(frozen=True)
class Neighbourhood:
    """Which samples count for a cell.

    Attributes:
        xy_m: (samples, 2) their places, m.
        neighbours: the nearest so many of a cell count; a block shares those of all of its cells.
        reach_m: cells whose nearest sample is farther have no value.

    """

    xy_m: Floats
    neighbours: int
    reach_m: float

    def tree(self) -> cKDTree:
        """The samples for search."""
        return cKDTree(self.xy_m)


def fill_grid(
    grid: Grid, near: Neighbourhood, spacing_m: float, estimate: Estimator, report: Report
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Estimate every cell of a grid that lies within reach of a sample.

    Args:
        grid: the grid, m.
        near: which samples count.
        spacing_m: about how far they lie from each other.
        estimate: does it for the places of a block.
        report: hears how far it is when it takes long.

    Returns:
        Estimates and errors, (height, width), NaN out of reach.

    """
    values = np.full((grid.height_px, grid.width_px), np.nan, np.float32)
    errors = values.copy()
    tree = near.tree()
    count = min(near.neighbours, len(near.xy_m))
    said = time.monotonic()
    for block in _blocks(grid, near, spacing_m):
        if time.monotonic() - said > REPORT_S:
            said = time.monotonic()
            report(f"gridded {block.row / grid.height_px:.0%} of the rows")
        waiting = [block]
        while waiting:
            part = waiting.pop()
            places = _centers(grid, part)
            nearest_m = tree.query(places, 1, distance_upper_bound=near.reach_m)[0]
            inside = np.isfinite(nearest_m)
            if not inside.any():
                continue
            chosen = np.unique(tree.query(places[inside], count)[1])
            if len(chosen) > max(MOST_SAMPLES, 4 * count) and part.height * part.width > 1:
                waiting += _quarters(part)
                continue
            found, error = np.full((2, len(places)), np.nan)
            found[inside], error[inside] = estimate(chosen, places[inside])
            here = np.s_[part.row : part.row + part.height, part.col : part.col + part.width]
            values[here] = found.reshape(part.height, part.width)
            errors[here] = error.reshape(part.height, part.width)
    return values, errors


def _blocks(grid: Grid, near: Neighbourhood, spacing_m: float) -> Iterator[Block]:
    """Blocks that hold about as many samples as count for one cell."""
    cell_m = math.sqrt(grid.resolution_x * grid.resolution_y)
    side = min(max(round(math.sqrt(near.neighbours) * spacing_m / cell_m), LEAST_PX), MOST_PX)
    for row in range(0, grid.height_px, side):
        for col in range(0, grid.width_px, side):
            yield Block(row, col, min(side, grid.height_px - row), min(side, grid.width_px - col))


def _quarters(block: Block) -> list[Block]:
    down, across = (block.height + 1) // 2, (block.width + 1) // 2
    quarters = [
        Block(block.row + row, block.col + col, height, width)
        for row, height in ((0, down), (down, block.height - down))
        for col, width in ((0, across), (across, block.width - across))
    ]
    return [quarter for quarter in quarters if quarter.height and quarter.width]


def _centers(grid: Grid, block: Block) -> Floats:
    """Middles of the cells of a block, (cells, 2), m."""
    x = grid.origin_x + (np.arange(block.col, block.col + block.width) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(block.row, block.row + block.height) + 0.5) * grid.resolution_y
    return np.column_stack([np.tile(x, block.height), np.repeat(y, block.width)])
