"""The hyperspectral camera of Ziyuan-1 02D (AHSI): it records ground of cells of 10 m as a package.

Two spectrometers on one line camera: VNIR with 76 bands and SWIR with 90, whose ranges overlap. The package
holds for each a TIFF, an XML and an RPB (``..-VN``, ``..-SW``), gain and offset of the radiance in
W m-2 sr-1 um-1 (``VNIR_RadCal.raw``) and centre and width in nm (``VNIR_Spectral.raw``), two numbers a line.
"""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from ingest.preprocess.solar import earth_sun_distance_au
from ingest.preprocess.solar_spectrum import solar_irradiance
from ingest.simulate.fields import FloatMap, stream
from ingest.simulate.illumination import Sun
from ingest.simulate.mineral_spectra import Air, GroundSpectrum, Spectrum
from ingest.simulate.packages import write_image, write_polynomials, write_side_file
from ingest.simulate.pushbroom import Camera, to_geographic
from ingest.simulate.write import SRID

GSD_M = 30.0
CELL_M = 10.0
CELLS = round(GSD_M / CELL_M)
"""Cells along a pixel."""
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
class LitGround:
    """Ground in cells of 10 m under the sun of one moment.

    Attributes:
        amounts: of each kind (kinds, rows, columns), times the light of the slope.
        height_m: m above the ellipsoid (rows, columns).
        origin_m: upper left corner, EPSG:32645.
        sun: where the sun stands.
        acquired_at: the moment.
        kinds: spectra by name, in the order of ``amounts``.
        air: the air above.

    """

    amounts: FloatMap
    height_m: FloatMap
    origin_m: tuple[float, float]
    sun: Sun
    acquired_at: datetime
    kinds: Mapping[str, GroundSpectrum]
    air: Air


def write_package(
    folder: Path,
    ground: LitGround,
    camera: Camera,
    *,
    key: tuple[int, *tuple[str | int, ...]],
    product_id: int = 123_456,
    noise: float = 1.0,
) -> tuple[Path, dict[str, Any]]:
    """Record ground with a camera and write the package into a folder.

    Args:
        folder: the package's own folder is made in it, or replaced.
        ground: what is recorded.
        camera: lines and samples of 30 m.
        key: seed and names of the streams that noise and stripes come from.
        product_id: stands in the product's name.
        noise: of all bands, as a multiple of that of ``simulate_ahsi``.

    Returns:
        Folder of the package, whose name is the product's, and the facts about it.

    """
    lon, lat = to_geographic(*camera.centre_m)
    moment = ground.acquired_at
    product = f"ZY1E_AHSI_E{lon:.2f}_N{lat:.2f}_{moment:%Y%m%d}_014500_L1A{product_id:010d}"
    package = folder / product
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir()
    seen = _seen(ground, camera)
    low, high = float(ground.height_m.min()) - 60, float(ground.height_m.max()) + 60
    rpc = camera.polynomials(low, high)
    facts: dict[str, Any] = {
        "product": product,
        "acquired_at": moment.isoformat(),
        "kinds": list(ground.kinds),
    }
    for spectrometer in SPECTROMETERS:
        rng = stream(*key, spectrometer.role)
        light = _light(spectrometer, ground)
        gain, offset = _coefficients(light)
        numbers, stripes = _numbers(rng, spectrometer, ground, seen, light, (gain, offset), noise)
        stem = f"{product}-{spectrometer.suffix}"
        write_image(package / f"{stem}.tif", numbers)
        write_polynomials(package / f"{stem}.rpb", rpc)
        write_side_file(
            package / f"{stem}.xml",
            camera,
            satellite="ZY1E",
            sensor="AHSI",
            product_id=product_id,
            acquired_at=moment,
            sun_azimuth_deg=math.degrees(ground.sun.azimuth) % 360,
            sun_elevation_deg=math.degrees(ground.sun.elevation),
            bands=",".join(str(n) for n in range(1, len(gain) + 1)),
            cloud_percent=0,
            is_new_layout=False,
        )
        width = np.full(len(gain), spectrometer.width_nm)
        _write_pairs(package / f"{spectrometer.prefix}_RadCal.raw", gain, offset)
        _write_pairs(package / f"{spectrometer.prefix}_Spectral.raw", spectrometer.center_nm, width)
        facts[spectrometer.role] = _facts(spectrometer, ground, stripes)
    return package, facts


def aimed_camera(centre_m: tuple[float, float], size_px: int, height_m: float) -> Camera:
    """The camera whose image of so many lines and samples has its middle at a place of some height."""
    flat = Camera(centre_m, GSD_M, size_px, size_px, _ROLL_DEG)
    middle, mean = np.array([(size_px - 1) / 2]), np.array([height_m])
    east, north = flat.ground(middle, middle, mean)
    moved = 2 * centre_m[0] - float(east[0]), 2 * centre_m[1] - float(north[0])
    return Camera(moved, GSD_M, size_px, size_px, _ROLL_DEG)


