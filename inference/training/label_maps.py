"""Labels as pixels: which class and which polygon each pixel of a scene belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine

from db.raster import Grid
from inference.segmentation_model import CLASS_CODES, IGNORED

LABEL_SRID = 4326
UNLABELLED = 0


@dataclass(frozen=True)
class LabelMap:
    """What interpreters said about a scene, on its grid.

    Attributes:
        classes: (height, width) uint8 class codes, 255 where unlabelled.
        polygons: (height, width) int32, number of the polygon from 1, 0 where unlabelled.

    """

    classes: NDArray[np.uint8]
    polygons: NDArray[np.int32]

    def without(self, unobserved: NDArray[np.bool_]) -> LabelMap:
        """The same map, unlabelled where the scene was not observed (height, width)."""
        return LabelMap(
            np.where(unobserved, np.uint8(IGNORED), self.classes),
            np.where(unobserved, np.int32(UNLABELLED), self.polygons),
        )


def label_map(codes: Sequence[int], geometries: Sequence[Any], grid: Grid) -> LabelMap:
    """Draw label polygons on a scene's grid; a pixel belongs to the polygon that holds its centre.

    Where polygons overlap the later one counts. Polygons of classes that no network answers (subsidence,
    treated land) are drawn as unlabelled, so that they take back what lies under them.

    Args:
        codes: class code of each polygon.
        geometries: the polygons in EPSG:4326, longitude first.
        grid: the scene's.

    """
    polygons = np.zeros((grid.height_px, grid.width_px), np.int32)
    if geometries:
        to_grid = pyproj.Transformer.from_crs(LABEL_SRID, grid.srid, always_xy=True)
        projected = shapely.transform(
            np.asarray(geometries, dtype=object), lambda xy: np.column_stack(to_grid.transform(*xy.T))
        )
        numbered = [(geometry, number) for number, geometry in enumerate(projected, start=1)]
        rasterize(numbered, out=polygons, transform=_transform(grid))
    code_of = np.array([IGNORED, *(code if code in CLASS_CODES else IGNORED for code in codes)], np.uint8)
    classes = code_of[polygons]
    polygons[classes == IGNORED] = UNLABELLED
    return LabelMap(classes, polygons)


def _transform(grid: Grid) -> Affine:
    return Affine(grid.resolution_x, 0.0, grid.origin_x, 0.0, -grid.resolution_y, grid.origin_y)
