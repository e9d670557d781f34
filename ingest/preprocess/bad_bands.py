"""Bands of a hyperspectral image that are not to be used: dead, in water vapour, noisy, or doubled.

Noise is estimated from differences of neighbouring pixels (shift difference, Green et al. 1988,
doi:10.1109/36.3001). The windows of water vapour are where the air lets next to nothing through (Gao et al.
2009, doi:10.1016/j.rse.2007.12.015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

WATER_VAPOUR_NM = ((1350.0, 1430.0), (1800.0, 1960.0))
NEIGHBOURS = 7
NOISY_SHARE = 0.35
"""A band whose signal-to-noise ratio is below so much of its neighbours' median is noisy."""

LEAST_SNR = 3.0
_FEWEST_PX = 100
_FLAT = 1e-6


@dataclass(frozen=True)
class BandFigures:
    """Figures of each band.

    Attributes:
        pixels: pixels with data.
        mean, deviation: of the values.
        noise: standard deviation of the noise.

    """

    pixels: npt.NDArray[np.int64]
    mean: Vector
    deviation: Vector
    noise: Vector

    @property
    def snr(self) -> Vector:
        """Mean over noise; 0 for bands without signal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(self.mean) / self.noise
        return np.where(np.isfinite(ratio), ratio, 0.0)


class BandStatistics:
    """Gathers figures strip by strip.

    Args:
        band_count: number of bands.

    """

    def __init__(self, band_count: int) -> None:
        self._pixels = np.zeros(band_count, np.int64)
        self._sum = np.zeros(band_count)
        self._squares = np.zeros(band_count)
        self._pairs = np.zeros(band_count, np.int64)
        self._differences = np.zeros(band_count)

    def update(self, strip: FloatArray) -> None:
        """Count a strip (bands, height, width), NaN without data."""
        for band, values in enumerate(strip):
            seen = values[np.isfinite(values)].astype(np.float64)
            self._pixels[band] += len(seen)
            self._sum[band] += seen.sum()
            self._squares[band] += (seen**2).sum()
            # The mixed second difference takes out slopes of the ground in both directions; its variance is
            # four times that of the noise.
            if values.shape[0] < 2 or values.shape[1] < 2:
                continue
            mixed = values[1:, 1:] - values[1:, :-1] - values[:-1, 1:] + values[:-1, :-1]
            mixed = np.abs(mixed[np.isfinite(mixed)])
            if len(mixed):
                # The median forgives edges of fields; times its length it adds up over strips.
                self._pairs[band] += len(mixed)
                self._differences[band] += float(np.median(mixed)) * len(mixed)

    def finish(self) -> BandFigures:
        """The figures of all strips."""
        count = np.maximum(self._pixels, 1)
        mean = self._sum / count
        variance = np.maximum(self._squares / count - mean**2, 0.0)
        noise = 1.4826 * self._differences / np.maximum(self._pairs, 1) / 2.0
        return BandFigures(self._pixels, mean, np.sqrt(variance), noise)


@dataclass(frozen=True)
class BadBand:
    """A band that is not to be used, by its place from 0, and why."""

    index: int
    reason: str


def find_bad_bands(center_nm: Vector, width_nm: Vector, figures: BandFigures) -> list[BadBand]:
    """Bands that are not to be used, in order.

    Args:
        center_nm: centre wavelengths, nm.
        width_nm: full widths at half maximum, nm.
        figures: of the same bands.

    """
    reasons: dict[int, str] = {}
    snr = figures.snr
    for band, center in enumerate(center_nm):
        flat = figures.deviation[band] <= _FLAT * max(1.0, abs(figures.mean[band]))
        if figures.pixels[band] < _FEWEST_PX or flat:
            reasons[band] = "dead"
        elif any(low <= center <= high for low, high in WATER_VAPOUR_NM):
            reasons[band] = "water vapour"
    alive = [band for band in range(len(center_nm)) if band not in reasons]
    for band in alive:
        near = sorted((other for other in alive if other != band), key=lambda other: abs(other - band))
        around = snr[near[:NEIGHBOURS]]
        if snr[band] < LEAST_SNR or (len(around) and snr[band] < NOISY_SHARE * np.median(around)):
            reasons[band] = "noisy"
    for band, other in _overlaps(center_nm, width_nm):
        if band not in reasons and other not in reasons:
            reasons[band if snr[band] < snr[other] else other] = "overlap"
    return [BadBand(band, reasons[band]) for band in sorted(reasons)]


def _overlaps(center_nm: Vector, width_nm: Vector) -> list[tuple[int, int]]:
    """Pairs of bands of two spectrometers that see the same wavelength."""
    turns = np.flatnonzero(np.diff(center_nm) <= 0) + 1
    pairs = []
    for turn in turns:
        for band in range(turn):
            nearest = int(turn + np.argmin(np.abs(center_nm[turn:] - center_nm[band])))
            if abs(center_nm[nearest] - center_nm[band]) < 0.5 * max(width_nm[nearest], width_nm[band]):
                pairs.append((band, nearest))
    return pairs
