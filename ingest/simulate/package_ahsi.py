"""A simulated package of the Ziyuan-1 02D hyperspectral camera (AHSI), with all that is true about it.

Kinds of ground are mixed in cells of 10 m, lit on their slopes, seen through water vapour and haze, and
recorded as ``ahsi_camera`` says.
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from db.errors import UsageError
from ingest.preprocess.solar import sun_position
from ingest.simulate.ahsi_camera import (
    CELL_M,
    CELLS,
    LitGround,
    aimed_camera,
    write_map,
    write_package,
    write_reflectance,
)
from ingest.simulate.fields import FloatMap, fractal_noise, smoothstep, stream
from ingest.simulate.illumination import Sun, irradiance
from ingest.simulate.mineral_spectra import CLEAR, GROUND
from ingest.simulate.pushbroom import Camera, to_geographic
from ingest.simulate.write import place_district

SMALLEST_PX, LARGEST_PX = 40, 1000
_ACQUIRED_AT = datetime.fromisoformat("2022-07-15T05:21:33+00:00")


@dataclass(frozen=True)
class AhsiSimulation:
    """What ``simulate_ahsi`` wrote.

    Attributes:
        package: folder of the package.
        product: its name.
        terrain: elevation model, m above the ellipsoid, EPSG:32645, cells of 10 m.
        surface: GeoTIFF on a north-up grid of 30 m in EPSG:32645, 166 bands (VNIR, then SWIR): reflectance of
            the ground with the light of its slope * 10,000, uint16.
        top: the same at the top of the atmosphere: path reflectance + transmittance * surface.
        facts: JSON: dead, noisy, striped and water vapour bands, gains and offsets of the stripes,
            wavelengths, kinds of ground and their spectra; bands count from 1 in each spectrometer.

    """

    package: Path
    product: str
    terrain: Path
    surface: Path
    top: Path
    facts: Path


def simulate_ahsi(folder: Path, *, seed: int = 7, size_px: int = 300) -> AhsiSimulation:
    """Simulate a package.

    Args:
        folder: made if missing; files of an earlier simulation there are replaced.
        seed: same seed and size, same pixels.
        size_px: lines and samples of 30 m, 40 to 1,000. A thousand takes 1.7 GB of memory.

    Raises:
        UsageError: a size or the seed is out of range.

    """
    if not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise UsageError(f"the size is {size_px}; choose {SMALLEST_PX} to {LARGEST_PX} pixels of 30 m")
    if seed < 0:
        raise UsageError(f"the seed is {seed}; choose 0 or more")
    truth = folder / "truth"
    truth.mkdir(parents=True, exist_ok=True)
    ground, camera = _make_scene(seed, size_px)
    package, facts = write_package(folder, ground, camera, key=(seed, "ahsi"))
    write_map(folder / "terrain.tif", ground.height_m, ground.origin_m)
    write_reflectance(truth / "surface.tif", ground)
    write_reflectance(truth / "top.tif", ground, is_top=True)
    (truth / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return AhsiSimulation(
        package,
        package.name,
        folder / "terrain.tif",
        truth / "surface.tif",
        truth / "top.tif",
        truth / "facts.json",
    )


def _make_scene(seed: int, size_px: int) -> tuple[LitGround, Camera]:
    """Ground that holds the camera's turned square, relief included."""
    side = CELLS * (math.ceil(1.25 * size_px) + 8)
    rng = stream(seed, "ahsi", "ground")
    shape = (side, side)
    height = (700 + 130 * fractal_noise(rng, shape, 0.3 * side, 5, 0.42)).astype(np.float32)
    side_m = side * CELL_M
    place = place_district((round(side_m / 2), round(side_m / 2)))
    origin = place.origin_x_m, place.origin_y_m
    centre = origin[0] + side_m / 2, origin[1] - side_m / 2
    lon, lat = to_geographic(*centre)
    azimuth, elevation = sun_position(_ACQUIRED_AT, lon, lat)
    sun = Sun(math.radians(azimuth), math.radians(elevation))
    amounts = _amounts(rng, height) * irradiance(height, sun, CELL_M)
    camera = aimed_camera(centre, size_px, float(height.mean()))
    return LitGround(amounts, height, origin, sun, _ACQUIRED_AT, GROUND, CLEAR), camera


def _amounts(rng: np.random.Generator, height_m: FloatMap) -> FloatMap:
    """Shares of each kind of ground (kinds, rows, columns); they add up to 1."""
    shape = height_m.shape[0], height_m.shape[1]
    width = max(8.0, 0.08 * shape[0])
    kinds = list(GROUND)
    shares = np.zeros((len(kinds), *shape), np.float32)
    left = np.ones(shape, np.float32)
    rows, columns = (np.arange(n, dtype=np.float32) / n for n in shape)
    low = -(height_m - height_m.mean()) / height_m.std()
    for kind, threshold in (
        ("water", 1.9),
        ("vegetation", 0.35),
        ("coal", 1.5),
        ("sericite", 0.9),
        ("chlorite", 0.8),
        ("carbonate", 0.7),
        ("iron_oxide", 0.6),
    ):
        field = low if kind == "water" else fractal_noise(rng, shape, width, 5, 0.55)
        share = smoothstep(field, threshold, threshold + (0.05 if kind == "water" else 0.5)) * left
        shares[kinds.index(kind)] = share
        left = left - share
    pond = ((np.abs(rows - 0.45) < 0.05)[:, None] & (np.abs(columns - 0.55) < 0.06)[None, :]).astype(
        np.float32
    )
    shares[kinds.index("soil")] = left
    shares *= 1 - pond
    shares[kinds.index("gypsum_tailings")] = pond
    return shares
