"""How the cells of a file lie on the grid of a study area."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj import Transformer

from db.raster import Grid
from ingest.crs import FileCrs
from ingest.evidence.grids import center_of
from ingest.gridding import ROTATION_LIMIT

SAME_PX = 1e-3
"""Cells that lie no farther apart than this share of a cell are the same."""

_MULTIPLE = 1e-6
"""How far a ratio of cell sizes may be from a whole number."""


@dataclass(frozen=True)
class Alignment:
    """Cells of a file seen from a grid.

    Attributes:
        cell_x_m, cell_y_m: size of the file's cells in the middle of the area, m.
        finer: how many times finer than the grid's they are; below 1 they are coarser.
        shift_x_px, shift_y_px: how far they lie east and south of the grid's, in cells of the grid, -0.5 to
            0.5; None where the edges of the larger cells are no edges of the smaller ones.
        is_same: each is a cell of the grid.

    """

    cell_x_m: float
    cell_y_m: float
    finer: float
    shift_x_px: float | None
    shift_y_px: float | None
    is_same: bool

    def text(self) -> str:
        """The same in words."""
        size = f"{self.cell_x_m:.4g} x {self.cell_y_m:.4g} m"
        if self.is_same:
            return f"its cells of {size} are those of the grid"
        if self.shift_x_px is None or self.shift_y_px is None:
            return f"its cells of {size} share no edges with the grid's"
        if max(abs(self.shift_x_px), abs(self.shift_y_px)) <= SAME_PX:
            return f"its cells of {size} share their edges with the grid's"
        return (
            f"its cells of {size} lie {_side(self.shift_x_px, 'east', 'west')} and "
            f"{_side(self.shift_y_px, 'south', 'north')} of the grid's, in cells of the grid"
        )


def _side(shift: float, ahead: str, behind: str) -> str:
    return f"{abs(shift):.3g} {ahead if shift >= 0 else behind}"


def align(transform: Affine, shape: tuple[int, int], crs: FileCrs, grid: Grid) -> Alignment:
    """Compare the cells of a raster with those of a grid.

    Args:
        transform: affine transform of the raster.
        shape: its rows and columns.
        crs: its CRS.
        grid: the grid, in metres.

    """
    is_upright = max(abs(transform.b), abs(transform.d)) <= ROTATION_LIMIT * max(
        abs(transform.a), abs(transform.e)
    )
    if crs.srid != grid.srid or not is_upright:
        cell_x_m, cell_y_m = _cell_m(transform, shape, crs, grid)
        return Alignment(cell_x_m, cell_y_m, _finer(cell_x_m, cell_y_m, grid), None, None, False)
    cell_x_m, cell_y_m = abs(transform.a), abs(transform.e)
    west = min(transform.c, transform.c + transform.a * shape[1])
    north = max(transform.f, transform.f + transform.e * shape[0])
    shift_x = _shift((west - grid.origin_x) / grid.resolution_x, cell_x_m / grid.resolution_x)
    shift_y = _shift((grid.origin_y - north) / grid.resolution_y, cell_y_m / grid.resolution_y)
    if shift_x is None or shift_y is None:
        shift_x = shift_y = None
    is_same = (
        shift_x is not None
        and shift_y is not None
        and max(abs(shift_x), abs(shift_y)) <= SAME_PX
        and math.isclose(cell_x_m, grid.resolution_x, rel_tol=_MULTIPLE)
        and math.isclose(cell_y_m, grid.resolution_y, rel_tol=_MULTIPLE)
    )
    return Alignment(cell_x_m, cell_y_m, _finer(cell_x_m, cell_y_m, grid), shift_x, shift_y, is_same)


def _finer(cell_x_m: float, cell_y_m: float, grid: Grid) -> float:
    return math.sqrt(grid.resolution_x * grid.resolution_y / (cell_x_m * cell_y_m))


def _shift(distance_px: float, ratio: float) -> float | None:
    """Offset to the nearest edge that both could share, in cells of the grid; a half cell is positive.

    Args:
        distance_px: from the grid's first edge to the file's, in cells of the grid.
        ratio: size of the file's cells in cells of the grid.

    """
    larger = max(ratio, 1 / ratio)
    if abs(larger - round(larger)) > _MULTIPLE * larger:
        return None
    period = min(1.0, 1 / round(1 / ratio)) if ratio < 1 else 1.0
    steps = round(distance_px / period, 6)
    return (steps - math.ceil(steps - 0.5)) * period


def _cell_m(transform: Affine, shape: tuple[int, int], crs: FileCrs, grid: Grid) -> tuple[float, float]:
    """Width and height in m of the cell in the middle of the area, or as near to it as the file reaches."""
    to_file = Transformer.from_crs(grid.srid, crs.crs, always_xy=True)
    to_grid = Transformer.from_crs(crs.crs, grid.srid, always_xy=True)
    x, y = to_file.transform(*center_of(grid))
    col, row = ~transform @ (x, y) if np.isfinite([x, y]).all() else (0.0, 0.0)
    col, row = min(max(col, 0.5), shape[1] - 0.5), min(max(row, 0.5), shape[0] - 0.5)
    ends = [transform @ (col + dx, row + dy) for dx, dy in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))]
    places = [to_grid.transform(*end) for end in ends]
    return math.dist(places[0], places[1]), math.dist(places[2], places[3])
