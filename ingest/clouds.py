"""Cloud and cloud shadow over a scene, from outlines that somebody drew or a product brought along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer
from rasterio.features import rasterize

from db.raster.grid import Grid
from ingest.crs import WGS84_SRID
from ingest.files import SourceFile
from ingest.geometry import storable_shapes
from ingest.gridding import affine_of
from ingest.requests import crs_of
from ingest.vectors import read_features


@dataclass(frozen=True)
class Clouds:
    """Cloud and shadow on the grid of a scene.

    Attributes:
        outline: all of it as one shape, EPSG:4326; empty under a clear sky.
        on_grid: the same in the CRS of the grid.
        grid: the grid.
        sha256: SHA-256 of the file it came from.
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
    shapes = storable_shapes(table, crs_of(table, None), "polygons", repair=True)
    outline = shapely.union_all(shapes.geometries)
    to_grid = Transformer.from_crs(WGS84_SRID, grid.srid, always_xy=True)
    on_grid = shapely.transform(outline, lambda xy: np.column_stack(to_grid.transform(xy[:, 0], xy[:, 1])))
    return Clouds(outline, on_grid, grid, table.sha256, len(table.ids), len(shapes.repaired))
