"""Cloud and shadow in four bands, with thresholds of the scene's own.

Without a thermal or shortwave band a pixel alone cannot tell cloud from snow, bright tailings or a white
roof. So pixels only propose: whiter than the scene's clear line (the haze-optimised transform of Zhang,
Guindon and Cihlar 2002, doi:10.1016/S0034-4257(02)00034-2), brighter than its clear ground, and as bright in
red as in blue. Objects decide: a cloud throws a shadow where the sun's geometry puts it and has soft edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.cloud_shadow import (
    HEIGHT_RATIO,
    BoolArray,
    FloatArray,
    Throw,
    common_height,
    dark_ground,
    dark_part,
    direction,
    thrown,
    throws,
    within,
)

WORKING_PX = 1_500_000
"""Clouds are looked for in an image of at most about so many pixels."""

SEED_DEVIATIONS, GROW_DEVIATIONS = 5.0, 2.0
LEAST_OPACITY = 0.12
"""A cloud grows out to where it covers so much of the ground's light."""

NARROWEST_M = 24.0
"""What is narrower is a road, a roof or a bridge between two objects, m."""

RIM_M = 8.0
"""Width of the haze round a cloud that counts as cloud, m."""

REACH_M = 16.0
"""How far a cloud grows into what is brighter than the ground but has the ground's colour, m."""

SMALLEST_M2, SMALLEST_PX = 3000.0, 24
"""Smaller objects are left alone: for them something dark lies on every way."""

SHARP = 0.78
"""Rise over one pixel as a share of the rise over four, in pixels of 4 m: above, edges are the ground's."""

SHARPNESS_WEIGHT, LEAST_EVIDENCE = 2.5, 0.30
STRICTER = 0.06
"""By how much edges must be softer than ``SHARP`` where no shadow can be judged."""

LOWEST_SUN_DEG = 5.0
FEWEST_PX = 64
_FLAT_RED, _FLAT_NIR = (0.75, 1.15), (0.75, 1.30)
_VEILED_RED = 1.30
_LEAST_FLAT = 0.3
_BLUE, _GREEN, _RED, _NIR = range(4)
# Air alone is never brighter in a usable scene; an overcast one has no dark ground, and the usual is taken.
_MOST_AIR = np.array((0.13, 0.11, 0.09, 0.07))
_USUAL_AIR = np.array((0.07, 0.05, 0.03, 0.015))
_NEVER_GROUND = 0.33


@dataclass(frozen=True)
class CloudMask:
    """Cloud and shadow (height, width), and the thresholds and counts that led to them."""

    cloud: BoolArray
    shadow: BoolArray
    figures: dict[str, Any]


@dataclass(frozen=True)
class _Scene:
    """What is measured in every pixel; all (height, width) but ``image`` (4, height, width)."""

    image: FloatArray
    valid: BoolArray
    brightness: FloatArray
    haze: FloatArray
    is_flat: BoolArray
    is_veiled: BoolArray
    ground: BoolArray
    brighter: FloatArray | None


