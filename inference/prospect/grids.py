"""What searched ground needs of its grid: metres, and the cells inside a shape."""

from __future__ import annotations

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import CRSError
from rasterio.features import geometry_mask

from db.errors import UsageError
from db.raster import Grid


def require_metres(grid: Grid, what: str) -> None:
    """Check that a grid is in metres: distances and patches are.

    Raises:
        UsageError: it is in degrees or feet, or its CRS is not known.

    """
    try:
        crs = pyproj.CRS.from_epsg(grid.srid)
    except CRSError as error:
        raise UsageError(f"{what} has the CRS EPSG:{grid.srid}, which PROJ does not know") from error
    units = {axis.unit_name for axis in crs.axis_info[:2]}
    if not crs.is_projected or units != {"metre"}:
        raise UsageError(
            f"{what} lies in EPSG:{grid.srid} ({crs.name}), whose unit is {' and '.join(sorted(units))}: "
            "distances need metres, warp it to UTM"
        )


def transform_of(grid: Grid) -> Affine:
    """The grid as rasterio takes it."""
    return Affine(grid.resolution_x, 0.0, grid.origin_x, 0.0, -grid.resolution_y, grid.origin_y)


def cells_inside(shape: shapely.MultiPolygon, grid: Grid) -> NDArray[np.bool_]:
    """(height, width): cells whose centre lies in a shape given in EPSG:4326."""
    to_grid = pyproj.Transformer.from_crs(4326, grid.srid, always_xy=True)
    planar = shapely.transform(shape, lambda xy: np.column_stack(to_grid.transform(*xy.T)))
    mask: NDArray[np.bool_] = geometry_mask(
        [planar], (grid.height_px, grid.width_px), transform_of(grid), invert=True
    )
    return mask
