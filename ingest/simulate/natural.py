"""Land without mines: plants by moisture, aspect and height, fields by the rivers, gravel, gullies."""

from dataclasses import dataclass

import numpy as np

from ingest.simulate.fields import (
    ByteMap,
    FloatMap,
    Mask,
    fractal_noise,
    smooth_noise,
    smoothstep,
    stream,
    texture_tile,
    tiled,
    without_specks,
)
from ingest.simulate.ground import BACKGROUND, VEGETATION, WATER, Ground
from ingest.simulate.layout import Village
from ingest.simulate.materials import Material, Plant
from ingest.simulate.rivers import Rivers
from ingest.simulate.terrain import Terrain

COVER_OF_CLASS = 0.40
_SMALLEST_PX = 140
_VEGETATED_SHARE = 0.27


@dataclass(frozen=True)
class _Parcels:
    """Field parcels of a rotated grid: crop code, whether a pixel is a path between parcels, noise."""

    crop: np.ndarray
    path: Mask
    tone: FloatMap


def grow(seed: int, terrain: Terrain, slope: FloatMap, rivers: Rivers, villages: list[Village]) -> Ground:
    """Ground before mines, villages and roads: class, plants and heights."""
    shape = terrain.height_m.shape[0], terrain.height_m.shape[1]
    rng = stream(seed, "plants")
    size = float(np.clip(np.sqrt(shape[0] * shape[1]) / 1400, 0.5, 1.5))
    plant, cover, wanted, spots = _plants(rng, terrain, slope, rivers, size)
    ground = Ground(
        land_class=np.zeros(shape, np.uint8),
        material=np.zeros(shape, np.uint8),
        plant=plant,
        treated=np.zeros(shape, np.uint8),
        height_m=terrain.height_m.copy(),
        cover=cover,
        tone=_weathering(rng, terrain, size),
    )
    _crowns(rng, ground)
    _fields(seed, ground, terrain, slope, rivers, villages, size)
    vegetated = without_specks(wanted, _SMALLEST_PX) | (ground.land_class == VEGETATION)
    vegetated &= ground.material == Material.SOIL
    ground.cover[:] = np.where(
        vegetated, np.maximum(ground.cover, COVER_OF_CLASS), np.minimum(ground.cover, 0.38)
    )
    ground.land_class[:] = np.where(vegetated, VEGETATION, BACKGROUND)
    _channels(ground, rivers, spots)
    return ground


def _plants(
    rng: np.random.Generator, terrain: Terrain, slope: FloatMap, rivers: Rivers, size: float
) -> tuple[ByteMap, FloatMap, Mask, FloatMap]:
    """Wild plants: their kind, their cover, where they are dense enough to be vegetation, and fine noise.

    Its own function so that a dozen maps of the district are freed before fields are laid out.
    """
    shape = slope.shape[0], slope.shape[1]
    near_river = np.exp(-rivers.distance_px / np.float32(38 * size))
    north = np.clip(np.gradient(terrain.height_m, axis=0) * 1.2, -1, 1).astype(np.float32)
    patches = fractal_noise(rng, shape, 150 * size, 5, 0.62)
    want = patches + 1.5 * near_river + 1.1 * north * smoothstep(slope, 0.05, 0.3) - 0.35 * terrain.plain
    want += np.float32(0.25) * rivers.gully + np.float32(0.55) * terrain.wash
    limit = float(np.quantile(want[::3, ::3], 1 - _VEGETATED_SHARE))
    cover = 0.04 + 0.86 * smoothstep(want, limit - 0.95, limit + 1.05)
    spots = fractal_noise(rng, shape, 9, 3, 0.8)
    cover = np.clip(cover * (1 + 0.16 * spots), 0.0, 0.97).astype(np.float32)
    plant = np.full(shape, Plant.STEPPE, np.uint8)
    wooded = smooth_noise(rng, shape, 90 * size) + 0.5 * spots
    plant[wooded > 0.35] = Plant.SHRUB
    forest = (north * smoothstep(slope, 0.1, 0.35) * 2.2 + wooded > 1.15) & (want > limit + 0.1)
    plant[forest] = Plant.SPRUCE
    plant[(near_river > 0.62) & (wooded > -0.3)] = Plant.POPLAR
    return plant, cover, want > limit, spots


def _weathering(rng: np.random.Generator, terrain: Terrain, size: float) -> FloatMap:
    """Tone of bare ground: broad stains, pale washes where water gathers, darker desert varnish between."""
    shape = terrain.wash.shape[0], terrain.wash.shape[1]
    stains = fractal_noise(rng, shape, 220 * size, 5, 0.6)
    washed = terrain.wash * (0.6 + 0.4 * terrain.plain) * (1 + 0.5 * smooth_noise(rng, shape, 60 * size))
    tone = np.clip(0.95 + 0.075 * stains + 0.20 * (washed - 0.25), 0.7, 1.35)
    return np.asarray(tone, dtype=np.float32)


