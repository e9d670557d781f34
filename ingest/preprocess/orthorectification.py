"""Orthorectification: images in sensor geometry onto a map grid, by rational polynomials and terrain.

GDAL does the work, a few rows at a time. It takes polynomials to count lines and samples from the centre of
the first pixel, and looks up the height of every point in the elevation model (its transformer options
RPC_DEM and RPC_HEIGHT, which is added to the model's heights).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.warp import reproject

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.crs import WGS84_SRID
from ingest.preprocess.rpc_model import locate
from ingest.preprocess.terrain import Terrain
from ingest.processing.source import FloatArray, reduced_shape

RESAMPLINGS = {
    "nearest": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
}
TOLERANCE_PX = 0.05
"""By how much GDAL may interpolate positions between points it computes exactly, in pixels of the image."""

MAX_LATITUDE = 84.0
_EDGE_POINTS = 33


def ortho_grid(
    rpc: RPC,
    width_px: int,
    height_px: int,
    *,
    resolution_m: float,
    height_m: float,
    name: str,
    terrain: Terrain | None = None,
    srid: int | None = None,
) -> Grid:
    """The map grid that an image in sensor geometry covers.

    Args:
        rpc: the image's polynomials.
        width_px: columns of the image.
        height_px: rows of the image.
        resolution_m: pixel size of the grid; its origin is a multiple of that.
        height_m: height of the ground above the ellipsoid where there is no terrain.
        name: the product, for messages.
        terrain: elevation model; the grid then holds the image at its lowest and highest ground.
        srid: EPSG code of the grid; by default the UTM zone on WGS 84 of the image's centre.

    Raises:
        UsageError: the polynomials cannot be inverted, or the image reaches too far towards a pole.

    """
    t = np.linspace(0.0, 1.0, _EDGE_POINTS)
    line = np.concatenate([0 * t, t, 0 * t + 1, t]) * height_px - 0.5
    sample = np.concatenate([t, 0 * t, t, 0 * t + 1]) * width_px - 0.5
    lon, lat = locate(rpc, line, sample, height_m)
    _check_place(lon, lat, name)
    heights = [height_m]
    if terrain is not None:
        # Where the image lies depends on the height, and which heights count on where it lies.
        margin = 0.05 * max(np.ptp(lon), np.ptp(lat))
        heights = list(
            terrain.height_range(
                lon.min() - margin, lat.min() - margin, lon.max() + margin, lat.max() + margin
            )
        )
        found = [locate(rpc, line, sample, height) for height in heights]
        lon = np.concatenate([each[0] for each in found])
        lat = np.concatenate([each[1] for each in found])
        _check_place(lon, lat, name)
    if srid is None:
        zone = min(60, int((float(lon.mean()) + 180.0) // 6) + 1)
        srid = (32700 if float(lat.mean()) < 0 else 32600) + zone
    x, y = Transformer.from_crs(WGS84_SRID, srid, always_xy=True).transform(lon, lat)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UsageError(f"{name}: the image lies outside the range of EPSG:{srid}")
    west, north = math.floor(min(x) / resolution_m), math.ceil(max(y) / resolution_m)
    east, south = math.ceil(max(x) / resolution_m), math.floor(min(y) / resolution_m)
    if (east - west) * (north - south) > 16 * width_px * height_px * max(
        1.0, _pixel_m(x, y, width_px, height_px) / resolution_m
    ) ** 2:
        raise UsageError(f"{name}: the rational polynomials spread the image over a place far too large")
    return Grid(
        srid,
        west * resolution_m,
        north * resolution_m,
        resolution_m,
        resolution_m,
        east - west,
        north - south,
    )


def _pixel_m(x: Any, y: Any, width_px: int, height_px: int) -> float:
    """Rough size of the image's pixels on the ground, m."""
    return math.sqrt(float(np.ptp(x)) * float(np.ptp(y)) / (width_px * height_px))


def _check_place(lon: Any, lat: Any, name: str) -> None:
    if np.abs(lat).max() > MAX_LATITUDE or np.abs(lon).max() > 180.0:
        raise UsageError(
            f"{name}: its rational polynomials place it at longitude {np.abs(lon).max():.1f}, latitude "
            f"{np.abs(lat).max():.1f}: only scenes within 180 and {MAX_LATITUDE:.0f} degrees are read"
        )


class OrthoSource:
    """An image in sensor geometry seen on a map grid, as every source of pixels is read.

    Args:
        dataset: the open image.
        bands: band numbers from 1.
        rpc: its polynomials.
        grid: the map grid.
        terrain: elevation model; None: one height for all.
        height_m: that height above the ellipsoid.
        offset_m: metres east and north: what would stand there stands here, as registration wants it.
        resampling: nearest, bilinear or cubic.
        nodata: value of the image's pixels without data; they take no part in resampling.

    """

    def __init__(
        self,
        dataset: Any,
        bands: Sequence[int],
        rpc: RPC,
        grid: Grid,
        *,
        terrain: Terrain | None,
        height_m: float,
        offset_m: tuple[float, float] = (0.0, 0.0),
        resampling: str = "bilinear",
        nodata: float | None = 0.0,
    ) -> None:
        self._dataset = dataset
        self._bands = list(bands)
        self._rpc = rpc
        self._grid = grid
        self._offset_m = offset_m
        self._resampling = RESAMPLINGS[resampling]
        self._nodata = nodata
        self._options: dict[str, Any] = {"RPC_HEIGHT": height_m}
        if terrain is not None:
            self._options = {
                "RPC_DEM": str(terrain.file.path),
                "RPC_DEMINTERPOLATION": "bilinear",
                "RPC_HEIGHT": terrain.geoid_height_m,
            }

    @property
    def grid(self) -> Grid:
        """The map grid."""
        return self._grid

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return len(self._bands)

    def read(self, row: int, height: int) -> FloatArray:
        """Rows over the whole width (bands, height, width), NaN without data."""
        return self.read_window(row, 0, height, self._grid.width_px)

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Any window (bands, height, width), NaN without data."""
        return self._warp(row, col, (height, width), 1, self._resampling)

    def reduced(self, factor: int) -> FloatArray:
        """The whole image at a reduced resolution: every cell the mean of the image's pixels in it."""
        if factor == 1:
            return self.read(0, self._grid.height_px)
        return self._warp(0, 0, reduced_shape(self._grid, factor), factor, Resampling.average)

    def _warp(
        self, row: int, col: int, shape: tuple[int, int], factor: int, resampling: Resampling
    ) -> FloatArray:
        grid = self._grid
        x = grid.origin_x + col * grid.resolution_x + self._offset_m[0]
        y = grid.origin_y - row * grid.resolution_y + self._offset_m[1]
        pixels = np.full((len(self._bands), *shape), np.nan, np.float32)
        reproject(
            rasterio.band(self._dataset, self._bands),
            pixels,
            rpcs=self._rpc,
            src_crs=CRS.from_epsg(WGS84_SRID),
            src_nodata=self._nodata,
            dst_transform=Affine(grid.resolution_x * factor, 0.0, x, 0.0, -grid.resolution_y * factor, y),
            dst_crs=CRS.from_epsg(grid.srid),
            dst_nodata=math.nan,
            resampling=resampling,
            tolerance=TOLERANCE_PX,
            warp_mem_limit=64,
            **self._options,
        )
        return pixels
