"""Smoothing of spectra by local polynomials (Savitzky and Golay 1964, doi:10.1021/ac60214a047).

Runs of neighbouring bands are smoothed each for itself: never across a bad band's gap or from one
spectrometer to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import savgol_filter

FloatArray = npt.NDArray[np.float32]

WINDOW_BANDS = 7
ORDER = 2
LARGEST_GAP = 3.0
"""Neighbours farther apart than so many usual spacings are not smoothed together."""


@dataclass(frozen=True)
class SpectralSmoothing:
    """Runs of bands (places in order of wavelength) that are smoothed together."""

    runs: tuple[tuple[int, ...], ...]
    window: int
    order: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Smooth the spectra of a strip (bands, height, width); a pixel with NaN in a run keeps that run."""
        result = strip.copy()
        for run in self.runs:
            places = list(run)
            smooth = savgol_filter(strip[places], self.window, self.order, axis=0, mode="interp")
            result[places] = np.where(np.isfinite(smooth), smooth, strip[places])
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
        center_nm: centre wavelengths, nm, in the order of the image.
        usable: which bands are no bad ones.
        window: number of bands of the local polynomial, odd.
        order: its degree.

    Raises:
        ValueError: the window is even or not longer than the degree.

    """
    if window % 2 == 0 or window <= order:
        raise ValueError(f"a window of {window} bands does not suit a polynomial of degree {order}")
    places = [place for place in range(len(center_nm)) if usable[place] and np.isfinite(center_nm[place])]
    steps = [center_nm[b] - center_nm[a] for a, b in zip(places, places[1:], strict=False)]
    rising = [step for step in steps if step > 0]
    usual = float(np.median(rising)) if rising else 0.0
    runs: list[list[int]] = [[]]
    for number, place in enumerate(places):
        if number and not 0 < steps[number - 1] <= LARGEST_GAP * usual:
            runs.append([])
        runs[-1].append(place)
    return SpectralSmoothing(tuple(tuple(run) for run in runs if len(run) >= window), window, order)
