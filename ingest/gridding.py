"""Decide the grid of a scene: the file's own, untouched, or a warped one, and why.

A grid stays as it is when it is north-up and unrotated in a plane of metres with an EPSG code. Everything
else is warped to UTM on WGS 84 (a rotated or south-up grid in such a plane stays in that plane), with an
origin that is a multiple of the resolution, so that scenes of one zone and resolution share pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from pyproj import CRS, Transformer

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.crs import WGS84_SRID, FileCrs, file_crs

ROTATION_LIMIT = 1e-9
"""A rotation term below this share of the pixel size moves no pixel of any raster that can be read."""

NEAR_NOMINAL = 0.15
"""A warped pixel size this close to the instrument's nominal one becomes the nominal one."""

MAX_DEGREES_FROM_MERIDIAN = 6.0
MAX_LATITUDE = 84.0
MAX_GROUND_SCALE = 1.05
EDGE_POINTS = 65


@dataclass(frozen=True)
class GridPlan:
    """The grid a scene will be stored on.

    Attributes:
        grid: that grid.
        reason: why the pixels are warped; None when no pixel is touched.
        is_turned: a south-up or mirrored grid is only turned over: every pixel keeps its value and place.
        source: the file's CRS.
        notes: what the user should know about positions.

    """

    grid: Grid
    reason: str | None
    is_turned: bool
    source: FileCrs
    notes: tuple[str, ...]


def affine_of(grid: Grid) -> Affine:
    """Affine transform of a grid, as rasterio takes it."""
    return Affine(grid.resolution_x, 0.0, grid.origin_x, 0.0, -grid.resolution_y, grid.origin_y)


def plan_grid(
    dataset: Any, name: str, *, nominal_resolution_m: float, resolution_m: float | None = None
) -> GridPlan:
    """Decide the grid of an open raster.

    Args:
        dataset: rasterio dataset.
        name: the file, for messages.
        nominal_resolution_m: the instrument's pixel size, preferred where the pixels must be warped.
        resolution_m: pixel size of a warped grid, when the user states it.

    Raises:
        UsageError: the file has no usable CRS or grid, or the scene does not fit into a UTM zone.

    """
    transform: Affine = dataset.transform
    _check_transform(dataset, transform, name)
    source = file_crs(dataset.crs.to_wkt() if dataset.crs else None, name)
    doubt = source.doubt()
    notes: tuple[str, ...] = (doubt,) if doubt else ()
    size = math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)
    is_rotated = max(abs(transform.b), abs(transform.d)) > ROTATION_LIMIT * min(size)
    is_flipped = transform.a < 0 or transform.e > 0
    shape = (dataset.height, dataset.width)
    if source.is_metric and source.srid is not None and not is_rotated:
        if resolution_m is not None:
            raise UsageError(
                f"{name}: --resolution is only for scenes that must be warped; this one keeps its own grid"
            )
        grid = _own_grid(transform, shape, source.srid)
        notes += _ground_scale_note(grid, source)
        reason = "it is stored south-up or mirrored" if is_flipped else None
        return GridPlan(grid, reason, is_flipped, source, notes)
    reason = _reason(source, is_rotated=is_rotated)
    srid = (
        source.srid
        if source.is_metric and source.srid is not None
        else _utm_srid(transform, shape, source, name)
    )
    grid = _warped_grid(transform, shape, source, srid, nominal_resolution_m, resolution_m, name)
    return GridPlan(grid, reason, False, source, notes)


def _check_transform(dataset: Any, transform: Affine, name: str) -> None:
    numbers = tuple(transform)[:6]
    if not all(map(math.isfinite, numbers)) or transform.determinant == 0:
        raise UsageError(f"{name}: its pixel size or origin is not a number or zero: {numbers}")
    if transform == Affine.identity():
        if dataset.gcps[0]:
            raise UsageError(
                f"{name}: has {len(dataset.gcps[0])} ground control points and no grid: "
                "orthorectify it first, for instance with gdalwarp"
            )
        if dataset.rpcs is not None:
            raise UsageError(f"{name}: has rational polynomials (RPC) and no grid: orthorectify it first")
        raise UsageError(f"{name}: is not georeferenced: it has neither origin nor pixel size")


def _own_grid(transform: Affine, shape: tuple[int, int], srid: int) -> Grid:
    height, width = shape
    west = transform.c if transform.a > 0 else transform.c + transform.a * width
    north = transform.f if transform.e < 0 else transform.f + transform.e * height
    return Grid(srid, west, north, abs(transform.a), abs(transform.e), width, height)