def find_clouds(
    reflectance: FloatArray,
    *,
    resolution_m: float,
    sun_azimuth_deg: float | None,
    sun_elevation_deg: float | None,
    reference: FloatArray | None = None,
) -> CloudMask:
    """Find cloud and its shadow.

    Args:
        reflectance: blue, green, red and near infrared at the top of the atmosphere (4, height, width), 0..1,
            NaN without data.
        resolution_m: pixel size, m.
        sun_azimuth_deg: from north over east; None when unknown: objects are then judged by their edges
            alone, and no shadow is marked.
        sun_elevation_deg: above the horizon; None when unknown.
        reference: the same bands of a clear date on the same pixels.

    Raises:
        UsageError: the arrays do not have four bands of one shape, or the pixel has no size.

    """
    if reflectance.ndim != 3 or len(reflectance) != 4 or 0 in reflectance.shape:
        raise UsageError(
            f"clouds are looked for in four bands (4, height, width); got {reflectance.shape}: "
            "give blue, green, red and near infrared"
        )
    if reference is not None and reference.shape != reflectance.shape:
        raise UsageError(
            f"the clear date has {reference.shape}, the scene {reflectance.shape}: bring them to one grid"
        )
    if not resolution_m > 0:
        raise UsageError(f"the pixel size is {resolution_m} m: give a positive one")
    shape = reflectance.shape[1:]
    factor = max(1, int(np.ceil(np.sqrt(shape[0] * shape[1] / WORKING_PX))), int(4.0 // resolution_m))
    factor = max(1, min(factor, min(shape) // 16))
    cell_m = resolution_m * factor
    before = None if reference is None else _reduced(reference, factor)
    scene = _measured(_reduced(reflectance, factor), before)
    judged = int(np.count_nonzero(scene.valid))
    figures: dict[str, Any] = {"working_pixel_m": float(cell_m), "judged_px": judged}
    nothing = np.zeros(shape, bool)
    if judged < FEWEST_PX:
        return CloudMask(nothing, nothing.copy(), figures)
    per_metre = None
    if sun_azimuth_deg is not None and sun_elevation_deg is not None and sun_elevation_deg > LOWEST_SUN_DEG:
        per_metre = direction(sun_azimuth_deg, sun_elevation_deg, cell_m)
    candidates, thresholds = _candidates(scene, cell_m)
    cloud, shadow, counts = _decided(scene, candidates, before, per_metre, cell_m)
    figures |= {"sun_known": per_metre is not None, "clear_date": reference is not None}
    return CloudMask(_full(cloud, factor, shape), _full(shadow, factor, shape), figures | thresholds | counts)


def _reduced(image: FloatArray, factor: int) -> FloatArray:
    """Means of blocks; a block with a pixel without data has none; the last row and column fill up."""
    if factor == 1:
        return np.asarray(image, dtype=np.float32)
    rows, columns = -image.shape[1] % factor, -image.shape[2] % factor
    padded = np.pad(image, ((0, 0), (0, rows), (0, columns)), mode="edge")
    blocks = padded.reshape(len(image), padded.shape[1] // factor, factor, padded.shape[2] // factor, factor)
    return np.asarray(blocks.mean(axis=(2, 4)), dtype=np.float32)


def _full(mask: BoolArray, factor: int, shape: tuple[int, ...]) -> BoolArray:
    grown = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.ascontiguousarray(grown[: shape[0], : shape[1]])


def _measured(image: FloatArray, reference: FloatArray | None) -> _Scene:
    valid = np.asarray(np.isfinite(image).all(axis=0), dtype=np.bool_)
    filled = np.where(valid, image, np.float32(0))
    brightness = filled[:3].mean(axis=0)
    if not valid.any():
        return _Scene(filled, valid, brightness, brightness, valid, valid, valid, None)
    # As in dark-object subtraction, the darkest ground is taken for air.
    darkest = np.percentile(filled[:, valid], 1, axis=1)
    air = np.where(darkest < _MOST_AIR, darkest, _USUAL_AIR).astype(np.float32)
    above = np.maximum(filled - air[:, None, None], np.float32(0.005))
    red, nir = above[_RED] / above[_BLUE], above[_NIR] / above[_RED]
    is_flat = valid & (red > _FLAT_RED[0]) & (red < _FLAT_RED[1])
    is_veiled = valid & (red < _VEILED_RED)
    is_flat &= (nir > _FLAT_NIR[0]) & (nir < _FLAT_NIR[1])
    ground = valid & ~(is_flat & (brightness > _NEVER_GROUND))
    brighter = None
    if reference is not None:
        both = valid & np.isfinite(reference).all(axis=0)
        # A date's haze and light are taken off as the median difference of the ground in common.
        if np.count_nonzero(both & ground) >= FEWEST_PX:
            before = np.where(both, reference[:3].mean(axis=0), np.float32(np.nan))
            off = np.float32(np.median((brightness - before)[both & ground]))
            brighter = np.where(both, brightness - before - off, np.float32(np.nan))
    return _Scene(filled, valid, brightness, _haze(filled, ground), is_flat, is_veiled, ground, brighter)


def _haze(image: FloatArray, ground: BoolArray) -> FloatArray:
    """Distance of pixels above the scene's clear line in the plane of red and blue.

    The line is fitted to the darker half of the ground, again and again without what lies far from it.
    """
    blue, red = image[_BLUE], image[_RED]
    slope, offset = 0.5, 0.08
    if np.count_nonzero(ground) >= FEWEST_PX:
        brightness = image[:3].mean(axis=0)
        inside = ground & (brightness <= np.median(brightness[ground]))
        x, y = red[inside].astype(np.float64), blue[inside].astype(np.float64)
        keep = np.ones(len(x), bool)
        for _ in range(6):
            spread_x = x[keep] - x[keep].mean()
            if len(spread_x) < 32 or np.ptp(spread_x) < 1e-3:
                break
            # Blue rises with red on clear ground, by less than one for one.
            slope = float(np.clip(spread_x @ y[keep] / (spread_x @ spread_x), 0.3, 0.85))
            offset = float(np.median(y[keep] - slope * x[keep]))
            residual = np.abs(y - slope * x - offset)
            keep = residual < 3 * (1.4826 * np.median(residual[keep]) + 1e-4)
    return np.asarray((blue - slope * red - min(offset, 0.15)) / np.hypot(1.0, slope), dtype=np.float32)


def _candidates(scene: _Scene, cell_m: float) -> tuple[BoolArray, dict[str, Any]]:
    """Pixels that may be cloud: grown from sure ones into what is whiter and brighter than the ground."""
    haze, brightness, valid = scene.haze, scene.brightness, scene.valid
    usual, spread, middle, middle_spread = 0.0, 0.015, 0.15, 0.03
    if np.count_nonzero(scene.ground) >= max(FEWEST_PX, 0.02 * np.count_nonzero(valid)):
        usual, spread = _clear_part(haze[scene.ground])
        middle, middle_spread = _clear_part(brightness[scene.ground])
    seed_haze = min(usual + SEED_DEVIATIONS * spread, 0.12)
    seed_bright = float(np.clip(middle + 3.0 * middle_spread, 0.22, 0.36))
    seeds = valid & scene.is_flat & (haze > seed_haze) & (brightness > seed_bright)
    thickest = float(np.percentile(brightness[seeds], 75)) if seeds.any() else 0.5
    grow_haze = min(usual + GROW_DEVIATIONS * spread, 0.5 * seed_haze)
    grow_bright = middle + max(2.0 * middle_spread, LEAST_OPACITY * (thickest - middle))
    may = valid & (haze > grow_haze) & (brightness > grow_bright)
    if scene.brighter is not None:
        # Ground that was as bright on the clear date is ground; what was seen then needs no other threshold.
        known = np.isfinite(scene.brighter)
        gained = LEAST_OPACITY * (thickest - middle)
        seeds &= ~known | (scene.brighter > 2 * gained)
        may = np.where(known, valid & (scene.brighter > gained) & (haze > grow_haze), may)
    radius = NARROWEST_M / 2 / cell_m
    seeds = _opened(seeds, 0.5 * radius)
    grown = ndimage.binary_propagation(seeds, mask=(may & scene.is_veiled) | seeds, structure=np.ones((3, 3)))
    grown = ndimage.binary_dilation(
        grown, np.ones((3, 3)), iterations=max(1, round(REACH_M / cell_m)), mask=may | grown
    )
    grown = _opened(ndimage.binary_fill_holes(grown) & valid, radius)
    grown = _cloudlike(np.asarray(grown, dtype=np.bool_), scene, 0.8 * seed_bright, cell_m)
    return grown, {
        "haze_threshold": float(seed_haze),
        "brightness_threshold": float(seed_bright),
        "grown_haze_threshold": float(grow_haze),
        "grown_brightness_threshold": float(grow_bright),
        "seed_px": int(np.count_nonzero(seeds)),
    }


def _cloudlike(mask: BoolArray, scene: _Scene, least_bright: float, cell_m: float) -> BoolArray:
    """Objects that are large, flat in colour and bright enough on the whole."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count == 0:
        return mask
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count + 1)
    some = np.maximum(sizes, 1)
    keep = sizes >= max(SMALLEST_PX, SMALLEST_M2 / cell_m**2)
    keep &= np.bincount(flat, scene.is_flat.ravel(), count + 1) / some >= _LEAST_FLAT
    keep &= np.bincount(flat, scene.brightness.ravel(), count + 1) / some >= least_bright
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)


def _clear_part(values: FloatArray) -> tuple[float, float]:
    """Middle and spread of a distribution whose upper part may be cloud."""
    low, middle = np.percentile(values, (10, 40))
    # In a normal distribution 1.028 deviations lie between the two.
    return float(middle), float(max((middle - low) / 1.028, 2e-3))


def _opened(mask: BoolArray, radius: float) -> BoolArray:
    """Opening by a disc, by distances: quick for any radius; the image's edge cuts nothing off."""
    if radius < 1 or not mask.any():
        return mask
    pad = int(radius) + 1
    padded = np.pad(mask, pad, mode="edge")
    if padded.all():
        return mask
    core = ndimage.distance_transform_edt(padded) > radius
    if not core.any():
        return np.zeros_like(mask)
    opened = ndimage.distance_transform_edt(~core) <= radius
    return np.asarray(opened[pad:-pad, pad:-pad] & mask, dtype=np.bool_)


def _decided(
    scene: _Scene,
    candidates: BoolArray,
    reference: FloatArray | None,
    per_metre: tuple[float, float] | None,
    cell_m: float,
) -> tuple[BoolArray, BoolArray, dict[str, Any]]:
    """Objects that are cloud, and their shadows."""
    labels, count = ndimage.label(candidates, structure=np.ones((3, 3)))
    cloud, shadow = np.zeros(candidates.shape, bool), np.zeros(candidates.shape, bool)
    if count == 0:
        return cloud, shadow, {"objects": 0, "clouds": 0, "clouds_with_shadow": 0}
    sharpness = _sharpness(scene, labels, count)
    dark, least_dark = dark_ground(scene.image, scene.valid & ~candidates, reference)
    places: list[Throw | None] = [None] * count
    # Coarser pixels make all edges sharper.
    sharp = float(np.clip(SHARP + 0.02 * np.log2(cell_m / 4.0), SHARP, 0.82))
    if per_metre is not None:
        judgeable = scene.valid & ~candidates
        places = throws(labels, count, dark, judgeable, per_metre)
        common_m = common_height(places, sharpness < sharp, np.bincount(labels.ravel()))
        if common_m is not None:
            between = common_m / HEIGHT_RATIO, common_m * HEIGHT_RATIO
            places = throws(labels, count, dark, judgeable, per_metre, between)
    kept: list[float] = []
    soft = 0
    for number, (place, box) in enumerate(zip(places, ndimage.find_objects(labels), strict=True), 1):
        softness = sharp - float(sharpness[number])
        # Where no shadow can be judged edges decide alone, and must be the softer.
        if place is None:
            is_cloud = softness > STRICTER
        else:
            is_cloud = place.is_dark and place.contrast + SHARPNESS_WEIGHT * softness > LEAST_EVIDENCE
        if not is_cloud:
            continue
        body = labels[box] == number
        cloud[box] |= body
        soft += place is None
        if place is not None:
            kept.append(place.height_m)
            alone = np.zeros_like(cloud)
            alone[box] = body
            shadow |= thrown(alone, place.d_row, place.d_col)
    shadow = dark_part(shadow, dark, cell_m)
    if cloud.any():
        cloud = within(cloud, RIM_M / cell_m) & scene.valid
    return (
        cloud,
        shadow & ~cloud & scene.valid,
        {
            "objects": count,
            "clouds": len(kept) + soft,
            "clouds_with_shadow": len(kept),
            "cloud_height_m": float(np.median(kept)) if kept else None,
            "dark_by": least_dark,
        },
    )


def _sharpness(scene: _Scene, labels: npt.NDArray[np.int32], count: int) -> FloatArray:
    """How sharp objects' edges are: rise over one pixel against the whole rise, median along the edge.

    Index 0 is no object. A roof or a pond rises within a pixel (near 1), a cloud over many. An object
    without an edge in the image, as in an overcast scene, is as sharp as the texture inside it.
    """
    bright = scene.brightness
    low = np.where(scene.valid, bright, np.float32(9))
    high = np.where(scene.valid, bright, np.float32(-9))
    rise = ndimage.maximum_filter(high, 3) - ndimage.minimum_filter(low, 3)
    whole = ndimage.maximum_filter(high, 9) - ndimage.minimum_filter(low, 9)
    # The edge of an object may lie a pixel beside the steepest place.
    sharp = ndimage.maximum_filter(rise, 3) / np.maximum(whole, np.float32(0.05))
    body = labels > 0
    inner = ndimage.binary_erosion(body, border_value=1)
    # Beside ground without data an object is cut off, which says nothing about it.
    near_nothing = ndimage.binary_dilation(~scene.valid, np.ones((3, 3)))
    result = np.ones(count + 1, np.float32)
    edge = body & ~inner & ~near_nothing
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == number
        along = own & edge[box]
        if np.count_nonzero(along) >= 12:
            result[number] = np.median(sharp[box][along])
        else:
            texture = np.median(rise[box][own]) / max(float(np.median(bright[box][own])), 0.05)
            result[number] = min(1.0, 2.0 * float(texture))
    return result
