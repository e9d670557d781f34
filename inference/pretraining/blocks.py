"""Blocks of ground as outlines, so that whatever reads a scene can be kept from seeing them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from inference.scene_source import SceneSource
from inference.training.blocks import BlockGrid, block_place

_PIECES = 16  # a side of a block is bent where it is projected


@dataclass(frozen=True)
class Outline:
    """A piece of ground.

    Attributes:
        srid: EPSG code of its CRS.
        shape: in that CRS.

    """

    srid: int
    shape: shapely.MultiPolygon

    def in_crs(self, srid: int) -> shapely.MultiPolygon:
        """The same ground in another CRS."""
        if srid == self.srid or self.shape.is_empty:
            return self.shape
        to_there = pyproj.Transformer.from_crs(self.srid, srid, always_xy=True)
        west, south, east, north = self.shape.bounds
        longest = max(east - west, north - south, 1.0) / _PIECES
        pieces = shapely.segmentize(self.shape, longest)
        return _joined(
            [shapely.transform(pieces, lambda xy: np.column_stack(to_there.transform(*xy.T))).buffer(0)]
        )


def blocks_outline(grid: BlockGrid, keys: Iterable[int]) -> Outline:
    """The ground of some blocks."""
    squares = []
    for key in keys:
        col, row = block_place(int(key))
        west, south = col * grid.edge_m, row * grid.edge_m
        squares.append(shapely.box(west, south, west + grid.edge_m, south + grid.edge_m))
    return Outline(grid.srid, _joined(squares))


def without_ground(source: SceneSource, ground: Iterable[Outline]) -> SceneSource:
    """A scene of which some ground counts as not observed, as clouded ground does."""
    hidden = [each.in_crs(source.grid.srid) for each in ground]
    if source.clouded is not None:
        hidden.append(source.clouded)
    joined = _joined(hidden)
    return replace(source, clouded=None if joined.is_empty else joined)


def pixel_keys(
    source: SceneSource, grid: BlockGrid, row: int, col: int, shape: tuple[int, int]
) -> NDArray[np.int64]:
    """(height, width) key of the block of each pixel of a window."""
    rows, cols = np.indices(shape)
    keys = grid.keys_of_pixels(source.grid, rows.ravel() + row, cols.ravel() + col)
    return keys.reshape(shape)


def _joined(shapes: Iterable[shapely.Geometry]) -> shapely.MultiPolygon:
    union = shapely.union_all(list(shapes))
    parts = [part for part in shapely.get_parts(union) if isinstance(part, shapely.Polygon)]
    return shapely.MultiPolygon(parts)
