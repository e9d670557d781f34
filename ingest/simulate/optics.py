"""From ground to digital numbers: reflectance, light, cloud, haze, blur of optics, noise of sensor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ingest.simulate.fields import FloatMap, smooth_noise, stream, texture_tile, tiled
from ingest.simulate.geology import Geology
from ingest.simulate.ground import Ground
from ingest.simulate.illumination import SHADOW_REACH_PX, irradiance
from ingest.simulate.materials import (
    ALLUVIUM_SOIL,
    PLUTON_SOIL,
    STRATA,
    Material,
    foliage_table,
    greenness,
    surface_table,
)
from ingest.simulate.swaths import Cloud, Swath, covered

BANDS = ("blue", "green", "red", "nir")
# Irradiance of the sun outside the atmosphere in W m-2 um-1 for bands like GF-2's.
SUN_IRRADIANCE = np.array((1941.6, 1854.2, 1541.8, 1086.4), np.float32)
PATH_REFLECTANCE = np.array((0.050, 0.032, 0.018, 0.008), np.float32)
_CLOUD_REFLECTANCE = np.array((0.56, 0.57, 0.58, 0.60), np.float32)
_STRIP_ROWS = 256
_MARGIN = SHADOW_REACH_PX + 6
_BLUR_PX = 0.62
LARGEST_NUMBER = 4095


@dataclass(frozen=True)
class Textures:
    """Seamless tiles of noise: per pixel, some pixels wide, and of colour."""

    fine: FloatMap
    middle: FloatMap
    broad: FloatMap
    colour: FloatMap


def make_textures(seed: int) -> Textures:
    """The textures of a district's ground: the same in every scene."""
    rng = stream(seed, "textures")
    return Textures(*(texture_tile(rng, sigma) for sigma in (0.55, 2.0, 6.0, 3.5)))


def digital_numbers(
    seed: int,
    ground: Ground,
    geology: Geology,
    plain: FloatMap,
    textures: Textures,
    swath: Swath,
    resolution_m: float,
) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    """Digital numbers of a scene in strips of rows, top to bottom.

    The scene's window is the footprint's bounding box; outside the footprint the value is 0 (nodata), inside
    it is 1 to 4095.

    Yields:
        First row within the scene, and pixels (4, rows, width): blue, green, red, near infrared.

    """
    rows, columns = scene_window(swath)
    rng = stream(seed, "sensor", swath.acquired_on.isoformat())
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    haze = swath.haze * np.clip(1 + 0.38 * smooth_noise(rng, shape, 0.4 * max(shape)), 0.25, 2.0)
    stripes = (1 + 0.0035 * rng.standard_normal((4, 1, shape[1]))).astype(np.float32)
    light = (SUN_IRRADIANCE * np.sin(swath.sun.elevation) / np.pi)[:, None, None].astype(np.float32)
    gain = np.array(swath.gain, np.float32)[:, None, None]
    path = PATH_REFLECTANCE[:, None, None]
    for top in range(0, shape[0], _STRIP_ROWS):
        count = min(_STRIP_ROWS, shape[0] - top)
        first = max(0, rows.start + top - _MARGIN)
        last = min(ground.shape[0], rows.start + top + count + _MARGIN)
        left = max(0, columns.start - _MARGIN)
        right = min(ground.shape[1], columns.stop + _MARGIN)
        surface = ground_reflectance(ground, geology, plain, textures, swath, (first, last), (left, right))
        surface *= irradiance(ground.height_m[first:last, left:right], swath.sun, resolution_m)
        if swath.cloud is not None:
            overcast(surface, swath.cloud, first, left)
        for band in surface:
            ndimage.gaussian_filter(band, _BLUR_PX, output=band, mode="nearest", truncate=3.0)
        skip = rows.start + top - first
        side = columns.start - left
        surface = surface[:, skip : skip + count, side : side + shape[1]]
        veil = path * haze[None, top : top + count]
        numbers = (veil + (1 - 1.5 * veil) * surface) * light / gain * stripes
        noise = rng.standard_normal(numbers.shape, dtype=np.float32)
        numbers += noise * np.sqrt(2.2**2 + 0.055 * numbers)
        pixels = np.clip(np.rint(numbers), 1, LARGEST_NUMBER).astype(np.uint16)
        where = covered(
            swath.footprint, (rows.start + top, rows.start + top + count), (columns.start, columns.stop)
        )
        pixels *= where
        yield top, pixels


