"""Where cloud and shadow hide the ground: from the product's own mask, or found in the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.features import rasterize

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.clouds import Clouds, clouds_of_mask
from ingest.crs import file_crs
from ingest.opening import open_raster, reading
from ingest.preprocess.cloud_mask import find_clouds
from ingest.preprocess.product_masks import CLOUD, NODATA, SHADOW, decode_mask
from ingest.processing.source import FloatArray, reduced_shape
from ingest.products.product import Band, Mask

MAX_MASK_PX = 256_000_000
FOUR_BANDS = ("blue", "green", "red", "nir")

# Where the four bands lie, nm, for instruments that have no common names.
_CENTERS_NM = (485.0, 555.0, 660.0, 830.0)
_NEAR_NM = 40.0

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Cloudiness:
    """Cloud and shadow of a scene, and the step that found them."""

    clouds: Clouds
    step: dict[str, Any]


def clouds_from_masks(masks: Sequence[Mask], grid: Grid) -> Cloudiness:
    """Decode the product's own masks.

    Raises:
        UsageError: a mask cannot be read or lies in another CRS than the scene.

    """
    found: BoolArray | None = None
    seen: BoolArray | None = None
    place: Affine | None = None
    for mask in masks:
        with open_raster(mask.file) as dataset, reading(mask.file):
            if dataset.width * dataset.height > MAX_MASK_PX:
                raise UsageError(f"{mask.file.name}: a mask of {dataset.width} x {dataset.height} pixels?")
            srid = file_crs(dataset.crs.to_wkt() if dataset.crs else None, mask.file.name).srid
            if srid != grid.srid:
                raise UsageError(f"{mask.file.name}: lies in EPSG:{srid}, the scene in EPSG:{grid.srid}")
            is_whole = mask.kind == "sentinel2_classification"
            values = dataset.read() if is_whole else dataset.read(mask.index)
            nodata = dataset.nodata
            transform = dataset.transform
        if values.dtype.kind not in "ui":
            raise UsageError(f"{mask.file.name}: a mask of whole numbers is expected, not of {values.dtype}")
        codes = decode_mask(mask.kind, values)
        if nodata is not None and not is_whole:
            codes[values == nodata] = NODATA
        hidden = (codes == CLOUD) | (codes == SHADOW)
        if found is None:
            found, place, seen = hidden, transform, np.asarray(codes != NODATA, dtype=np.bool_)
        elif seen is not None and found.shape == hidden.shape and transform == place:
            found |= hidden
            seen &= codes != NODATA
        else:
            raise UsageError(f"{mask.file.name}: lies on another grid than the product's other masks")
    if found is None or seen is None or place is None:
        raise ValueError("there is no mask to decode")
    clouds = clouds_of_mask(found, place, grid)
    share = float(np.count_nonzero(found) / max(1, int(np.count_nonzero(seen))))
    names = [mask.file.name for mask in masks]
    step = {
        "step": "clouds",
        "source": "product",
        "masks": names,
        "kinds": [mask.kind for mask in masks],
        "hidden_share": share,
        "text": f"cloud and shadow from the product's own mask ({', '.join(names)}): {share:.1%} of it",
    }
    return Cloudiness(clouds, step)


def four_bands(bands: Sequence[Band]) -> tuple[int, ...] | None:
    """Places of blue, green, red and near infrared among the bands, by name or wavelength; None without."""
    names = [band.common_name for band in bands]
    if all(name in names for name in FOUR_BANDS):
        return tuple(names.index(name) for name in FOUR_BANDS)
    centers = np.array([np.nan if band.center_nm is None else band.center_nm for band in bands])
    usable = np.array([band.fault is None for band in bands])
    distance = np.abs(centers[None, :] - np.array(_CENTERS_NM)[:, None])
    distance = np.where(usable & np.isfinite(distance), distance, math.inf)
    nearest = distance.argmin(axis=1)
    if distance.min(axis=1).max() > _NEAR_NM:
        return None
    return tuple(int(place) for place in nearest)


def clouds_in_pixels(
    reduced: FloatArray,
    factor: int,
    grid: Grid,
    *,
    sun_azimuth_deg: float | None,
    sun_elevation_deg: float | None,
    reference: FloatArray | None,
) -> Cloudiness:
    """Find cloud and shadow in a reduced image of blue, green, red and near infrared.

    Args:
        reduced: reflectance (4, rows, columns) at the top of the atmosphere, NaN without data.
        factor: how many pixels of the grid one of the image's stands for, along an edge.
        grid: grid of the scene.
        sun_azimuth_deg: from north over east, at the centre; None when unknown.
        sun_elevation_deg: above the horizon.
        reference: the same bands of a clear date on the same reduced grid.

    """
    found = find_clouds(
        reduced,
        resolution_m=grid.resolution_x * factor,
        sun_azimuth_deg=sun_azimuth_deg,
        sun_elevation_deg=sun_elevation_deg,
        reference=reference,
    )
    clouds = clouds_of_mask(found.cloud | found.shadow, reduced_transform(grid, factor), grid)
    seen = max(1, int(np.count_nonzero(np.isfinite(reduced).all(axis=0))))
    cloud_share = float(np.count_nonzero(found.cloud) / seen)
    shadow_share = float(np.count_nonzero(found.shadow & ~found.cloud) / seen)
    step = {
        "step": "clouds",
        "source": "pixels",
        "pixel_m": grid.resolution_x * factor,
        "cloud_share": cloud_share,
        "shadow_share": shadow_share,
        **found.figures,
        "text": f"clouds found in the pixels: {cloud_share:.1%} cloud, {shadow_share:.1%} shadow",
    }
    return Cloudiness(clouds, step)


def reduced_transform(grid: Grid, factor: int) -> Affine:
    """Affine of a reduced image."""
    return Affine(
        grid.resolution_x * factor, 0.0, grid.origin_x, 0.0, -grid.resolution_y * factor, grid.origin_y
    )


def hidden_in_reduced(clouds: Clouds, grid: Grid, factor: int) -> BoolArray:
    """Cells of a reduced image that cloud or shadow touches."""
    shape = reduced_shape(grid, factor)
    if clouds.on_grid.is_empty:
        return np.zeros(shape, bool)
    burnt: npt.NDArray[np.uint8] = rasterize(
        [(clouds.on_grid, 1)],
        shape,
        transform=reduced_transform(grid, factor),
        dtype="uint8",
        all_touched=True,
    )
    return burnt.astype(bool)
