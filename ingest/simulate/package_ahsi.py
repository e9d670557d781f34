"""A simulated package of the Ziyuan-1 02D hyperspectral camera (AHSI), with all that is true about it.

Kinds of ground are mixed in cells of 10 m, lit on their slopes, seen through water vapour and haze, and
recorded by two spectrometers on one line camera: VNIR with 76 bands and SWIR with 90, whose ranges overlap.
The package holds for each a TIFF, an XML and an RPB (``..-VN``, ``..-SW``), gain and offset of the radiance
in W m-2 sr-1 um-1 (``VNIR_RadCal.raw``) and centre and width in nm (``VNIR_Spectral.raw``), two numbers a
line.
"""

import json
import math
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.solar import earth_sun_distance_au, sun_position
from ingest.preprocess.solar_spectrum import solar_irradiance
from ingest.simulate.fields import FloatMap, fractal_noise, smoothstep, stream
from ingest.simulate.illumination import Sun, irradiance
from ingest.simulate.mineral_spectra import GROUND, Spectrum, path_reflectance, transmittance
from ingest.simulate.packages import write_image, write_polynomials, write_side_file
from ingest.simulate.pushbroom import Camera, to_geographic
from ingest.simulate.write import SRID, place_district

GSD_M = 30.0
CELL_M = 10.0
SMALLEST_PX, LARGEST_PX = 40, 1000
_CELLS = round(GSD_M / CELL_M)
_ACQUIRED_AT = datetime.fromisoformat("2022-07-15T05:21:33+00:00")
_ROLL_DEG = 4.0
_LARGEST_NUMBER = 4095
_OFFSET_NUMBERS = 12.0
_STUCK_AT = 9
_ROUNDS = 6

DEAD = {"vnir": (41,), "swir": (62,)}
"""Bands (from 1) whose detector is stuck at one number."""
NOISY = {"vnir": (1, 2), "swir": (89, 90)}
"""Bands (from 1) whose noise is of the order of the signal."""
STRIPED = {"vnir": (12, 13, 14, 55), "swir": (8, 30, 31, 70)}
"""Bands (from 1) whose columns differ in gain and offset."""


@dataclass(frozen=True)
class Spectrometer:
    """One of the two images: names, and centre and width of its bands in nm."""

    role: str
    suffix: str
    prefix: str
    center_nm: Spectrum
    width_nm: float


SPECTROMETERS = (
    Spectrometer("vnir", "VN", "VNIR", np.round(np.linspace(396.0, 1039.5, 76), 3), 8.8),
    Spectrometer("swir", "SW", "SWIR", np.round(np.linspace(1006.0, 2500.0, 90), 3), 16.9),
)


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