def _seen(ground: LitGround, camera: Camera) -> FloatMap:
    """Mean amounts in the camera's pixels (kinds, lines, samples), on the terrain."""
    fine = camera.finer(CELLS)
    line, sample = (a.astype(float) for a in np.mgrid[: fine.lines, : fine.samples])
    height = np.full(line.shape, float(ground.height_m.mean()))
    place = (height, height)
    for _ in range(_ROUNDS):
        east, north = fine.ground(line, sample, height)
        place = (ground.origin_m[1] - north) / CELL_M - 0.5, (east - ground.origin_m[0]) / CELL_M - 0.5
        height = ndimage.map_coordinates(ground.height_m, place, np.float64, order=1, mode="nearest")
    return np.stack(
        [
            _blocks(ndimage.map_coordinates(kind, place, np.float32, order=1, mode="nearest")[None])[0]
            for kind in ground.amounts
        ]
    )


def _blocks(fine: FloatMap) -> FloatMap:
    """Means of blocks of cells (bands, rows, columns)."""
    bands, rows, columns = fine.shape
    split = fine.reshape(bands, rows // CELLS, CELLS, columns // CELLS, CELLS)
    return np.asarray(split.mean(axis=(2, 4)), dtype=np.float32)


def _spectra(spectrometer: Spectrometer, kinds: Mapping[str, GroundSpectrum]) -> Spectrum:
    """Reflectance (kinds, bands)."""
    return np.stack([kind.at(spectrometer.center_nm) for kind in kinds.values()])


def _light(spectrometer: Spectrometer, ground: LitGround) -> Spectrum:
    """Radiance at reflectance 1 at the top of the atmosphere, W m-2 sr-1 um-1."""
    esun = [solar_irradiance(float(nm), spectrometer.width_nm) for nm in spectrometer.center_nm]
    distance = earth_sun_distance_au(ground.acquired_at)
    return np.array(esun) * (math.sin(ground.sun.elevation) / (math.pi * distance**2))


def _coefficients(light: Spectrum) -> tuple[Spectrum, Spectrum]:
    """Gain and offset of the bands: reflectance 0.95 fills the range of numbers."""
    gain = np.round(0.95 * light / _LARGEST_NUMBER, 7)
    return gain, np.round(-_OFFSET_NUMBERS * gain, 7)


def _numbers(
    rng: np.random.Generator,
    spectrometer: Spectrometer,
    ground: LitGround,
    seen: FloatMap,
    light: Spectrum,
    coefficients: tuple[Spectrum, Spectrum],
    noise: float,
) -> tuple[NDArray[np.uint16], dict[int, NDArray[np.float64]]]:
    """Digital numbers (bands, lines, samples), and gain and offset (2, samples) of striped bands."""
    spectra = _spectra(spectrometer, ground.kinds)
    through, path = (
        each(spectrometer.center_nm) for each in (ground.air.transmittance, ground.air.path_reflectance)
    )
    gain, offset = coefficients
    found = np.empty((len(gain), *seen.shape[1:]), np.uint16)
    stripes: dict[int, NDArray[np.float64]] = {}
    for band in range(len(gain)):
        reflectance = path[band] + through[band] * np.tensordot(spectra[:, band], seen, 1)
        signal = (light[band] * reflectance - offset[band]) / gain[band]
        deviation = noise * np.sqrt(1.0 + 0.006 * np.maximum(signal, 0))
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


def _facts(
    spectrometer: Spectrometer, ground: LitGround, stripes: dict[int, NDArray[np.float64]]
) -> dict[str, Any]:
    through = ground.air.transmittance(spectrometer.center_nm)
    return {
        "center_nm": spectrometer.center_nm.tolist(),
        "width_nm": spectrometer.width_nm,
        "dead": list(DEAD[spectrometer.role]),
        "noisy": list(NOISY[spectrometer.role]),
        "water_vapour": [int(n) + 1 for n in np.flatnonzero(through < 0.1)],
        "stripes": {str(n): {"gain": c[0].tolist(), "offset": c[1].tolist()} for n, c in stripes.items()},
        "transmittance": through.tolist(),
        "path_reflectance": ground.air.path_reflectance(spectrometer.center_nm).tolist(),
        "spectra": _spectra(spectrometer, ground.kinds).tolist(),
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


def write_map(path: Path, values: FloatMap, origin_m: tuple[float, float]) -> None:
    """Write values (rows, columns) in cells of 10 m as a north-up GeoTIFF."""
    profile = _profile((1, *values.shape), origin_m, CELL_M)
    with rasterio.open(path, "w", dtype="float32", **profile) as file:
        file.write(values, 1)


def write_reflectance(path: Path, ground: LitGround, *, is_top: bool = False) -> None:
    """Write reflectance * 10,000 of the ground in cells of 30 m, band by band: VNIR, then SWIR.

    Args:
        path: GeoTIFF.
        ground: its extent in cells is a multiple of three.
        is_top: at the top of the atmosphere instead of on the ground.

    """
    mixed = _blocks(ground.amounts)
    centers = np.concatenate([each.center_nm for each in SPECTROMETERS])
    spectra = np.concatenate([_spectra(each, ground.kinds) for each in SPECTROMETERS], axis=1)
    add = np.zeros(len(centers))
    if is_top:
        spectra, add = spectra * ground.air.transmittance(centers), ground.air.path_reflectance(centers)
    shape = (len(centers), *mixed.shape[1:])
    whole = Window(0, 0, shape[2], shape[1])
    with rasterio.open(
        path, "w", dtype="uint16", **_profile(shape, ground.origin_m, GSD_M), interleave="band"
    ) as file:
        for band in range(shape[0]):
            values = add[band] + np.tensordot(spectra[:, band], mixed, 1)
            file.write(np.rint(values * 10_000).astype(np.uint16), band + 1, window=whole)
