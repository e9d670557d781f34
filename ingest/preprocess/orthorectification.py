"""Orthorectification: images in sensor geometry onto a map grid, by rational polynomials and terrain.

GDAL does the work, a block at a time: it looks up the height of every point in the elevation model (its
transformer options RPC_DEM, and RPC_HEIGHT, which is added to the model's heights) and takes polynomials to
count lines and samples from the centre of the first pixel. Ground that the model does not cover, or where it
has a hole, gets no data: no height is made up for it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.rpc import RPC
from rasterio.warp import reproject
from rasterio.windows import Window

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.crs import WGS84_SRID
from ingest.files import SourceFile
from ingest.opening import reading
from ingest.preprocess.rpc_model import locate, project
from ingest.preprocess.terrain import Terrain
from ingest.processing.source import FloatArray, reduced_shape

RESAMPLINGS = {
    "nearest": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
}
FINEST, COARSEST = 8.0, 20.0
"""A grid may be so many times as fine or coarse as the image's own pixels."""

LARGEST_NUMBER = 1e9
"""Floating point numbers beyond this, infinite or not a number, are no measurements."""

TOLERANCE_PX = 0.05
"""By how much GDAL may interpolate positions between points it computes exactly, in pixels of the image.

At one height only: it judges a row of points by its ends and middle, between which terrain may rise and fall.
"""

BLOCK_PX = 1024
_MARGIN_PX = 6
_CHECKED = 9
_NEARLY_EQUAL = 1.1

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
    origin: tuple[float, float] = (0.0, 0.0),
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
        origin: a corner of pixels that the grid's pixels fit to, for grids that share pixels with another.

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
    image_m = _pixel_m(x, y, width_px, height_px)
    if not image_m / FINEST <= resolution_m <= image_m * COARSEST:
        raise UsageError(
            f"{name}: a grid of {resolution_m:g} m for an image whose pixels are about {image_m:.2g} m: "
            "choose "
            f"--resolution between {image_m / FINEST:.2g} and {image_m * COARSEST:.2g}"
        )
    left, right = ((each - origin[0]) / resolution_m for each in (min(x), max(x)))
    low, high = ((each - origin[1]) / resolution_m for each in (min(y), max(y)))
    west, east, south, north = math.floor(left), math.ceil(right), math.floor(low), math.ceil(high)
    if (east - west) * (north - south) > 16 * width_px * height_px * max(1.0, image_m / resolution_m) ** 2:
        raise UsageError(f"{name}: the rational polynomials spread the image over a place far too large")
    return Grid(
        srid,
        origin[0] + west * resolution_m,
        origin[1] + north * resolution_m,
        resolution_m,
        resolution_m,
        east - west,
        north - south,
    )


def ground_bounds(rpc: RPC, width_px: int, height_px: int) -> tuple[float, float, float, float]:
    """West, south, east and north of an image's ground, degrees, at the height its polynomials centre on."""
    line = np.array([-0.5, -0.5, height_px - 0.5, height_px - 0.5])
    sample = np.array([-0.5, width_px - 0.5, width_px - 0.5, -0.5])
    lon, lat = locate(rpc, line, sample, rpc.height_off)
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