def _crowns(rng: np.random.Generator, ground: Ground) -> None:
    """Crowns of trees as bumps of the surface, so that forests have grain and shadow."""
    crowns = tiled(texture_tile(rng, 0.95), (0, ground.shape[0]), (0, ground.shape[1]))
    tall = np.array([0.0, 0.5, 2.4, 0.0, 0.0, 0.0, 1.6], np.float32)[ground.plant] * ground.cover
    ground.height_m[:] += tall * crowns
    trees = (ground.plant == Plant.SPRUCE) | (ground.plant == Plant.POPLAR)
    ground.cover[trees] = np.clip(ground.cover + 0.12 + 0.10 * crowns, 0.42, 0.97)[trees]


def _fields(
    seed: int,
    ground: Ground,
    terrain: Terrain,
    slope: FloatMap,
    rivers: Rivers,
    villages: list[Village],
    size: float,
) -> None:
    """Irrigated parcels on gentle ground by the rivers and round the villages."""
    rng = stream(seed, "fields")
    shape = ground.shape
    watered = np.exp(-((rivers.distance_px / np.float32(110 * size)) ** 2)) * terrain.plain
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)[None, :]
    for village in villages:
        reach = np.float32(1.9 * village.half_px[0])
        distance = np.hypot(rows - village.centre[0], columns - village.centre[1]) / reach
        np.maximum(watered, np.exp(-(distance**4)) * 0.9, out=watered)
    wish = watered + 0.22 * smooth_noise(rng, shape, 70 * size) - 2.2 * np.clip(slope - 0.06, 0, None)
    parcels, chosen = _parcels(rng, wish, size)
    cropped = chosen & (parcels.crop < 7) & ~parcels.path & ~rivers.bed
    ground.plant[cropped] = parcels.crop[cropped]
    ground.cover[cropped] = np.clip(0.80 + 0.12 * parcels.tone, 0.55, 0.96)[cropped]
    ground.land_class[cropped] = VEGETATION
    fallow = chosen & ((parcels.crop == 7) | parcels.path)
    ground.cover[fallow] = 0.05
    ground.tone[fallow] = (0.97 + 0.07 * parcels.tone)[fallow]
    ground.material[chosen & parcels.path] = Material.DIRT_ROAD


def _parcels(rng: np.random.Generator, wish: FloatMap, size: float) -> tuple[_Parcels, Mask]:
    """Cut the land into long parcels; those whose middle wants water are chosen."""
    shape = wish.shape[0], wish.shape[1]
    angle = float(rng.uniform(-0.5, 0.5))
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)[None, :]
    long_px, short_px = np.float32(78 * size), np.float32(27 * size)
    v = rows * cos - columns * sin
    strip = np.floor(v / long_px).astype(np.int32)
    u = columns * cos + rows * sin + np.float32(17.0) * (strip % 5)
    lane = np.floor(u / short_px).astype(np.int32)
    strip -= strip.min()
    lane -= lane.min()
    cells = (int(strip.max()) + 1, int(lane.max()) + 1)
    number = strip * cells[1] + lane
    seen = np.bincount(number.ravel(), minlength=cells[0] * cells[1])
    mean = np.bincount(number.ravel(), wish.ravel(), cells[0] * cells[1]) / np.maximum(seen, 1)
    chosen_cells = mean + 0.10 * rng.standard_normal(mean.size) > 0.52
    crops = np.array([Plant.WHEAT, Plant.WHEAT, Plant.MAIZE, Plant.MAIZE, Plant.YOUNG, 7, 7], np.uint8)
    crop = rng.choice(crops, mean.size)[number]
    tone = rng.standard_normal(mean.size).astype(np.float32)[number]
    edge = (u % short_px < 0.9) | (v % long_px < 1.6)
    return _Parcels(crop, np.asarray(edge), tone), chosen_cells[number]


def _channels(ground: Ground, rivers: Rivers, spots: FloatMap) -> None:
    """Rivers, their gravel bars, and the pale beds of gullies."""
    gravel = rivers.bed & ~rivers.water & (spots + 0.7 > 0)
    ground.put(gravel, land_class=BACKGROUND, material=Material.GRAVEL)
    ground.tone[rivers.gully] *= 1.07
    ground.put(rivers.water, land_class=WATER, material=Material.RIVER)
    depth = 2.5 * np.exp(-rivers.distance_px / 9.0)
    ground.height_m[:] -= depth
