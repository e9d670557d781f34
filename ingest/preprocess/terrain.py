"""Elevation models for orthorectification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyproj import Transformer
from rasterio.windows import Window, from_bounds

from db.errors import UsageError
from ingest.crs import WGS84_SRID, file_crs
from ingest.files import SourceFile
from ingest.opening import open_raster, reading

_SAMPLE_PX = 1024
_LOWEST_M, _HIGHEST_M = -12_000.0, 9_500.0
_EDGE_POINTS = 21


@dataclass(frozen=True)
class Terrain:
    """An open elevation model.

    Attributes:
        file: the file.
        dataset: it, open.
        geoid_height_m: height of the model's zero above the WGS 84 ellipsoid; 0 where its heights count from
            the ellipsoid already.

    """

    file: SourceFile
    dataset: Any
    geoid_height_m: float

    def height_range(self, west: float, south: float, east: float, north: float) -> tuple[float, float]:
        """Lowest and highest ground in a rectangle of longitude and latitude, m above the ellipsoid.

        Raises:
            UsageError: the model does not cover the rectangle, or its heights are none.

        """
        name = self.file.name
        crs = file_crs(self.dataset.crs.to_wkt() if self.dataset.crs else None, name)
        to_model = Transformer.from_crs(WGS84_SRID, crs.crs, always_xy=True)
        edge = np.linspace(0, 1, _EDGE_POINTS)
        lon = np.concatenate(
            [west + (east - west) * edge] * 2 + [np.full(_EDGE_POINTS, e) for e in (west, east)]
        )
        lat = np.concatenate(
            [np.full(_EDGE_POINTS, e) for e in (south, north)] + [south + (north - south) * edge] * 2
        )
        x, y = to_model.transform(lon, lat)
        wanted = from_bounds(min(x), min(y), max(x), max(y), self.dataset.transform)
        whole = Window(0, 0, self.dataset.width, self.dataset.height)
        try:
            part = wanted.intersection(whole)
        except ValueError:
            raise UsageError(f"{name}: the elevation model lies elsewhere than the image") from None
        shape = min(_SAMPLE_PX, max(1, round(part.height))), min(_SAMPLE_PX, max(1, round(part.width)))
        with reading(self.file):
            heights = self.dataset.read(1, window=part, out_shape=shape, masked=True).astype(np.float64)
        seen = heights.compressed()
        seen = seen[np.isfinite(seen)]
        if seen.size == 0:
            raise UsageError(f"{name}: the elevation model holds no heights where the image lies")
        low, high = float(seen.min()), float(seen.max())
        if low < _LOWEST_M or high > _HIGHEST_M:
            raise UsageError(
                f"{name}: heights from {low:g} to {high:g} m are no elevations; is its nodata value declared?"
            )
        return low + self.geoid_height_m, high + self.geoid_height_m


@contextmanager
def open_terrain(file: SourceFile, *, geoid_height_m: float = 0.0) -> Iterator[Terrain]:
    """Open an elevation model (GeoTIFF, first band, metres).

    Args:
        file: the file.
        geoid_height_m: see ``Terrain``.

    Raises:
        UsageError: it cannot be read, or is rotated or has no CRS.

    """
    with open_raster(file) as dataset:
        transform = dataset.transform
        if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
            raise UsageError(f"{file.name}: the elevation model is not on a north-up grid; warp it first")
        file_crs(dataset.crs.to_wkt() if dataset.crs else None, file.name)
        yield Terrain(file, dataset, geoid_height_m)
