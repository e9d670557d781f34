"""A local view of the ground: a map projection about its centre, and the pixels it is drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from db.errors import UsageError

MARGIN = 0.06
"""Ground shown beyond the geometry on each side, as a share of its longer side."""


@dataclass(frozen=True)
class LocalView:
    """A window on the ground in a transverse Mercator projection (WGS 84) about its own centre.

    Scale is true in the middle; 100 km from it lengths are 0.012 % too long.

    Attributes:
        longitude, latitude: centre, degrees.
        west, north: upper left corner, m from the centre.
        resolution_m: ground per pixel, m.
        width_px, height_px: size, pixels.

    """

    longitude: float
    latitude: float
    west: float
    north: float
    resolution_m: float
    width_px: int
    height_px: int

    @classmethod
    def around(
        cls,
        geometry: shapely.Geometry,
        *,
        longest_px: int,
        finest_m: float = 0.0,
        aspect: float | None = None,
    ) -> LocalView:
        """View the whole of a geometry with a margin.

        Args:
            geometry: in EPSG:4326.
            longest_px: pixels along the longer side.
            finest_m: ground per pixel is not less than this, m; the view is smaller then.
            aspect: width by height; by default as the ground is, between 0.6 and 1.8.

        Raises:
            UsageError: the geometry is empty.

        """
        if shapely.is_empty(geometry):
            raise UsageError("a map needs ground to show, got an empty geometry")
        lon_w, lat_s, lon_e, lat_n = geometry.bounds
        centre = ((lon_w + lon_e) / 2, (lat_s + lat_n) / 2)
        seed = cls(*centre, 0.0, 0.0, 1.0, 1, 1)
        west, south, east, north = seed.to_metres(geometry).bounds
        width, height = max(east - west, 1.0), max(north - south, 1.0)
        margin = 2 * MARGIN * max(width, height)
        width, height = width + margin, height + margin
        wanted = min(max(width / height, 0.6), 1.8) if aspect is None else aspect
        width, height = max(width, height * wanted), max(height, width / wanted)
        resolution_m = max(max(width, height) / longest_px, finest_m)
        width_px, height_px = (max(round(side / resolution_m), 1) for side in (width, height))
        return cls(
            *centre,
            (west + east) / 2 - width_px * resolution_m / 2,
            (south + north) / 2 + height_px * resolution_m / 2,
            resolution_m,
            width_px,
            height_px,
        )

    @cached_property
    def _to_local(self) -> pyproj.Transformer:
        local = f"+proj=tmerc +lon_0={self.longitude} +lat_0={self.latitude} +ellps=WGS84 +units=m"
        return pyproj.Transformer.from_crs(4326, local, always_xy=True)

    def to_metres(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """Geometry in EPSG:4326 as m east and north of the centre."""

        def move(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.column_stack(self._to_local.transform(lonlat[:, 0], lonlat[:, 1]))

        return shapely.transform(geometry, move)

    def to_pixels(self, geometry: shapely.Geometry, *, tolerance_px: float = 0.35) -> shapely.Geometry:
        """Geometry in EPSG:4326 as pixels from the upper left corner, y down, for drawing.

        Bends smaller than ``tolerance_px`` are left out.
        """

        def place(metres: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return np.column_stack(
                (
                    (metres[:, 0] - self.west) / self.resolution_m,
                    (self.north - metres[:, 1]) / self.resolution_m,
                )
            )

        placed = shapely.transform(self.to_metres(geometry), place)
        return shapely.simplify(placed, tolerance_px) if tolerance_px > 0 else placed

    def pixel_centres(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Longitude and latitude of every pixel's centre, each ``(height, width)``, degrees."""
        x = self.west + (np.arange(self.width_px) + 0.5) * self.resolution_m
        y = self.north - (np.arange(self.height_px) + 0.5) * self.resolution_m
        grid: Any = np.meshgrid(x, y)
        longitude, latitude = self._to_local.transform(grid[0], grid[1], direction="INVERSE")
        return np.asarray(longitude), np.asarray(latitude)