def scene_window(swath: Swath) -> tuple[slice, slice]:
    """Rows and columns of the district that a scene's file holds."""
    left, top, right, bottom = swath.footprint.bounds
    return slice(int(top), int(np.ceil(bottom))), slice(int(left), int(np.ceil(right)))


def ground_reflectance(
    ground: Ground,
    geology: Geology,
    plain: FloatMap,
    textures: Textures,
    swath: Swath,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> FloatMap:
    """Reflectance of the surface (4, rows, columns) without light and air."""
    cut = (slice(*rows), slice(*columns))
    material, cover, plant = ground.material[cut], ground.cover[cut], ground.plant[cut]
    fine, middle = tiled(textures.fine, rows, columns), tiled(textures.middle, rows, columns)
    broad, colour = tiled(textures.broad, rows, columns), tiled(textures.colour, rows, columns)
    table, rough = surface_table()
    green, dry = foliage_table()
    day = swath.acquired_on.timetuple().tm_yday
    phase = np.clip(greenness(day, swath.wetness)[plant] * (1 + 0.10 * broad), 0.03, 1.0)
    natural = material == Material.SOIL
    tone = ground.tone[cut] * (1 + rough[:, 0][material] * fine + rough[:, 1][material] * middle)
    tone *= 1 + 0.02 * broad
    np.clip(tone, 0.25, 2.2, out=tone)
    phase_of_rock = geology.strata[cut]
    layer = np.floor(phase_of_rock).astype(np.int64) % 4
    blend = np.clip((phase_of_rock - np.floor(phase_of_rock) - 0.6) / 0.4, 0, 1)
    granite, silt = geology.granite[cut], 0.85 * plain[cut]
    canopy = 1 + 0.07 * fine + 0.08 * middle + 0.05 * broad
    surface = np.empty((4, *material.shape), np.float32)
    # Colour noise pushes red and near infrared against blue: stains, moisture, dust.
    push = (-0.035, -0.012, 0.022, 0.034)
    for band in range(4):
        rock = STRATA[layer, band] * (1 - blend) + STRATA[(layer + 1) % 4, band] * blend
        rock += (PLUTON_SOIL[band] - rock) * granite
        rock += (ALLUVIUM_SOIL[band] - rock) * silt
        bare = np.where(natural, rock, table[:, band][material]) * tone * (1 + push[band] * colour)
        leaf = (dry[:, band][plant] + (green[:, band] - dry[:, band])[plant] * phase) * canopy
        surface[band] = bare + (leaf - bare) * cover
    return np.clip(surface, 0.008, 0.7, out=surface)


def overcast(surface: FloatMap, cloud: Cloud, first_row: int, first_column: int) -> None:
    """Lay a cloud and its shadow over a strip that begins at a row and column of the district."""
    bottom, right = first_row + surface.shape[1], first_column + surface.shape[2]
    for opacity, rows, columns, is_shadow in (
        (cloud.shadow, cloud.shadow_rows, cloud.shadow_columns, True),
        (cloud.opacity, cloud.rows, cloud.columns, False),
    ):
        row0, row1 = max(rows.start, first_row), min(rows.stop, bottom)
        column0, column1 = max(columns.start, first_column), min(columns.stop, right)
        if row0 >= row1 or column0 >= column1:
            continue
        part = opacity[
            row0 - rows.start : row1 - rows.start, column0 - columns.start : column1 - columns.start
        ]
        under = surface[
            :, row0 - first_row : row1 - first_row, column0 - first_column : column1 - first_column
        ]
        if is_shadow:
            dim = np.array((0.52, 0.58, 0.62, 0.66), np.float32)[:, None, None]
            under *= 1 - dim * part
        else:
            bright = _CLOUD_REFLECTANCE[:, None, None] * (0.62 + 0.38 * part)
            under += (bright - under) * part
