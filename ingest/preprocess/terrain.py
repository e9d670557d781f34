"""Elevation models for orthorectification."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from rasterio.windows import Window

from db.errors import UsageError
from ingest.crs import WGS84_SRID, file_crs
from ingest.files import SourceFile
from ingest.opening import open_raster, reading

FloatArray = npt.NDArray[np.float64]

_SAMPLE_PX = 1024
_LOWEST_M, _HIGHEST_M = -600.0, 9_500.0
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
        seen = self.heights_seen(west, south, east, north)
        if seen is None:
            raise UsageError(
                f"{self.file.name}: the elevation model holds no heights where the image lies; give one that "
                "covers it"
            )
        return seen

    def heights_seen(
        self, west: float, south: float, east: float, north: float
    ) -> tuple[float, float] | None:
        """As ``height_range``; None where the model holds no heights.

        Raises:
            UsageError: its heights are none.

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
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return None
        transform = self.dataset.transform
        # A cell more on each side, for heights between cell centres.
        left, right = (math.floor((each - transform.c) / transform.a) for each in (min(x), max(x)))
        top, bottom = (math.floor((each - transform.f) / transform.e) for each in (max(y), min(y)))
        left, top = max(0, left - 1), max(0, top - 1)
        right, bottom = min(self.dataset.width, right + 2), min(self.dataset.height, bottom + 2)
        if left >= right or top >= bottom:
            return None
        part = Window(left, top, right - left, bottom - top)
        shape = min(_SAMPLE_PX, bottom - top), min(_SAMPLE_PX, right - left)
        with reading(self.file):
            heights = self.dataset.read(1, window=part, out_shape=shape, masked=True).astype(np.float64)
        seen = heights.compressed()
        seen = seen[np.isfinite(seen)]
        if seen.size == 0:
            return None
        low, high = float(seen.min()), float(seen.max())
        if low < _LOWEST_M or high > _HIGHEST_M:
            raise UsageError(
                f"{name}: heights from {low:g} to {high:g} m are no elevations; is its nodata value declared?"
            )
        return low + self.geoid_height_m, high + self.geoid_height_m

    def heights_at(self, lon: FloatArray, lat: FloatArray) -> FloatArray:
        """Heights of the model's cells at points, m above the ellipsoid.

        Args:
            lon: longitudes (points,), degrees on WGS 84.
            lat: latitudes (points,).

        Returns:
            Heights (points,); NaN where the model has none.

        """
        crs = file_crs(self.dataset.crs.to_wkt() if self.dataset.crs else None, self.file.name)
        x, y = Transformer.from_crs(WGS84_SRID, crs.crs, always_xy=True).transform(lon, lat)
        with reading(self.file):
            found = [np.ma.filled(each.astype(np.float64), np.nan)[0] for each in self._cells(x, y)]
        return np.array(found, np.float64) + self.geoid_height_m

    def _cells(self, x: FloatArray, y: FloatArray) -> Iterator[Any]:
        return iter(self.dataset.sample(zip(x, y, strict=True), 1, masked=True))


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
        if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "uif":
            raise UsageError(
                f"{file.name}: has {dataset.count} bands of {dataset.dtypes[0]}; an elevation model has "
                "one band "
                "of heights in metres"
            )
        yield Terrain(file, dataset, geoid_height_m)
