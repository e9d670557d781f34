"""The outline of a scene's valid pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import shapes

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.crs import FileCrs
from ingest.figures import SceneFigures, in_blocks
from ingest.gridding import affine_of

HOLE_CELLS = 16
"""Holes of fewer mask cells are no part of an outline."""

MAX_VERTICES = 20_000
MAX_EDGES = 40_000
"""A mask with more changes along its rows is speckled: it is outlined in larger cells."""

MAX_EDGE_SHARE = 32
"""Edges are divided so that none is longer than this part of the grid's diagonal before transforming."""

MAX_WIDTH_DEGREES = 180.0


def footprint(figures: SceneFigures, grid: Grid, crs: FileCrs, name: str) -> shapely.MultiPolygon:
    """Outline a scene's valid pixels.

    The outline follows pixel edges, simplified by one to a few mask cells; it never crosses itself.

    Args:
        figures: what the pass over the pixels found.
        grid: the scene's grid.
        crs: its CRS.
        name: the file, for messages.

    Returns:
        Valid MultiPolygon, EPSG:4326.

    Raises:
        UsageError: the scene lies outside the range of its CRS, or across the 180th meridian.

    """
    if figures.mask is None:
        width, height = grid.resolution_x * grid.width_px, grid.resolution_y * grid.height_px
        outline: shapely.Geometry = shapely.box(
            grid.origin_x, grid.origin_y - height, grid.origin_x + width, grid.origin_y
        )
    else:
        outline = _outline(figures.mask, figures.mask_px, grid)
    diagonal = float(np.hypot(grid.width_px * grid.resolution_x, grid.height_px * grid.resolution_y))
    outline = shapely.segmentize(outline, diagonal / MAX_EDGE_SHARE)
    to_wgs84 = crs.to_wgs84()

    def transformed(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(to_wgs84.transform(xy[:, 0], xy[:, 1]))

    lonlat = shapely.transform(outline, transformed)
    west, south, east, north = lonlat.bounds
    if not np.isfinite([west, south, east, north]).all() or south < -90 or north > 90:
        raise UsageError(f"{name}: parts of it lie outside the range of its coordinate reference system")
    if west < -180 or east > 180 or east - west > MAX_WIDTH_DEGREES:
        raise UsageError(
            f"{name}: reaches across the 180th meridian or round more than half the Earth "
            f"(longitudes {west:.2f} to {east:.2f}); cut it"
        )
    return _polygons(lonlat)


def _outline(mask: npt.NDArray[np.bool_], mask_px: int, grid: Grid) -> shapely.Geometry:
    """Outline of mask cells, in units of the grid's CRS, clipped to the grid."""
    while np.count_nonzero(mask[:, 1:] != mask[:, :-1]) > MAX_EDGES:
        mask, mask_px = in_blocks(mask, 2), mask_px * 2
    found = shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    parts = [shapely.geometry.shape(geometry) for geometry, _value in found]
    outline = shapely.union_all([_without_small_holes(part) for part in parts])
    tolerance = 1.0
    simple = outline
    while shapely.get_num_coordinates(simple) > 5 * len(parts) and tolerance <= 64:
        simple = shapely.union_all(_polygons(shapely.simplify(outline, tolerance, preserve_topology=True)))
        if shapely.get_num_coordinates(simple) <= MAX_VERTICES:
            break
        tolerance *= 2
    simple = shapely.intersection(
        shapely.affinity.scale(simple, mask_px, mask_px, origin=(0, 0)),
        shapely.box(0, 0, grid.width_px, grid.height_px),
    )
    affine: Affine = affine_of(grid)
    coefficients = [affine.a, affine.b, affine.d, affine.e, affine.c, affine.f]
    return _polygons(shapely.affinity.affine_transform(simple, coefficients))


def _without_small_holes(part: shapely.Polygon) -> shapely.Polygon:
    kept = [hole for hole in part.interiors if shapely.Polygon(hole).area >= HOLE_CELLS]
    return shapely.Polygon(part.exterior, kept)


def _polygons(geometry: shapely.Geometry) -> shapely.MultiPolygon:
    """Polygons of a geometry, made valid where rounding spoilt them."""
    if not geometry.is_valid:
        geometry = shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    parts = [part for part in shapely.get_parts(geometry) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.MultiPolygon([polygon for part in parts for polygon in shapely.get_parts(part)])