def terrain_coverage(rpc: RPC, width_px: int, height_px: int, terrain: Terrain) -> float:
    """Share of an image whose ground the elevation model knows, 0..1; the rest becomes no data.

    Args:
        rpc: the image's polynomials.
        width_px: columns of the image.
        height_px: rows of the image.
        terrain: the elevation model.

    """
    line, sample = np.meshgrid(
        np.linspace(-0.5, height_px - 0.5, _EDGE_POINTS), np.linspace(-0.5, width_px - 0.5, _EDGE_POINTS)
    )
    lon, lat = locate(rpc, line, sample, rpc.height_off)
    margin = 0.05 * max(np.ptp(lon), np.ptp(lat))
    seen = terrain.heights_seen(
        lon.min() - margin, lat.min() - margin, lon.max() + margin, lat.max() + margin
    )
    if seen is None:
        return 0.0
    lon, lat = locate(rpc, line, sample, sum(seen) / 2)
    return float(np.isfinite(terrain.heights_at(lon.ravel(), lat.ravel())).mean())


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
        file: the image's file, which messages about damage name; None: GDAL's errors pass as they are.

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
        file: SourceFile | None = None,
    ) -> None:
        self._file = file
        self._dataset = dataset
        self._bands = list(bands)
        self._rpc = rpc
        self._grid = grid
        self._offset_m = offset_m
        self._resampling = RESAMPLINGS[resampling]
        self._nodata = nodata
        self._terrain = terrain
        self._height_m = height_m
        self._to_geographic = Transformer.from_crs(grid.srid, WGS84_SRID, always_xy=True)
        self._options: dict[str, Any] = {"RPC_HEIGHT": height_m, "tolerance": TOLERANCE_PX}
        if terrain is not None:
            self._options = {
                "RPC_DEM": str(terrain.file.path),
                "RPC_DEMINTERPOLATION": "bilinear",
                "RPC_DEM_APPLY_VDATUM_SHIFT": "FALSE",
                "RPC_HEIGHT": terrain.geoid_height_m,
                "tolerance": 0.0,
            }
        # GDAL would take how much it must smooth from the bounding boxes of what it warps at once: strips of
        # an image that is turned against the grid would be blurred, each another way.
        scale = 1.0 / max(1.0, self._image_px_per_pixel())
        self._options |= {"XSCALE": scale, "YSCALE": scale}

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
        return self._warp(self._bands, row, col, (height, width), 1, self._resampling)

    def read_bands(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of some bands (places from 0)."""
        bands = [self._bands[place] for place in places]
        return self._warp(bands, row, col, (height, width), 1, self._resampling)

    def reduced(self, factor: int) -> FloatArray:
        """The whole image at a reduced resolution: every cell the mean of the image's pixels in it."""
        if factor == 1:
            return self.read(0, self._grid.height_px)
        shape = reduced_shape(self._grid, factor)
        return self._warp(self._bands, 0, 0, shape, factor, Resampling.average)

    def _warp(
        self,
        bands: Sequence[int],
        row: int,
        col: int,
        shape: tuple[int, int],
        factor: int,
        resampling: Resampling,
    ) -> FloatArray:
        """Pixels ``factor`` times as large from a row and column of the grid on, block by block."""
        pixels = np.full((len(bands), *shape), np.nan, np.float32)
        side = max(1, BLOCK_PX // factor)
        for top in range(0, shape[0], side):
            for left in range(0, shape[1], side):
                block = pixels[:, top : top + side, left : left + side]
                place = (row + top * factor, col + left * factor)
                pixels[:, top : top + side, left : left + side] = self._block(
                    bands, place, (block.shape[1], block.shape[2]), factor, resampling
                )
        return pixels

    def _block(
        self,
        bands: Sequence[int],
        place: tuple[int, int],
        shape: tuple[int, int],
        factor: int,
        resampling: Resampling,
    ) -> FloatArray:
        grid = self._grid
        pixels = np.full((len(bands), *shape), np.nan, np.float32)
        west = grid.origin_x + place[1] * grid.resolution_x + self._offset_m[0]
        north = grid.origin_y - place[0] * grid.resolution_y + self._offset_m[1]
        step_x, step_y = grid.resolution_x * factor, grid.resolution_y * factor
        window = self._image_window(west, north, west + shape[1] * step_x, north - shape[0] * step_y, shape)
        if window is None:
            return pixels
        # Of a dataset that is handed over, rasterio takes the polynomials it carries and no others.
        with nullcontext() if self._file is None else reading(self._file):
            image = self._dataset.read(list(bands), window=window)
        if image.dtype.kind == "f":
            unreal = ~(np.abs(image) < LARGEST_NUMBER)
            image[unreal] = math.nan if self._nodata is None else self._nodata
        rpc = copy.copy(self._rpc)
        rpc.line_off -= window.row_off
        rpc.samp_off -= window.col_off
        reproject(
            image,
            pixels,
            rpcs=rpc,
            src_crs=CRS.from_epsg(WGS84_SRID),
            src_nodata=self._nodata,
            dst_transform=Affine(step_x, 0.0, west, 0.0, -step_y, north),
            dst_crs=CRS.from_epsg(grid.srid),
            dst_nodata=math.nan,
            resampling=resampling,
            warp_mem_limit=256,
            **self._options,
        )
        return pixels

    def _image_window(
        self, west: float, north: float, east: float, south: float, shape: tuple[int, int]
    ) -> Window | None:
        """The part of the image that shows a rectangle of the map, whatever its height; None: no part."""
        x, y = np.meshgrid(np.linspace(west, east, _CHECKED), np.linspace(north, south, _CHECKED))
        lon, lat = self._to_geographic.transform(x, y)
        heights = [self._height_m]
        if self._terrain is not None:
            seen = self._terrain.heights_seen(lon.min(), lat.min(), lon.max(), lat.max())
            if seen is None:
                return None
            rise = 0.05 * (seen[1] - seen[0]) + 1.0
            heights = [seen[0] - rise, seen[1] + rise]
        found = [project(self._rpc, lon, lat, height) for height in heights]
        bounds = []
        for axis, size, steps in ((0, self._dataset.height, shape[0]), (1, self._dataset.width, shape[1])):
            places = np.concatenate([each[axis].ravel() for each in found])
            if not np.isfinite(places).all():
                return None
            margin = _MARGIN_PX + 4 * np.ptp(places) / steps
            first = max(0, math.floor(places.min() - margin))
            last = min(size, math.ceil(places.max() + margin) + 1)
            if first >= last:
                return None
            bounds.append((first, last))
        (top, bottom), (left, right) = bounds
        return Window(left, top, right - left, bottom - top)

    def _image_px_per_pixel(self) -> float:
        """How many pixels of the image, along one side, a pixel of the grid holds in its middle."""
        grid = self._grid
        x = grid.x_of_col(grid.width_px // 2) + np.array([0.0, grid.resolution_x, 0.0])
        y = grid.y_of_row(grid.height_px // 2) + np.array([0.0, 0.0, grid.resolution_y])
        lon, lat = self._to_geographic.transform(x, y)
        line, sample = project(self._rpc, lon, lat, self._rpc.height_off)
        area = (line[1] - line[0]) * (sample[2] - sample[0]) - (line[2] - line[0]) * (sample[1] - sample[0])
        side = math.sqrt(abs(float(area)))
        return side if math.isfinite(side) and side > _NEARLY_EQUAL else 1.0
