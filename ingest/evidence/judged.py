"""The ground of a study area that is judged: polygons, or the cells of rasters above 0, in EPSG:4326."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.features import rasterize, shapes

from db.errors import UsageError
from db.raster import Grid
from ingest.crs import WGS84_SRID, FileCrs, file_crs
from ingest.evidence.alignment import SAME_PX
from ingest.evidence.grids import MAX_CELLS
from ingest.files import SourceFile
from ingest.geometry import MAX_EDGE_M, storable_shapes
from ingest.gridding import affine_of
from ingest.jp2_header import is_jp2
from ingest.opening import open_raster, reading
from ingest.requests import crs_of
from ingest.vectors import read_features

MAX_EDGE_DEGREES = 0.01
"""No edge is longer, so that whoever transforms the vertices alone moves nothing that matters."""

MAX_PATCHES = 500_000
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEAD_BYTES = 12


@dataclass(frozen=True)
class JudgedGround:
    """Ground that is judged: a valid MultiPolygon in EPSG:4326, and what the user should know."""

    geometry: shapely.MultiPolygon
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Cells:
    """Cells of a raster above 0: (height, width), where they lie, and the file."""

    mask: npt.NDArray[np.bool_]
    transform: Affine
    crs: FileCrs
    name: str


def judged_ground(
    files: Sequence[SourceFile], grid: Grid, *, roots: Sequence[Path] = (), layer: str | None = None
) -> JudgedGround:
    """Find the ground that is judged, within a grid.

    Args:
        files: polygons (all of them), or rasters (cells of any value above 0); several: any of them; none:
            the whole grid.
        grid: the grid of the study area.
        roots: folders that parts of a shapefile must lie in; empty: any.
        layer: layer of a vector file that has several.

    Raises:
        UsageError: a file cannot be used, or none of its ground lies on the grid.

    """
    if not files:
        return JudgedGround(_stored([_whole(grid)]), ())
    found, rasters = [], []
    for file in files:
        head = file.head(_HEAD_BYTES)
        if head.startswith(_TIFF_STARTS) or is_jp2(head):
            rasters.append(_above_zero(file))
        else:
            table = read_features(file, roots, layer=layer)
            found += list(storable_shapes(table, crs_of(table, None), "polygons", repair=False).geometries)
    found += [polygon for cells in _merged(rasters) for polygon in _outlined(cells)]
    if not found:
        raise UsageError(f"{_names(files)}: no cell is above 0, so no ground would be judged")
    ground = _stored(found)
    if _is_within(ground, grid):
        return JudgedGround(ground, ())
    inside = shapely.intersection(ground, _whole(grid))
    if inside.area == 0:
        raise UsageError(f"{_names(files)}: none of it lies on the grid of the study area")
    return JudgedGround(_stored([inside]), ("ground outside of the grid is left out",))


def judged_cells(geometry: shapely.MultiPolygon, grid: Grid) -> npt.NDArray[np.bool_]:
    """Cells of a grid whose middle lies on judged ground: (height, width).

    Args:
        geometry: ground in EPSG:4326, with edges short enough to transform their ends.
        grid: the grid.

    """
    burnt = rasterize(
        [_on_grid(geometry, grid)],
        out_shape=(grid.height_px, grid.width_px),
        transform=affine_of(grid),
        fill=0,
        default_value=1,
        dtype="uint8",
    )
    cells: npt.NDArray[np.bool_] = burnt != 0
    return cells


def _names(files: Sequence[SourceFile]) -> str:
    return ", ".join(file.name for file in files)


def _on_grid(geometry: shapely.Geometry, grid: Grid) -> shapely.Geometry:
    return _transformed(geometry, Transformer.from_crs(WGS84_SRID, grid.srid, always_xy=True).transform)


def _is_within(ground: shapely.Geometry, grid: Grid) -> bool:
    """Whether no ground lies outside of a grid, but for roundings."""
    west, south, east, north = shapely.bounds(_on_grid(ground, grid))
    beyond_px = (
        (grid.origin_x - west) / grid.resolution_x,
        (east - grid.x_of_col(grid.width_px)) / grid.resolution_x,
        (north - grid.origin_y) / grid.resolution_y,
        (grid.y_of_row(grid.height_px) - south) / grid.resolution_y,
    )
    return bool(max(beyond_px) <= SAME_PX)


def _whole(grid: Grid) -> shapely.Geometry:
    box = shapely.box(
        grid.origin_x,
        grid.origin_y - grid.resolution_y * grid.height_px,
        grid.origin_x + grid.resolution_x * grid.width_px,
        grid.origin_y,
    )
    return _to_wgs84(box, file_crs(f"EPSG:{grid.srid}", "the study area"), "the study area")


def _above_zero(file: SourceFile) -> _Cells:
    """Cells of a raster above 0.

    Raises:
        UsageError: it has several bands, no place, or is too large.

    """
    with open_raster(file) as dataset, reading(file):
        if dataset.count != 1:
            raise UsageError(f"{file.name}: has {dataset.count} bands; the ground inside has one")
        if dataset.width * dataset.height > MAX_CELLS:
            raise UsageError(f"{file.name}: has more than {MAX_CELLS} cells; make it coarser first")
        crs = file_crs(dataset.crs.to_wkt() if dataset.crs else None, file.name)
        transform: Affine = dataset.transform
        if transform == Affine.identity() or transform.determinant == 0:
            raise UsageError(f"{file.name}: is not georeferenced: it has neither origin nor pixel size")
        mask = (dataset.read(1) > 0) & (dataset.read_masks(1) != 0)
    file.check_unchanged()
    return _Cells(mask, transform, crs, file.name)


def _merged(rasters: Sequence[_Cells]) -> list[_Cells]:
    """Rasters on one grid as one: cells of any of them."""
    groups: dict[Any, _Cells] = {}
    for cells in rasters:
        key = (cells.crs.name, cells.transform, cells.mask.shape)
        before = groups.get(key)
        groups[key] = (
            cells
            if before is None
            else _Cells(before.mask | cells.mask, cells.transform, cells.crs, f"{before.name}, {cells.name}")
        )
    return list(groups.values())


def _outlined(cells: _Cells) -> list[shapely.Geometry]:
    """Patches of cells along their edges, in EPSG:4326.

    Raises:
        UsageError: there are too many, or they lie outside of their CRS's range.

    """
    polygons = []
    for geometry, _value in shapes(
        cells.mask.astype(np.uint8), mask=cells.mask, connectivity=4, transform=cells.transform
    ):
        polygons.append(shapely.geometry.shape(geometry))
        if len(polygons) > MAX_PATCHES:
            raise UsageError(f"{cells.name}: has more than {MAX_PATCHES} patches above 0; smooth it first")
    return [_to_wgs84(polygon, cells.crs, cells.name) for polygon in polygons]


def _to_wgs84(shape: shapely.Geometry, crs: FileCrs, name: str) -> shapely.Geometry:
    if crs.crs.is_projected:
        shape = shapely.segmentize(shape, MAX_EDGE_M / crs.crs.axis_info[0].unit_conversion_factor)
    moved = _transformed(shape, crs.to_wgs84().transform)
    west, south, east, north = shapely.bounds(moved)
    if not np.isfinite([west, south, east, north]).all() or south < -90 or north > 90:
        raise UsageError(f"{name}: parts of it lie outside the range of {crs.name}")
    if east - west > 180:
        raise UsageError(f"{name}: reaches across the 180th meridian; divide it there")
    return moved


def _transformed(shape: shapely.Geometry, transform: Callable[..., Any]) -> shapely.Geometry:
    return shapely.transform(shape, lambda xy: np.column_stack(transform(xy[:, 0], xy[:, 1])))


def _stored(parts: Sequence[shapely.Geometry]) -> shapely.MultiPolygon:
    """One valid MultiPolygon with short edges; a patch that touches itself at a corner is divided there."""
    merged = shapely.union_all([polygon for part in parts for polygon in _polygons(part)])
    return shapely.MultiPolygon(_polygons(shapely.segmentize(merged, MAX_EDGE_DEGREES)))


def _polygons(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """Valid polygons of a shape."""
    if not shape.is_valid:
        shape = shapely.make_valid(shape, method="structure", keep_collapsed=False)
    parts = shapely.get_parts(shapely.get_parts(shape))  # of a collection's multipolygons too
    return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]
