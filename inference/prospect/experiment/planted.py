"""What was planted in a district, or implanted in a real scene: true dykes and decoys, as shapes and cells.

What was planted is known, so decoys can be asked for: those with the spectrum of ore far from faults and
plutons, and those in favoured geology without an ore mineral. No network was told of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from db.raster import Grid
from inference.prospect.grids import transform_of

DECOYS = {"A": "spectrum_without_geology", "B": "geology_without_spectrum"}
"""Decoys by the letter they have in tables, and what the simulator calls them."""


@dataclass(frozen=True)
class Planted:
    """What the simulator planted in a district, or implanted in a real scene.

    Attributes:
        product: the district's scene in the database.
        srid: EPSG code of the shapes.
        ore, clusters: outlines of the true dykes, and the cluster (n,) each belongs to.
        decoys: outlines by letter, see `DECOYS`.

    """

    product: str
    srid: int
    ore: NDArray[np.object_]
    clusters: NDArray[np.int64]
    decoys: Mapping[str, NDArray[np.object_]]

    @classmethod
    def read(cls, product: str, srid: int, ore: Path, decoys: Path) -> Planted:
        """What the files of a simulated district say.

        Args:
            product: of the district's scene.
            srid: of the files.
            ore: GeoJSON, outlines of the dykes with their ``cluster``.
            decoys: GeoJSON, outlines of decoys with their ``kind``.

        """
        true, about = _features(ore)
        false, kinds = _features(decoys)
        return cls(
            product,
            srid,
            true,
            np.array([each["cluster"] for each in about], np.int64),
            {
                letter: false[np.array([each["kind"] == kind for each in kinds], bool)]
                for letter, kind in DECOYS.items()
            },
        )


def near(shapes: NDArray[np.object_], srid: int, grid: Grid, buffer_m: float = 100.0) -> NDArray[np.bool_]:
    """(height, width): cells whose centre lies within ``buffer_m`` of one of some shapes."""
    empty = np.zeros((grid.height_px, grid.width_px), bool)
    if len(shapes) == 0:
        return empty
    around = shapely.buffer(on_grid(shapes, srid, grid), buffer_m)
    mask: NDArray[np.bool_] = geometry_mask(list(around), empty.shape, transform_of(grid), invert=True)
    return mask


def on_grid(shapes: NDArray[np.object_], srid: int, grid: Grid) -> NDArray[np.object_]:
    """Shapes in the CRS of a grid."""
    if srid == grid.srid:
        return shapes
    to_grid = pyproj.Transformer.from_crs(srid, grid.srid, always_xy=True)
    moved: NDArray[np.object_] = shapely.transform(
        shapes, lambda xy: np.column_stack(to_grid.transform(*xy.T))
    )
    return moved


def _features(path: Path) -> tuple[NDArray[np.object_], list[dict[str, Any]]]:
    """Geometries and properties of a GeoJSON file."""
    every = json.loads(path.read_text(encoding="utf-8"))["features"]
    shapes = np.array([shapely.from_geojson(json.dumps(each["geometry"])) for each in every], object)
    return shapes, [each["properties"] for each in every]
