"""The grid of a study area: that of a raster file, or one around bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from affine import Affine
from pyproj import Proj

from db.errors import UsageError
from db.raster import Grid
from ingest.crs import FileCrs, file_crs
from ingest.files import SourceFile
from ingest.gridding import MAX_GROUND_SCALE, plan_grid
from ingest.opening import open_raster, reading

MAX_CELLS = 100_000_000
"""Layers are held whole: of so many cells each takes 400 MB."""

_ADVICE = (
    "distances to faults and deposits are measured on the grid: choose a CRS in metres, for instance the UTM "
    "zone of the area (EPSG:326nn north of the equator, EPSG:327nn south of it)"
)


@dataclass(frozen=True)
class AreaGrid:
    """A grid in metres, with what the user should know about it."""

    grid: Grid
    notes: tuple[str, ...]


def grid_like(file: SourceFile, resolution_m: float | None = None) -> AreaGrid:
    """Take the grid of a raster file.

    Args:
        file: GeoTIFF or JPEG 2000 image.
        resolution_m: cells of this size instead of the file's, from its north-west corner on, so many that
            they cover the file.

    Raises:
        UsageError: its grid is not in metres, is rotated or too large.

    """
    with open_raster(file) as dataset, reading(file):
        crs = file_crs(dataset.crs.to_wkt() if dataset.crs else None, file.name)
        _check_metric(crs, file.name, "warp the file first, or say --bounds and --srid of such a CRS")
        plan = plan_grid(dataset, file.name, nominal_resolution_m=1.0)
    file.check_unchanged()
    if plan.reason is not None and not plan.is_turned:
        raise UsageError(f"{file.name}: {plan.reason}: warp it to a north-up grid first, or say --bounds")
    grid = plan.grid
    if resolution_m is not None:
        width_m, height_m = grid.resolution_x * grid.width_px, grid.resolution_y * grid.height_px
        grid = _sized(
            grid.srid,
            grid.origin_x,
            grid.origin_y,
            resolution_m,
            width_m / resolution_m,
            height_m / resolution_m,
        )
    _check_size(grid)
    return AreaGrid(grid, plan.notes)


def grid_of_bounds(bounds: tuple[float, float, float, float], srid: int, resolution_m: float) -> AreaGrid:
    """Lay a grid around bounds: its edges are multiples of the resolution, rounded outwards.

    Args:
        bounds: west, south, east, north, in metres of the CRS.
        srid: EPSG code of the CRS.
        resolution_m: edge of the cells, m.

    Raises:
        UsageError: the CRS is not in metres, or the bounds cannot be right.

    """
    crs = file_crs(f"EPSG:{srid}", f"--srid {srid}")
    _check_metric(crs, f"--srid {srid}", "and write --bounds in it")
    west, south, east, north = bounds
    if not all(map(math.isfinite, bounds)) or west >= east or south >= north:
        raise UsageError(
            f"--bounds {west:g},{south:g},{east:g},{north:g}: write them as WEST,SOUTH,EAST,NORTH, in "
            f"metres of {crs.name}"
        )
    if max(abs(west), abs(east)) <= 360 and max(abs(south), abs(north)) <= 90:
        raise UsageError(
            f"--bounds {west:g},{south:g},{east:g},{north:g}: these look like degrees; write them in metres "
            f"of {crs.name}"
        )
    left, top = math.floor(_steps(west, resolution_m)), math.ceil(_steps(north, resolution_m))
    across = math.ceil(_steps(east, resolution_m)) - left
    down = top - math.floor(_steps(south, resolution_m))
    grid = _sized(srid, left * resolution_m, top * resolution_m, resolution_m, across, down)
    _check_size(grid)
    return AreaGrid(grid, _scale_note(grid, crs))


def center_of(grid: Grid) -> tuple[float, float]:
    """X and y of the middle of a grid, units of its CRS."""
    x = grid.origin_x + grid.resolution_x * grid.width_px / 2
    return x, grid.origin_y - grid.resolution_y * grid.height_px / 2


def corners_of(transform: Affine, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """West, south, east, north of a raster, units of its CRS."""
    height, width = shape
    x, y = zip(
        *(transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))), strict=True
    )
    return min(x), min(y), max(x), max(y)


def _check_metric(crs: FileCrs, name: str, what_else: str) -> None:
    if not crs.is_metric:
        kind = "geographic (degrees)" if crs.crs.is_geographic else "in another unit than metres"
        raise UsageError(f"{name}: the grid of a study area may not be {kind}: {_ADVICE}; {what_else}")
    if crs.srid is None:
        raise UsageError(
            f"{name}: its coordinate reference system ({crs.name}) has no EPSG code: {_ADVICE}; {what_else}"
        )


def _steps(coordinate_m: float, resolution_m: float) -> float:
    """A coordinate in cells; what is a whole number but for the last bits becomes one."""
    steps = coordinate_m / resolution_m
    nearest = round(steps)
    return nearest if math.isclose(steps, nearest, rel_tol=0, abs_tol=1e-6) else steps


def _sized(srid: int, west: float, north: float, resolution_m: float, across: float, down: float) -> Grid:
    width, height = (math.ceil(round(count, 6)) for count in (across, down))
    return Grid(srid, west, north, resolution_m, resolution_m, width, height)


def _check_size(grid: Grid) -> None:
    cells = grid.width_px * grid.height_px
    if cells > MAX_CELLS:
        raise UsageError(
            f"a grid of {grid.width_px} x {grid.height_px} cells is too large: at most {MAX_CELLS} are held; "
            "choose a coarser --resolution-m or a smaller area"
        )


def _scale_note(grid: Grid, crs: FileCrs) -> tuple[str, ...]:
    """Warn where a metre of the CRS is not a metre on the ground, as in Web Mercator or far from a zone."""
    lon, lat = crs.to_wgs84().transform(*center_of(grid))
    if not np.isfinite([lon, lat]).all():
        raise UsageError(f"the area lies outside the range of {crs.name}: are --bounds and --srid right?")
    scale = math.sqrt(Proj(crs.crs).get_factors(lon, lat).areal_scale)
    if 1 / MAX_GROUND_SCALE <= scale <= MAX_GROUND_SCALE:
        return ()
    return (
        f"warning: a metre on the ground is {scale:.2f} m of {crs.name} here, so distances on the grid "
        "are wrong by that; choose the UTM zone of the area",
    )
