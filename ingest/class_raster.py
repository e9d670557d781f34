"""Labels from a class raster: patches of equal class, outlined along their pixel edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import shapes

from db.classes import LandClass
from db.errors import UsageError
from ingest.class_mapping import ClassMapping, class_codes
from ingest.crs import FileCrs, file_crs
from ingest.files import SourceFile
from ingest.geometry import MAX_EDGE_M
from ingest.opening import open_raster, reading
from ingest.requests import crs_notes

NO_CLASS = 255
MAX_PX = 400_000_000
MAX_PATCHES = 500_000
MAX_VALUES = 10_000


@dataclass(frozen=True)
class ClassPatches:
    """Patches of a class raster.

    Attributes:
        codes: class of each patch.
        geometries: MultiPolygon of each patch, EPSG:4326.
        ignored_px: pixels without a class: nodata, masked, or of an ignored value.
        total_px: pixels of the raster.
        notes: warnings.

    """

    codes: list[int]
    geometries: list[shapely.MultiPolygon]
    ignored_px: int
    total_px: int
    notes: tuple[str, ...]


def class_patches(file: SourceFile, mapping: ClassMapping, classes: Sequence[LandClass]) -> ClassPatches:
    """Outline the patches of a class raster.

    Edges run along pixel edges in the raster's own CRS, whatever its grid, so that burning the patches into
    the same grid gives the same pixels.

    Args:
        file: GeoTIFF of one band with whole numbers.
        mapping: class by value.
        classes: the known classes.

    Raises:
        UsageError: the file is no such raster, has values without a class, or is too large or too ragged.

    """
    with open_raster(file) as dataset, reading(file):
        if dataset.count != 1:
            raise UsageError(f"{file.name}: a class raster has one band, this file has {dataset.count}")
        total = dataset.width * dataset.height
        if total > MAX_PX:
            raise UsageError(f"{file.name}: has {total} pixels; at most {MAX_PX} are outlined, cut it")
        crs = file_crs(dataset.crs.to_wkt() if dataset.crs else None, file.name)
        transform: Affine = dataset.transform
        if transform == Affine.identity() or transform.determinant == 0:
            raise UsageError(f"{file.name}: is not georeferenced: it has neither origin nor pixel size")
        codes = _codes(dataset, mapping, classes, file.name)
        file.check_unchanged()
    mask = codes != NO_CLASS
    changes = int(np.count_nonzero(codes[:, 1:] != codes[:, :-1]))
    if changes > 4 * MAX_PATCHES:
        raise UsageError(f"{file.name}: its classes change {changes} times along rows; smooth it first")
    patch_codes, polygons = [], []
    for geometry, value in shapes(codes, mask=mask, connectivity=4, transform=transform):
        patch_codes.append(int(value))
        polygons.append(shapely.geometry.shape(geometry))
    if len(polygons) > MAX_PATCHES:
        raise UsageError(
            f"{file.name}: has {len(polygons)} patches; at most {MAX_PATCHES} are stored, smooth it"
        )
    return ClassPatches(
        patch_codes,
        _to_wgs84(np.array(polygons, dtype=object), crs, file.name),
        int(np.count_nonzero(~mask)),
        total,
        crs_notes(crs),
    )


def _codes(
    dataset: Any, mapping: ClassMapping, classes: Sequence[LandClass], name: str
) -> npt.NDArray[np.uint8]:
    """Class code of every pixel, 255 where there is none."""
    codes = np.full((dataset.height, dataset.width), NO_CLASS, np.uint8)
    pixels = dataset.read(1)
    valid = dataset.dataset_mask() != 0
    if pixels.dtype.kind == "f":
        valid &= np.isfinite(pixels)
    values, places = np.unique(pixels[valid], return_inverse=True)
    if len(values) > MAX_VALUES:
        raise UsageError(f"{name}: has {len(values)} different values; it is no class raster")
    if pixels.dtype.kind == "f" and not np.equal(np.mod(values, 1), 0).all():
        odd = values[np.mod(values, 1) != 0][0]
        raise UsageError(f"{name}: has the value {odd:g}; a class raster has whole numbers only")
    found = class_codes([str(int(value)) for value in values], mapping, classes, name)
    lookup = np.array([NO_CLASS if code is None else code for code in found], np.uint8)
    if lookup.size:
        codes[valid] = lookup[places]
    return codes


def _to_wgs84(polygons: npt.NDArray[np.object_], crs: FileCrs, name: str) -> list[shapely.MultiPolygon]:
    """Transform outlines; a patch whose outline touches itself at a pixel corner is divided there."""
    if crs.crs.is_projected:
        polygons = shapely.segmentize(polygons, MAX_EDGE_M / crs.crs.axis_info[0].unit_conversion_factor)
    transformer = crs.to_wgs84()
    polygons = shapely.transform(
        polygons, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))
    )
    bounds = shapely.bounds(polygons)
    if len(bounds) and not np.isfinite(bounds).all():
        raise UsageError(f"{name}: parts of it lie outside the range of {crs.name}")
    if len(bounds) and (bounds[:, 2] - bounds[:, 0] > 180).any():
        raise UsageError(f"{name}: a patch reaches across the 180th meridian; cut the raster there")
    stored = []
    for polygon in polygons:
        valid = polygon if polygon.is_valid else shapely.make_valid(polygon, method="structure")
        stored.append(valid if valid.geom_type == "MultiPolygon" else shapely.MultiPolygon([valid]))
    return stored
