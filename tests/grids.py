"""Ground drawn as text: each character is a square cell, each letter a region.

A reader can count cells and knows the area. Cells are 100 m on the UTM zone 45N grid near its central
meridian, so a cell's geodesic area is ``CELL_M2``.
"""

from __future__ import annotations

import textwrap

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon

SRID = 32645
CELL_M = 100.0
_WEST, _NORTH = 500_000.0, 4_860_000.0
_TO_WGS84 = pyproj.Transformer.from_crs(SRID, 4326, always_xy=True)


def cells(drawing: str, letters: str) -> MultiPolygon:
    """The cells that hold one of ``letters``, as a MultiPolygon in EPSG:4326."""
    squares = [
        shapely.box(
            _WEST + column * CELL_M,
            _NORTH - (row + 1) * CELL_M,
            _WEST + (column + 1) * CELL_M,
            _NORTH - row * CELL_M,
        )
        for row, line in enumerate(textwrap.dedent(drawing).strip("\n").splitlines())
        for column, letter in enumerate(line)
        if letter in letters
    ]
    merged = shapely.segmentize(shapely.union_all(squares), CELL_M)
    ground = shapely.transform(merged, _transformed)
    return ground if isinstance(ground, MultiPolygon) else MultiPolygon([ground])


def _transformed(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack(_TO_WGS84.transform(xy[:, 0], xy[:, 1]))


def geodesic_area_m2(geometry: MultiPolygon) -> float:
    """Geodesic area on WGS 84, m2."""
    area, _perimeter = pyproj.Geod(ellps="WGS84").geometry_area_perimeter(geometry)
    return abs(area)


CELL_M2 = geodesic_area_m2(cells("x", "x"))
