"""Minimum noise fraction: components in order of their signal, noise left out (Green et al. 1988,
doi:10.1109/36.3001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

LEAST_SNR = 2.0
"""Components whose variance is at least so many times the noise's are kept."""

_SAMPLE = 400_000
_RIDGE = 1e-8


@dataclass(frozen=True)
class MinimumNoiseFraction:
    """A projection that keeps the components with signal.

    Attributes:
        bands: places of the bands that take part; the others pass untouched.
        mean: by those bands.
        projection: (bands, bands): deviation from the mean to denoised deviation.
        components: how many are kept.
        variance_ratio: variance over noise of every component, falling.

    """

    bands: npt.NDArray[np.intp]
    mean: npt.NDArray[np.float64]
    projection: Matrix
    components: int
    variance_ratio: npt.NDArray[np.float64]

    def apply(self, strip: FloatArray) -> FloatArray:
        """Denoise a strip (bands, height, width); pixels with NaN in a band that takes part stay as they are."""
        result = strip.copy()
        part = strip[self.bands]
        flat = part.reshape(len(self.bands), -1)
        seen = np.isfinite(flat).all(axis=0)
        centred = flat[:, seen] - self.mean[:, None].astype(np.float32)
        denoised = self.projection.astype(np.float32) @ centred + self.mean[:, None].astype(np.float32)
        flat[:, seen] = denoised
        result[self.bands] = flat.reshape(part.shape)
        return result

    def as_json(self) -> dict[str, Any]:
        """Figures for the catalogue."""
        return {
            "components": self.components,
            "bands": len(self.bands),
            "least_snr": LEAST_SNR,
            "variance_ratio": [round(float(value), 3) for value in self.variance_ratio[:40]],
        }


def fit_mnf(image: FloatArray, components: int | None = None) -> MinimumNoiseFraction:
    """Find the components of an image.

    Args:
        image: (bands, height, width), NaN without data. It must not be reduced much: noise is told from
            ground by neighbouring pixels.
        components: how many to keep; None: those with a variance of LEAST_SNR times the noise.

    Raises:
        UsageError: there are too few pixels for so many bands.

    """
    alive = [
        band
        for band, values in enumerate(image)
        if np.isfinite(values).any() and np.nanstd(values) > 1e-9 * max(1.0, abs(float(np.nanmean(values))))
    ]
    bands = np.array(alive, np.intp)
    part = image[bands]
    seen = np.isfinite(part).all(axis=0)
    pairs = seen[1:, 1:] & seen[1:, :-1] & seen[:-1, 1:] & seen[:-1, :-1]
    if len(bands) < 2 or np.count_nonzero(pairs) < 4 * len(bands):
        raise UsageError(
            f"{int(np.count_nonzero(pairs))} clear pixels are too few to tell noise from signal in "
            f"{len(bands)} "
            "bands; leave --denoise out"
        )
    rng = np.random.default_rng(0)
    places = _chosen(np.flatnonzero(pairs), rng)
    # Mixed second differences: variance four times the noise's, without slopes of the ground.
    mixed = np.stack(
        [(band[1:, 1:] - band[1:, :-1] - band[:-1, 1:] + band[:-1, :-1]).ravel()[places] for band in part]
    )
    noise = np.cov(mixed.astype(np.float64)) / 4.0
    inside = _chosen(np.flatnonzero(seen), rng)
    values = part.reshape(len(bands), -1)[:, inside].astype(np.float64)
    mean, signal = values.mean(axis=1), np.cov(values)
    noise += _RIDGE * np.trace(noise) / len(bands) * np.eye(len(bands))
    ratio, vectors = linalg.eigh(signal, noise)
    ratio, vectors = ratio[::-1], vectors[:, ::-1]
    kept = components if components is not None else int(np.count_nonzero(ratio >= LEAST_SNR))
    kept = min(max(1, kept), len(bands))
    # The vectors are orthonormal in the noise: their inverse is vectors.T @ noise.
    projection = noise @ vectors[:, :kept] @ vectors[:, :kept].T
    return MinimumNoiseFraction(bands, mean, projection, kept, ratio)


def _chosen(places: npt.NDArray[np.intp], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return places if len(places) <= _SAMPLE else np.sort(rng.choice(places, _SAMPLE, replace=False))