def _reason(source: FileCrs, *, is_rotated: bool) -> str:
    if source.crs.is_geographic or (source.crs.is_bound and not source.crs.is_projected):
        return f"its grid is geographic ({source.name})"
    if is_rotated and source.is_metric and source.srid is not None:
        return "its grid is rotated"
    if source.srid is None:
        return f"its coordinate reference system ({source.name}) has no EPSG code"
    return f"its coordinate reference system ({source.name}) is not in metres"


def _ground_scale_note(grid: Grid, source: FileCrs) -> tuple[str, ...]:
    """Warn where a metre of the CRS is not a metre on the ground, as in Web Mercator."""
    x = grid.origin_x + grid.resolution_x * grid.width_px / 2
    y = grid.origin_y - grid.resolution_y * grid.height_px / 2
    to_wgs84 = source.to_wgs84()
    lon, lat = to_wgs84.transform([x, x + 100.0, x], [y, y, y + 100.0])
    if not np.all(np.isfinite([*lon, *lat])):
        return ()
    geod = CRS.from_epsg(WGS84_SRID).get_geod()
    if geod is None:
        return ()
    ground = [geod.inv(lon[0], lat[0], lon[end], lat[end])[2] / 100.0 for end in (1, 2)]
    worst = max(ground, key=lambda ratio: abs(math.log(max(ratio, 1e-9))))
    if 1 / MAX_GROUND_SCALE <= worst <= MAX_GROUND_SCALE:
        return ()
    return (
        f"a metre of {source.name} is {worst:.2f} m on the ground here: the pixel size in the catalogue is "
        "in units of the grid, areas are geodesic and right",
    )


def outline_xy(transform: Affine, shape: tuple[int, int]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Points along the outer edges of a grid, once round, in units of its CRS."""
    height, width = shape
    t = np.linspace(0.0, 1.0, EDGE_POINTS)[:-1]
    col = np.concatenate([t, np.ones_like(t), 1 - t, np.zeros_like(t)]) * width
    row = np.concatenate([np.zeros_like(t), t, np.ones_like(t), 1 - t]) * height
    x = transform.a * col + transform.b * row + transform.c
    y = transform.d * col + transform.e * row + transform.f
    return x, y


def _utm_srid(transform: Affine, shape: tuple[int, int], source: FileCrs, name: str) -> int:
    x, y = outline_xy(transform, shape)
    lon, lat = (np.asarray(values) for values in source.to_wgs84().transform(x, y))
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise UsageError(f"{name}: parts of it lie outside the range of its coordinate reference system")
    if np.abs(lat).max() > MAX_LATITUDE or np.abs(lon).max() > 180.0 + 1e-9:
        raise UsageError(
            f"{name}: reaches to longitude {np.abs(lon).max():.1f}, latitude {np.abs(lat).max():.1f}: "
            f"only scenes within 180 and {MAX_LATITUDE:.0f} degrees can be warped to UTM; cut it"
        )
    center_lon, center_lat = (lon.min() + lon.max()) / 2, (lat.min() + lat.max()) / 2
    meridian = min(59, int((center_lon + 180.0) // 6)) * 6 - 177
    if max(abs(lon.min() - meridian), abs(lon.max() - meridian)) > MAX_DEGREES_FROM_MERIDIAN:
        raise UsageError(
            f"{name}: covers longitudes {lon.min():.2f} to {lon.max():.2f}, too wide for one UTM zone; cut it"
        )
    return (32700 if center_lat < 0 else 32600) + (meridian + 183) // 6


def _warped_grid(
    transform: Affine,
    shape: tuple[int, int],
    source: FileCrs,
    srid: int,
    nominal_m: float,
    stated_m: float | None,
    name: str,
) -> Grid:
    x, y = outline_xy(transform, shape)
    if srid != source.srid:
        x, y = Transformer.from_crs(source.crs, srid, always_xy=True).transform(x, y)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise UsageError(f"{name}: parts of it lie outside the range of EPSG:{srid}")
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    own_m = math.sqrt(area / (shape[0] * shape[1]))
    resolution = stated_m if stated_m is not None else _round_resolution(own_m, nominal_m)
    if not resolution > 0 or not 0.1 < resolution / own_m < 10:
        raise UsageError(f"{name}: a resolution of {resolution:g} m does not fit pixels of {own_m:.3g} m")
    west, north = math.floor(x.min() / resolution), math.ceil(y.max() / resolution)
    east, south = math.ceil(x.max() / resolution), math.floor(y.min() / resolution)
    return Grid(
        srid, west * resolution, north * resolution, resolution, resolution, east - west, north - south
    )


def _round_resolution(own_m: float, nominal_m: float) -> float:
    """Nominal pixel size when the file's own is near it, else its own with two digits."""
    if abs(own_m / nominal_m - 1) <= NEAR_NOMINAL:
        return nominal_m
    return float(f"{own_m:.2g}")
