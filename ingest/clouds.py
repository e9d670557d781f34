"""Cloud and cloud shadow over a scene, from outlines that somebody drew or a product brought along."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
import shapely.affinity
import shapely.geometry
from affine import Affine
from pyproj import Transformer
from rasterio.features import rasterize, shapes, sieve

from db.raster.grid import Grid
from ingest.crs import WGS84_SRID
from ingest.files import SourceFile
from ingest.geometry import storable_shapes
from ingest.gridding import affine_of
from ingest.requests import crs_of
from ingest.vectors import read_features

SMALLEST_PATCH_PX = 4
"""Smaller patches of a mask are specks."""

LONGEST_EDGE_M, LONGEST_EDGE_DEGREES = 1000.0, 0.01
"""Longer edges get vertices in between before they are transformed."""

MAX_MASK_PX = 32_000_000
"""A larger mask is reduced before its patches are outlined."""


@dataclass(frozen=True)
class Clouds:
    """Cloud and shadow on the grid of a scene.

    Attributes:
        outline: all of it as one shape, EPSG:4326; empty under a clear sky.
        on_grid: the same in the CRS of the grid.
        grid: the grid.
        sha256: SHA-256 of the file it came from; empty when it was found in the pixels.
        count: outlines in that file.
        repaired: of them, made valid.

    """

    outline: shapely.Geometry
    on_grid: shapely.Geometry
    grid: Grid
    sha256: str
    count: int
    repaired: int

    def rows(self, row: int, height: int) -> npt.NDArray[np.bool_]:
        """Pixels of some rows (height, width) whose centre lies under cloud or shadow."""
        shape = (height, self.grid.width_px)
        if self.on_grid.is_empty:
            return np.zeros(shape, bool)
        affine = affine_of(self.grid)
        strip = affine.translation(affine.c, affine.f + row * affine.e) @ affine.scale(affine.a, affine.e)
        burnt: npt.NDArray[np.uint8] = rasterize([(self.on_grid, 1)], shape, transform=strip, dtype="uint8")
        return burnt.astype(bool)

    def moved(self, east_m: float, north_m: float) -> Clouds:
        """The same outlines moved in the CRS of the grid."""
        on_grid = shapely.affinity.translate(self.on_grid, east_m, north_m)
        return replace(self, on_grid=on_grid, outline=transformed(on_grid, self.grid.srid, WGS84_SRID))

    def inside(self, footprint: shapely.MultiPolygon) -> shapely.MultiPolygon | None:
        """The part inside a scene's footprint, EPSG:4326; None when there is none."""
        common = shapely.intersection(self.outline, footprint)
        parts = [part for part in shapely.get_parts(common) if part.geom_type == "Polygon"]
        parts += [
            polygon
            for part in shapely.get_parts(common)
            if part.geom_type == "MultiPolygon"
            for polygon in shapely.get_parts(part)
        ]
        return shapely.MultiPolygon(parts) if parts else None


def read_clouds(file: SourceFile, roots: Sequence[Path], grid: Grid) -> Clouds:
    """Read outlines of cloud and shadow for a scene.

    Cloud masks made by machines often touch themselves: they are repaired without being asked, and counted.

    Args:
        file: vector file of polygons, in any CRS; without features it says that the sky was clear.
        roots: folders that parts of a shapefile must lie in; empty: any.
        grid: grid of the scene.

    Raises:
        UsageError: the file cannot be read or holds something else than polygons.

    """
    table = read_features(file, roots)
    found = storable_shapes(table, crs_of(table, None), "polygons", repair=True)
    outline = shapely.union_all(found.geometries)
    on_grid = transformed(outline, WGS84_SRID, grid.srid)
    return Clouds(outline, on_grid, grid, table.sha256, len(table.ids), len(found.repaired))


def clouds_of_mask(mask: npt.NDArray[np.bool_], transform: Affine, grid: Grid) -> Clouds:
    """Outline the patches of a mask.

    Args:
        mask: cloud or shadow (height, width).
        transform: affine of the mask, in the CRS of the scene's grid.
        grid: grid of the scene.

    """
    outlines = mask_outline(mask, transform)
    outline = transformed(outlines, grid.srid, WGS84_SRID)
    return Clouds(outline, outlines, grid, "", len(shapely.get_parts(outlines)), 0)


def mask_outline(mask: npt.NDArray[np.bool_], transform: Affine) -> shapely.Geometry:
    """Outline of the patches of a mask, along pixel edges and without specks; empty where there is none."""
    if mask.size > MAX_MASK_PX:
        factor = math.ceil(math.sqrt(mask.size / MAX_MASK_PX))
        reduced = np.zeros((-(-mask.shape[0] // factor), -(-mask.shape[1] // factor)), bool)
        np.logical_or.reduceat(
            np.logical_or.reduceat(mask, np.arange(0, mask.shape[0], factor), axis=0),
            np.arange(0, mask.shape[1], factor),
            axis=1,
            out=reduced,
        )
        a, b, c, d, e, f = tuple(transform)[:6]
        return mask_outline(reduced, Affine(a * factor, b, c, d, e * factor, f))
    cleaned = sieve(mask.astype(np.uint8), SMALLEST_PATCH_PX, connectivity=4)
    found = shapes(cleaned, mask=cleaned.astype(bool), connectivity=4, transform=transform)
    return shapely.union_all([shapely.geometry.shape(geometry) for geometry, _ in found])


def transformed(geometry: shapely.Geometry, source_srid: int, target_srid: int) -> shapely.Geometry:
    """Transform a geometry between two CRSs, x east and y north in both."""
    to_target = Transformer.from_crs(source_srid, target_srid, always_xy=True)
    # A long straight edge in one CRS is a curve in the other.
    longest = LONGEST_EDGE_DEGREES if source_srid == WGS84_SRID else LONGEST_EDGE_M
    geometry = shapely.segmentize(geometry, longest)
    return shapely.transform(geometry, lambda xy: np.column_stack(to_target.transform(xy[:, 0], xy[:, 1])))
