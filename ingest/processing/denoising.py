"""Denoising of a hyperspectral scene."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from ingest.preprocess.mnf import fit_mnf
from ingest.preprocess.savitzky_golay import fit_smoothing
from ingest.processing.material import Material
from ingest.processing.source import FloatArray, block_means
from ingest.processing.treatment import DENOISINGS

FEWEST_BANDS = 30
WINDOWS_ACROSS = 5
WINDOW_PX = 96
"""Noise of a large scene is told from so many windows along each edge, about so wide, in full resolution."""

_FEWEST_COMMON_PX = 20


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
        UsageError: the scene has too few bands or clear pixels, or wavelengths are missing.

    """
    bands = material.bands
    if method not in DENOISINGS or method == "none":
        raise UsageError(f"--denoise {method!r} is not known; there are: {', '.join(DENOISINGS)}")
    if len(bands) < FEWEST_BANDS:
        raise UsageError(
            f"{material.name}: --denoise {method} is for hyperspectral scenes of at least "
            f"{FEWEST_BANDS} bands; "
            f"this one has {len(bands)}"
        )
    usable = np.array([band.fault is None for band in bands]) & np.isfinite(clear).any(axis=(1, 2))
    if method == "mnf":
        return _mnf(material, usable, clear)
    if any(band.center_nm is None for band in bands):
        raise UsageError(f"{material.name}: --denoise savitzky-golay needs the wavelengths of all bands")
    centers = np.array([band.center_nm for band in bands], float)
    smoothing = fit_smoothing(centers, usable)
    text = f"denoised: spectra smoothed over {smoothing.window} bands (Savitzky-Golay)"
    return smoothing.apply, {"step": "denoised", "method": method, **smoothing.as_json(), "text": text}


def _mnf(
    material: Material, usable: npt.NDArray[np.bool_], clear: FloatArray
) -> tuple[Callable[[FloatArray], FloatArray], dict[str, Any]]:
    # Bad bands would lead the components; without data they pass untouched.
    image = np.where(usable[:, None, None], clear, np.float32(np.nan))
    grid = material.source.grid
    factor = math.ceil(max(grid.height_px / clear.shape[1], grid.width_px / clear.shape[2]))
    windows = [] if factor == 1 else _full_windows(material, image, factor)
    try:
        fitted = fit_mnf(image, noise_windows=windows, averaged_px=factor**2)
    except UsageError as error:
        raise UsageError(f"{material.name}: {error}") from None
    text = f"denoised: {fitted.components} components of the minimum noise fraction kept"
    return fitted.apply, {"step": "denoised", "method": "mnf", **fitted.as_json(), "text": text}


def _full_windows(material: Material, image: FloatArray, factor: int) -> list[FloatArray]:
    """Windows of the scene in full resolution, with the values that the reduced image has.

    What was done to the reduced image since calibration is linear in each band (nearly so with 6S): a line
    through the blocks that both show brings windows to the same values.
    """
    source = material.source
    size = max(1, WINDOW_PX // factor)
    windows = []
    for row in _starts(image.shape[1], size):
        for col in _starts(image.shape[2], size):
            means = image[:, row : row + size, col : col + size]
            height = min(means.shape[1] * factor, source.grid.height_px - row * factor)
            width = min(means.shape[2] * factor, source.grid.width_px - col * factor)
            window = material.calibration.apply(source.read_window(row * factor, col * factor, height, width))
            seen = np.isfinite(means).repeat(factor, axis=1).repeat(factor, axis=2)[:, :height, :width]
            window[~seen] = np.nan
            windows.append((window, block_means(window, factor), means))
    for band in range(len(image)):
        before = np.concatenate([each[1][band].ravel() for each in windows]).astype(np.float64)
        after = np.concatenate([each[2][band].ravel() for each in windows]).astype(np.float64)
        common = np.isfinite(before) & np.isfinite(after)
        if np.count_nonzero(common) < _FEWEST_COMMON_PX or before[common].std() == 0:
            continue
        slope = np.cov(before[common], after[common])[0, 1] / before[common].var(ddof=1)
        offset = after[common].mean() - slope * before[common].mean()
        for window, _before, _after in windows:
            window[band] = window[band] * np.float32(slope) + np.float32(offset)
    return [window for window, _before, _after in windows]


def _starts(length: int, size: int) -> list[int]:
    """First pixels of windows spread over a length, without overlap."""
    count = max(1, min(WINDOWS_ACROSS, length // size))
    return sorted({round(start) for start in np.linspace(0, max(0, length - size), count)})