@dataclass(frozen=True)
class _Scene:
    """Ground in cells of 10 m: amounts (kinds, rows, columns) already lit, heights, upper left corner."""

    amounts: FloatMap
    height_m: FloatMap
    origin_m: tuple[float, float]
    sun: Sun


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
    scene, camera = _make_scene(seed, size_px)
    lon, lat = to_geographic(*camera.centre_m)
    product = f"ZY1E_AHSI_E{lon:.2f}_N{lat:.2f}_{_ACQUIRED_AT:%Y%m%d}_014500_L1A0000123456"
    package = folder / product
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir()
    seen = _seen(scene, camera)
    low, high = float(scene.height_m.min()) - 60, float(scene.height_m.max()) + 60
    rpc = camera.polynomials(low, high)
    facts: dict[str, Any] = {
        "product": product,
        "acquired_at": _ACQUIRED_AT.isoformat(),
        "kinds": list(GROUND),
    }
    for spectrometer in SPECTROMETERS:
        rng = stream(seed, "ahsi", spectrometer.role)
        gain, offset = _coefficients(spectrometer, scene.sun)
        numbers, stripes = _numbers(rng, spectrometer, seen, scene.sun, gain, offset)
        stem = f"{product}-{spectrometer.suffix}"
        write_image(package / f"{stem}.tif", numbers)
        write_polynomials(package / f"{stem}.rpb", rpc)
        write_side_file(
            package / f"{stem}.xml",
            camera,
            satellite="ZY1E",
            sensor="AHSI",
            product_id=123_456,
            acquired_at=_ACQUIRED_AT,
            sun_azimuth_deg=math.degrees(scene.sun.azimuth) % 360,
            sun_elevation_deg=math.degrees(scene.sun.elevation),
            bands=",".join(str(n) for n in range(1, len(gain) + 1)),
            cloud_percent=0,
            is_new_layout=False,
        )
        width = np.full(len(gain), spectrometer.width_nm)
        _write_pairs(package / f"{spectrometer.prefix}_RadCal.raw", gain, offset)
        _write_pairs(package / f"{spectrometer.prefix}_Spectral.raw", spectrometer.center_nm, width)
        facts[spectrometer.role] = _facts(spectrometer, stripes)
    _write_map(folder / "terrain.tif", scene.height_m[None], scene.origin_m, CELL_M)
    mixed = _blocks(scene.amounts)
    spectra = np.concatenate([_spectra(each) for each in SPECTROMETERS], axis=1)
    through = np.concatenate([transmittance(each.center_nm) for each in SPECTROMETERS])
    path = np.concatenate([path_reflectance(each.center_nm) for each in SPECTROMETERS])
    one = np.ones_like(through)
    for name, factor, offset_by in (("surface", one, 0 * one), ("top", through, path)):
        _write_cube(truth / f"{name}.tif", mixed, spectra * factor, offset_by, scene.origin_m)
    (truth / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return AhsiSimulation(
        package,
        product,
        folder / "terrain.tif",
        truth / "surface.tif",
        truth / "top.tif",
        truth / "facts.json",
    )


def _make_scene(seed: int, size_px: int) -> tuple[_Scene, Camera]:
    """Ground that holds the camera's turned square, relief included."""
    side = _CELLS * (math.ceil(1.25 * size_px) + 8)
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
    flat = Camera(centre, GSD_M, size_px, size_px, _ROLL_DEG)
    middle, mean = np.array([(size_px - 1) / 2]), np.array([float(height.mean())])
    east, north = flat.ground(middle, middle, mean)
    moved = 2 * centre[0] - float(east[0]), 2 * centre[1] - float(north[0])
    return _Scene(amounts, height, origin, sun), Camera(moved, GSD_M, size_px, size_px, _ROLL_DEG)


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


def _seen(scene: _Scene, camera: Camera) -> FloatMap:
    """Mean amounts in the camera's pixels (kinds, lines, samples), on the terrain."""
    fine = camera.finer(_CELLS)
    line, sample = (a.astype(float) for a in np.mgrid[: fine.lines, : fine.samples])
    height = np.full(line.shape, float(scene.height_m.mean()))
    place = (height, height)
    for _ in range(_ROUNDS):
        east, north = fine.ground(line, sample, height)
        place = (scene.origin_m[1] - north) / CELL_M - 0.5, (east - scene.origin_m[0]) / CELL_M - 0.5
        height = ndimage.map_coordinates(scene.height_m, place, np.float64, order=1, mode="nearest")
    return np.stack(
        [
            _blocks(ndimage.map_coordinates(kind, place, np.float32, order=1, mode="nearest")[None])[0]
            for kind in scene.amounts
        ]
    )


def _blocks(fine: FloatMap) -> FloatMap:
    """Means of blocks of cells (bands, rows, columns)."""
    bands, rows, columns = fine.shape
    split = fine.reshape(bands, rows // _CELLS, _CELLS, columns // _CELLS, _CELLS)
    return np.asarray(split.mean(axis=(2, 4)), dtype=np.float32)


def _spectra(spectrometer: Spectrometer) -> Spectrum:
    """Reflectance (kinds, bands)."""
    return np.stack([kind.at(spectrometer.center_nm) for kind in GROUND.values()])


def _light(spectrometer: Spectrometer, sun: Sun) -> Spectrum:
    """Radiance at reflectance 1 at the top of the atmosphere, W m-2 sr-1 um-1."""
    esun = [solar_irradiance(float(nm), spectrometer.width_nm) for nm in spectrometer.center_nm]
    distance = earth_sun_distance_au(_ACQUIRED_AT)
    return np.array(esun) * (math.sin(sun.elevation) / (math.pi * distance**2))


def _coefficients(spectrometer: Spectrometer, sun: Sun) -> tuple[Spectrum, Spectrum]:
    """Gain and offset of the bands: reflectance 0.95 fills the range of numbers."""
    gain = np.round(0.95 * _light(spectrometer, sun) / _LARGEST_NUMBER, 7)
    return gain, np.round(-_OFFSET_NUMBERS * gain, 7)


def _numbers(
    rng: np.random.Generator,
    spectrometer: Spectrometer,
    seen: FloatMap,
    sun: Sun,
    gain: Spectrum,
    offset: Spectrum,
) -> tuple[NDArray[np.uint16], dict[int, NDArray[np.float64]]]:
    """Digital numbers (bands, lines, samples), and gain and offset (2, samples) of striped bands."""
    light, spectra = _light(spectrometer, sun), _spectra(spectrometer)
    through, path = transmittance(spectrometer.center_nm), path_reflectance(spectrometer.center_nm)
    found = np.empty((len(gain), *seen.shape[1:]), np.uint16)
    stripes: dict[int, NDArray[np.float64]] = {}
    for band in range(len(gain)):
        reflectance = path[band] + through[band] * np.tensordot(spectra[:, band], seen, 1)
        signal = (light[band] * reflectance - offset[band]) / gain[band]
        deviation = np.sqrt(1.0 + 0.006 * np.maximum(signal, 0))
        if band + 1 in NOISY[spectrometer.role]:
            deviation = deviation + 0.4 * float(signal.mean())
        if band + 1 in STRIPED[spectrometer.role]:
            columns = np.stack(
                [1 + 0.03 * rng.standard_normal(seen.shape[2]), 6.0 * rng.standard_normal(seen.shape[2])]
            )
            signal = signal * columns[0] + columns[1]
            stripes[band + 1] = columns
        noisy = signal + deviation * rng.standard_normal(signal.shape)
        if band + 1 in DEAD[spectrometer.role]:
            noisy = np.full(signal.shape, float(_STUCK_AT))
        found[band] = np.clip(np.rint(noisy), 1, _LARGEST_NUMBER).astype(np.uint16)
    return found, stripes


def _facts(spectrometer: Spectrometer, stripes: dict[int, NDArray[np.float64]]) -> dict[str, Any]:
    through = transmittance(spectrometer.center_nm)
    return {
        "center_nm": spectrometer.center_nm.tolist(),
        "width_nm": spectrometer.width_nm,
        "dead": list(DEAD[spectrometer.role]),
        "noisy": list(NOISY[spectrometer.role]),
        "water_vapour": [int(n) + 1 for n in np.flatnonzero(through < 0.1)],
        "stripes": {str(n): {"gain": c[0].tolist(), "offset": c[1].tolist()} for n, c in stripes.items()},
        "transmittance": through.tolist(),
        "path_reflectance": path_reflectance(spectrometer.center_nm).tolist(),
        "spectra": _spectra(spectrometer).tolist(),
    }


def _write_pairs(path: Path, first: Spectrum, second: Spectrum) -> None:
    lines = [f"{a:.10g},{b:.10g}" for a, b in zip(first, second, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _profile(shape: tuple[int, ...], origin_m: tuple[float, float], cell_m: float) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "count": shape[0],
        "height": shape[1],
        "width": shape[2],
        "crs": f"EPSG:{SRID}",
        "transform": rasterio.Affine(cell_m, 0.0, origin_m[0], 0.0, -cell_m, origin_m[1]),
        "compress": "deflate",
        "zlevel": 1,
    }


def _write_map(path: Path, values: FloatMap, origin_m: tuple[float, float], cell_m: float) -> None:
    with rasterio.open(path, "w", dtype="float32", **_profile(values.shape, origin_m, cell_m)) as file:
        file.write(values)


def _write_cube(
    path: Path, mixed: FloatMap, spectra: Spectrum, add: Spectrum, origin_m: tuple[float, float]
) -> None:
    """Write reflectance * 10,000 of mixed ground (kinds, rows, columns), band by band."""
    shape = (spectra.shape[1], *mixed.shape[1:])
    whole = Window(0, 0, shape[2], shape[1])
    with rasterio.open(
        path, "w", dtype="uint16", **_profile(shape, origin_m, GSD_M), interleave="band"
    ) as file:
        for band in range(shape[0]):
            values = add[band] + np.tensordot(spectra[:, band], mixed, 1)
            file.write(np.rint(values * 10_000).astype(np.uint16), band + 1, window=whole)
