"""Pixels of a stored raster at the pixels of a view, by the nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyproj

from db.raster import RasterReader
from reporting.view import LocalView


def sample(
    reader: RasterReader, view: LocalView, bands: Sequence[int] | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]] | None:
    """Values of a raster in a view, from the coarsest overview that is as fine as the view.

    Args:
        reader: of the raster.
        view: where, and how fine.
        bands: numbers from 1; None: all.

    Returns:
        Values as they are stored ``(bands, height, width)``, and where one of them is missing or the raster
        does not reach ``(height, width)``; None where no pixel of the view lies on the raster.

    """
    chosen = tuple(range(1, reader.band_count + 1)) if bands is None else tuple(bands)
    ground_m = reader.grid.resolution_x * (111_320 if pyproj.CRS(reader.grid.srid).is_geographic else 1)
    factor = max((f for f in (1, *reader.overviews) if f * ground_m <= view.resolution_m), default=1)
    grid = reader.grid.overview(factor)
    transformer = pyproj.Transformer.from_crs(4326, grid.srid, always_xy=True)
    x, y = transformer.transform(*view.pixel_centres())
    col = np.floor((x - grid.origin_x) / grid.resolution_x).astype(np.int64)
    row = np.floor((grid.origin_y - y) / grid.resolution_y).astype(np.int64)
    inside = (col >= 0) & (col < grid.width_px) & (row >= 0) & (row < grid.height_px)
    if not inside.any():
        return None
    top, left = int(row[inside].min()), int(col[inside].min())
    height, width = int(row[inside].max()) - top + 1, int(col[inside].max()) - left + 1
    window = reader.read(top, left, height, width, bands=chosen, overview=factor)
    picked = window[:, np.where(inside, row - top, 0), np.where(inside, col - left, 0)].astype(np.float32)
    missing = ~inside
    for values, none in zip(picked, [reader.nodata_values[band - 1] for band in chosen], strict=True):
        if none is not None:
            missing |= np.isnan(values) if np.isnan(none) else values == np.float32(none)
    return picked, missing
