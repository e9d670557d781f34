"""Several scenes in one picture: laid on one grid, balanced where they overlap, and feathered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import array_bounds
from rasterio.warp import Resampling, reproject, transform_bounds

from db.errors import UsageError
from ingest.clouds import transformed
from ingest.crs import WGS84_SRID
from ingest.preprocess.mosaicking import balance, blend, feather_weights

FloatArray = npt.NDArray[np.float32]

HIDDEN_WEIGHT = 1e-3
"""Weight of what cloud or shadow hides, beside ground that is seen."""


@dataclass(frozen=True)
class PlacedImage:
    """Bands (bands, rows, columns) with a place on the map; NaN without data.

    Attributes:
        pixels: the bands.
        transform: their affine transform.
        srid: EPSG code of it.
        hidden: cloud and shadow, EPSG:4326; None without.

    """

    pixels: FloatArray
    transform: Affine
    srid: int
    hidden: shapely.Geometry | None = None


def mosaic(images: Sequence[PlacedImage], side_px: int) -> tuple[PlacedImage, tuple[str, ...]]:
    """Blend images; the first one keeps its colours, the others are fitted to it where they overlap.

    Ground under cloud or shadow shows only where no other image sees it clear.

    Args:
        images: with the same bands; the first one's CRS is that of the mosaic.
        side_px: longer side of the mosaic, pixels.

    Returns:
        The mosaic, and what could not be done.

    Raises:
        UsageError: the images lie too far apart for one picture.

    """
    first = images[0]
    crs = CRS.from_epsg(first.srid)
    bounds = np.array([_bounds(image, crs) for image in images])
    west, south = bounds[:, :2].min(axis=0)
    east, north = bounds[:, 2:].max(axis=0)
    cell = max(east - west, north - south) / side_px
    if not cell < 100 * max(abs(first.transform.a), 1e-9):
        raise UsageError("the scenes lie too far apart for one picture; draw them one by one")
    shape = (max(1, math.ceil((north - south) / cell)), max(1, math.ceil((east - west) / cell)))
    transform = Affine(cell, 0.0, west, 0.0, -cell, north)
    laid = [_laid(image, transform, shape, crs) for image in images]
    valids = [np.asarray(np.isfinite(image).all(axis=0), dtype=np.bool_) for image in laid]
    clear = [
        np.asarray(valid & ~_hidden(image, transform, shape, first.srid), dtype=np.bool_)
        for image, valid in zip(images, valids, strict=True)
    ]
    fitted = balance(laid, clear, reference=0)
    balanced = [fitted.apply(place, image) for place, image in enumerate(laid)]
    weights = [
        np.maximum(feather_weights(seen), np.float32(HIDDEN_WEIGHT) * feather_weights(valid))
        for seen, valid in zip(clear, valids, strict=True)
    ]
    blended = blend(balanced, weights)
    return PlacedImage(blended, transform, first.srid), fitted.notes


def _bounds(image: PlacedImage, crs: CRS) -> tuple[float, float, float, float]:
    height, width = image.pixels.shape[1:]
    west, south, east, north = array_bounds(height, width, image.transform)
    if CRS.from_epsg(image.srid) == crs:
        return west, south, east, north
    moved: tuple[float, float, float, float] = transform_bounds(
        CRS.from_epsg(image.srid), crs, west, south, east, north
    )
    return moved


def _hidden(
    image: PlacedImage, transform: Affine, shape: tuple[int, int], srid: int
) -> npt.NDArray[np.bool_]:
    if image.hidden is None or image.hidden.is_empty:
        return np.zeros(shape, np.bool_)
    outline = transformed(image.hidden, WGS84_SRID, srid)
    burnt = rasterize([(outline, 1)], shape, transform=transform, dtype="uint8", all_touched=True)
    return np.asarray(burnt, dtype=np.bool_)


def _laid(image: PlacedImage, transform: Affine, shape: tuple[int, int], crs: CRS) -> FloatArray:
    laid = np.full((len(image.pixels), *shape), np.nan, np.float32)
    reproject(
        image.pixels,
        laid,
        src_transform=image.transform,
        src_crs=CRS.from_epsg(image.srid),
        src_nodata=np.nan,
        dst_transform=transform,
        dst_crs=crs,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
    )
    return laid
