"""Atmospheric correction of a scene: which method, with what the material knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import Transformer

from db.errors import UsageError
from ingest.preprocess.dark_object import fit_dark_object
from ingest.preprocess.quac import fit_quac
from ingest.preprocess.sixs import AirColumn, SixsCorrection, fit_sixs
from ingest.preprocess.solar import earth_sun_distance_au
from ingest.preprocess.solar_spectrum import solar_irradiance
from ingest.processing.material import Material
from ingest.processing.source import FloatArray
from ingest.processing.treatment import ATMOSPHERES, Treatment

Apply = Callable[[FloatArray], FloatArray]


def find_atmosphere(
    material: Material, treatment: Treatment, clear: FloatArray
) -> tuple[Apply, dict[str, Any]]:
    """Fit the correction that is asked for.

    Args:
        material: what the scene is made from.
        treatment: names the method.
        clear: reduced reflectance at the top of the atmosphere (bands, rows, columns), NaN under cloud.

    Returns:
        What is applied to every strip, and the step for the catalogue.

    Raises:
        UsageError: the method needs what the product does not state, or does not suit the scene.

    """
    try:
        return _fitted(material, treatment, clear)
    except UsageError as error:
        said = str(error)
        raise UsageError(said if said.startswith(material.name) else f"{material.name}: {said}") from None


def _fitted(material: Material, treatment: Treatment, clear: FloatArray) -> tuple[Apply, dict[str, Any]]:
    method = treatment.atmosphere
    if method not in ATMOSPHERES or method == "none":
        raise UsageError(f"--atmosphere {method!r} is not known; there are: {', '.join(ATMOSPHERES)}")
    centers = np.array([np.nan if band.center_nm is None else band.center_nm for band in material.bands])
    is_fine = np.array([band.fault is None for band in material.bands])
    if method in ("dark-object", "cost"):
        dark = fit_dark_object(
            clear,
            sun_elevation_deg=material.acquisition.sun_elevation_deg,
            method="cost" if method == "cost" else "dos",
            # A faulty band's darkest pixels say nothing of the air in the others.
            center_nm=np.where(is_fine, centers, np.nan),
        )
        return dark.apply, _step(method, dark.as_json(), "what the darkest ground shows was taken off")
    if not np.isfinite(centers).all():
        raise UsageError(
            f"--atmosphere {method} needs the wavelengths of all bands; dark-object does without them"
        )
    if method == "quac":
        quick = fit_quac(clear, np.where(is_fine, centers, np.nan))
        return quick.apply, _step(method, quick.as_json(), "a quick correction from the scene alone")
    sixs = _sixs(material, treatment, centers)
    return sixs.apply, _step(method, sixs.as_json(), "corrected with 6S")


def _step(method: str, figures: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "step": "atmosphere",
        "method": method,
        **figures,
        "text": f"surface reflectance ({method}): {text}",
    }


def _sixs(material: Material, treatment: Treatment, centers: npt.NDArray[np.float64]) -> SixsCorrection:
    acquisition = material.acquisition
    stated = (
        acquisition.acquired_at,
        acquisition.sun_azimuth_deg,
        acquisition.sun_elevation_deg,
        acquisition.view_zenith_deg,
        acquisition.view_azimuth_deg,
    )
    if acquisition.acquired_at is None or any(each is None for each in stated):
        raise UsageError(f"{material.name}: 6S needs the time and the directions to sun and sensor")
    if treatment.aerosol_optical_depth is None:
        raise UsageError("--atmosphere 6s needs the aerosol optical depth at 550 nm: state it with --aot")
    widths = np.array([np.nan if band.width_nm is None else band.width_nm for band in material.bands])
    if not np.isfinite(widths).all():
        raise UsageError(f"{material.name}: --atmosphere 6s needs the widths of all bands")
    grid = material.source.grid
    middle = (
        grid.origin_x + grid.width_px * grid.resolution_x / 2,
        grid.origin_y - grid.height_px * grid.resolution_y / 2,
    )
    _, latitude = Transformer.from_crs(grid.srid, 4326, always_xy=True).transform(*middle)
    elevation, azimuth = acquisition.sun_elevation_deg or 0.0, acquisition.sun_azimuth_deg or 0.0
    air = AirColumn(
        acquired_at=acquisition.acquired_at,
        sun_zenith_deg=90.0 - elevation,
        sun_azimuth_deg=azimuth,
        view_zenith_deg=acquisition.view_zenith_deg or 0.0,
        view_azimuth_deg=acquisition.view_azimuth_deg or 0.0,
        latitude_deg=float(latitude),
        aerosol_optical_depth=treatment.aerosol_optical_depth,
        height_m=max(0.0, material.ground_m or 0.0),
    )
    distance = earth_sun_distance_au(acquisition.acquired_at)
    light = math.sin(math.radians(elevation)) / (math.pi * distance**2)
    esun = [solar_irradiance(float(c), float(w)) for c, w in zip(centers, widths, strict=True)]
    return fit_sixs(air, centers, widths, np.array(esun) * light)
