"""Minimum noise fraction: components in order of their signal, noise left out.

Source: Green et al. 1988, doi:10.1109/36.3001, with the noise's covariance from differences of neighbouring
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

LEAST_SNR = 1.0
"""Components whose signal's variance is at least so many times the noise's are kept.

Leaving out a component takes its signal with its noise: below 1 that makes the error smaller.
"""

_SAMPLE = 400_000
_CALM_SHARE = 0.75
_RIDGE = 1e-8


@dataclass(frozen=True)
class MNF:
    """A projection that keeps the components with signal.

    Attributes:
        bands: places of the bands that take part; the others pass untouched.
        mean: by those bands.
        projection: (bands, bands): deviation from the mean to denoised deviation.
        components: how many are kept.
        snr: variance of signal over that of noise of every component, falling.

    """

    bands: npt.NDArray[np.intp]
    mean: npt.NDArray[np.float64]
    projection: Matrix
    components: int
    snr: npt.NDArray[np.float64]

    def apply(self, strip: FloatArray) -> FloatArray:
        """Denoise a strip (bands, height, width); pixels with NaN in a band that takes part stay."""
        result = strip.copy()
        part = strip[self.bands]
        flat = part.reshape(len(self.bands), -1)
        seen = np.isfinite(flat).all(axis=0)
        mean = self.mean[:, None].astype(np.float32)
        flat[:, seen] = self.projection.astype(np.float32) @ (flat[:, seen] - mean) + mean
        result[self.bands] = flat.reshape(part.shape)
        return result

    def as_json(self) -> dict[str, Any]:
        """Figures for the catalogue."""
        return {
            "components": self.components,
            "bands": len(self.bands),
            "least_snr": LEAST_SNR,
            "snr": [round(float(value), 3) for value in self.snr[:40]],
        }


def fit_mnf(
    image: FloatArray,
    components: int | None = None,
    *,
    noise_windows: Sequence[FloatArray] = (),
    averaged_px: int = 1,
) -> MNF:
    """Find the components of an image.

    Args:
        image: (bands, height, width), NaN without data; it should show all materials of the scene.
        components: how many to keep; None: those with at least LEAST_SNR.
        noise_windows: windows of the scene in full resolution, same bands and unit, from which noise is told;
            none: the image itself, which must not be reduced then, as texture would pass for noise.
        averaged_px: how many pixels of the windows were averaged into one of the image.

    Raises:
        UsageError: there are too few pixels for so many bands.
        ValueError: shapes do not fit, or the number of components is not of this image.

    """
    if image.ndim != 3 or any(window.ndim != 3 or len(window) != len(image) for window in noise_windows):
        raise ValueError(
            f"image of shape {image.shape}, windows {[window.shape for window in noise_windows]}"
        )
    if components is not None and not 1 <= components <= len(image):
        raise ValueError(f"{components} components of {len(image)} bands")
    bands = np.array([band for band, values in enumerate(image) if _varies(values)], np.intp)
    mixed = [_mixed_differences(window[bands]) for window in (noise_windows or (image,))]
    differences = np.concatenate(mixed, axis=1).astype(np.float64)
    values = image[bands].reshape(len(bands), image.shape[1] * image.shape[2])
    inside = np.flatnonzero(np.isfinite(values).all(axis=0))
    fewest = min(differences.shape[1], len(inside))
    if len(bands) < 2 or fewest < 4 * len(bands):
        raise UsageError(
            f"{fewest if len(bands) else 0} clear pixels are too few to tell noise from signal in "
            f"{len(bands)} bands; leave --denoise out"
        )
    rng = np.random.default_rng(0)
    noise = _covariance_of_noise(differences, rng)
    values = values[:, _chosen(inside, rng)].astype(np.float64)
    mean, total = values.mean(axis=1), np.cov(values)
    # A noise-free image must not make the noise singular.
    noise += (_RIDGE * np.trace(noise) + 1e-12 * np.trace(total)) / len(bands) * np.eye(len(bands))
    ratio, vectors = linalg.eigh(total, noise)
    ratio, vectors = ratio[::-1], vectors[:, ::-1]
    # The image's own variance holds the noise once, divided by the pixels averaged.
    snr = np.maximum(ratio - 1.0 / averaged_px, 0.0)
    kept = components if components is not None else int(np.count_nonzero(snr >= LEAST_SNR))
    kept = min(max(1, kept), len(bands))
    # The vectors are orthonormal in the noise: their inverse is vectors.T @ noise.
    projection = noise @ vectors[:, :kept] @ vectors[:, :kept].T
    return MNF(bands, mean, projection, kept, snr)


def _varies(values: FloatArray) -> bool:
    seen = values[np.isfinite(values)].astype(np.float64)
    return len(seen) > 1 and bool(seen.std() > 1e-7 * abs(seen.mean()))


def _mixed_differences(part: FloatArray) -> FloatArray:
    """Mixed second differences (bands, pixels): no slopes of the ground, four times the noise's variance."""
    mixed = part[:, 1:, 1:] - part[:, 1:, :-1] - part[:, :-1, 1:] + part[:, :-1, :-1]
    flat = mixed.reshape(len(part), mixed.shape[1] * mixed.shape[2])
    return np.asarray(flat[:, np.isfinite(flat).all(axis=0)])


def _covariance_of_noise(differences: Matrix, rng: np.random.Generator) -> Matrix:
    """Covariance of one pixel's noise, from the calmer pixels: edges of fields are left out."""
    scale = np.median(np.abs(differences), axis=1) + 1e-30
    size = ((differences / scale[:, None]) ** 2).mean(axis=0)
    calm = np.flatnonzero(size <= np.quantile(size, _CALM_SHARE))
    return np.asarray(np.cov(differences[:, _chosen(calm, rng)])) / 4.0


def _chosen(places: npt.NDArray[np.intp], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return places if len(places) <= _SAMPLE else np.sort(rng.choice(places, _SAMPLE, replace=False))
