"""Smoothing of spectra by local polynomials (Savitzky and Golay 1964, doi:10.1021/ac60214a047).

Runs of neighbouring bands are smoothed each for itself: never across the gap that bad bands leave, or from
one spectrometer to the other. Polynomials are fitted over wavelength, since bands are not evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

WINDOW_BANDS = 7
ORDER = 2
LARGEST_GAP = 3.0
"""Neighbours farther apart than so many usual spacings are not smoothed together."""


@dataclass(frozen=True)
class SpectralSmoothing:
    """Runs of bands that are smoothed together.

    Attributes:
        runs: places of the bands of each run, in order of wavelength.
        weights: of each run (bands, bands): smoothed = weights @ spectrum.
        window, order: bands of the local polynomial, and its degree.

    """

    runs: tuple[tuple[int, ...], ...]
    weights: tuple[npt.NDArray[np.float64], ...]
    window: int
    order: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Smooth the spectra of a strip (bands, height, width); a pixel with NaN in a run keeps that run."""
        result = strip.copy()
        for run, weights in zip(self.runs, self.weights, strict=True):
            spectra = strip[list(run)].reshape(len(run), -1)
            seen = np.isfinite(spectra).all(axis=0)
            spectra[:, seen] = weights.astype(np.float32) @ spectra[:, seen]
            result[list(run)] = spectra.reshape(len(run), *strip.shape[1:])
        return result

    def as_json(self) -> dict[str, Any]:
        """Parameters for the catalogue."""
        return {"window_bands": self.window, "order": self.order, "runs": [len(run) for run in self.runs]}


def fit_smoothing(
    center_nm: npt.NDArray[np.float64],
    usable: Sequence[bool] | npt.NDArray[np.bool_],
    window: int = WINDOW_BANDS,
    order: int = ORDER,
) -> SpectralSmoothing:
    """Find the runs of bands that may be smoothed together.

    Args:
        center_nm: centre wavelengths, nm, in the order of the image; NaN where unknown.
        usable: which bands are no bad ones.
        window: number of bands of the local polynomial, odd; shorter runs stay as they are.
        order: its degree.

    Raises:
        ValueError: the window is even or not longer than the degree.

    """
    if window % 2 == 0 or window <= order or order < 0:
        raise ValueError(f"a window of {window} bands does not suit a polynomial of degree {order}")
    if len(center_nm) != len(usable):
        raise ValueError(f"{len(center_nm)} wavelengths, but {len(usable)} bands")
    places = [place for place in range(len(center_nm)) if usable[place] and np.isfinite(center_nm[place])]
    steps = [float(center_nm[b] - center_nm[a]) for a, b in pairwise(places)]
    rising = [step for step in steps if step > 0]
    usual = float(np.median(rising)) if rising else 0.0
    runs: list[list[int]] = [[]]
    for number, place in enumerate(places):
        if number and not 0 < steps[number - 1] <= LARGEST_GAP * usual:
            runs.append([])
        runs[-1].append(place)
    long = tuple(tuple(run) for run in runs if len(run) >= window)
    weights = tuple(_weights(np.asarray(center_nm, float)[list(run)], window, order) for run in long)
    return SpectralSmoothing(long, weights, window, order)


def _weights(center_nm: npt.NDArray[np.float64], window: int, order: int) -> npt.NDArray[np.float64]:
    """Rows of least-squares weights; at the ends of a run the window stays inside it."""
    count = len(center_nm)
    weights = np.zeros((count, count))
    for band in range(count):
        first = min(max(0, band - window // 2), count - window)
        near = slice(first, first + window)
        # Scaled to about -1..1, powers of nm would be badly conditioned.
        distance = (center_nm[near] - center_nm[band]) / (center_nm[near][-1] - center_nm[near][0])
        powers = np.vander(distance, order + 1, increasing=True)
        # The polynomial's value at the band itself is its constant term.
        weights[band, near] = np.linalg.pinv(powers)[0]
    return weights
