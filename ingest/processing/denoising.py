"""Denoising of a hyperspectral scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from db.errors import UsageError
from ingest.preprocess.mnf import fit_mnf
from ingest.preprocess.savitzky_golay import fit_smoothing
from ingest.processing.material import Material
from ingest.processing.source import FloatArray

FEWEST_BANDS = 20


def find_denoising(
    material: Material, method: str, clear: FloatArray
) -> tuple[Callable[[FloatArray], FloatArray], dict[str, Any]]:
    """Fit the denoising that is asked for.

    Args:
        material: what the scene is made from.
        method: "mnf" or "savitzky-golay".
        clear: reduced reflectance (bands, rows, columns), NaN under cloud.

    Returns:
        What is applied to every strip, and the step for the catalogue.

    Raises:
        UsageError: the scene has too few bands, or wavelengths are missing.

    """
    bands = material.bands
    if len(bands) < FEWEST_BANDS:
        raise UsageError(
            f"{material.name}: --denoise {method} is for hyperspectral scenes; this one has {len(bands)} "
            "bands"
        )
    usable = np.array([band.fault is None for band in bands])
    if method == "mnf":
        # Bad bands would lead the components; they pass untouched.
        fitted = fit_mnf(np.where(usable[:, None, None], clear, np.float32(np.nan)))
        text = f"denoised: {fitted.components} components of the minimum noise fraction kept"
        return fitted.apply, {"step": "denoised", "method": method, **fitted.as_json(), "text": text}
    if any(band.center_nm is None for band in bands):
        raise UsageError(f"{material.name}: --denoise savitzky-golay needs the wavelengths of all bands")
    centers = np.array([band.center_nm for band in bands], float)
    smoothing = fit_smoothing(centers, usable)
    text = f"denoised: spectra smoothed over {smoothing.window} bands (Savitzky-Golay)"
    return smoothing.apply, {"step": "denoised", "method": method, **smoothing.as_json(), "text": text}
