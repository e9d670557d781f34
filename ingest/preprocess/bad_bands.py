"""Bands of a hyperspectral image that are not to be used: dead, in water vapour, noisy, or doubled.

Noise is estimated from differences of neighbouring pixels (shift difference, Green et al. 1988,
doi:10.1109/36.3001); texture of the ground counts as noise there, so that a band is compared with its
neighbours rather than with a fixed limit. The windows of water vapour are where the air lets next to nothing
through (Gao et al. 2009, doi:10.1016/j.rse.2007.12.015).
"""

from __future__ import annotations

from collections.abc import Container
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
"""Below this a band is noisy whatever its neighbours are."""

GOOD_SNR = 50.0
"""From this on a band is good whatever its neighbours are."""

LEAST_VALID = 0.5
"""A band with data in less than this share of the fullest band's pixels is dead."""

LARGEST_CONSTANT = 0.5
"""A band with more than this share of its pixels at its lowest or highest value is dead (or saturated)."""

_FEWEST_PX = 100
_FLAT = 1e-6
_TRIMMED_SHARE = 0.9
# Mean of |x| below its 90th percentile for a normal variable of deviation 1: (phi(0) - phi(1.6449)) 2 / 0.9.
_TRIMMED_MEAN = 0.65733


@dataclass(frozen=True)
class BandFigures:
    """Figures of each band.

    Attributes:
        pixels: pixels with data.
        mean, deviation: of the values.
        noise: standard deviation of the noise.
        valid: share of all pixels with data.
        constant: share of the pixels with data at the band's lowest or highest value, the larger of the two.

    """

    pixels: npt.NDArray[np.int64]
    mean: Vector
    deviation: Vector
    noise: Vector
    valid: Vector
    constant: Vector

    @property
    def snr(self) -> Vector:
        """Mean over noise; 0 for bands without signal, infinite for those without noise."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(self.mean) / self.noise
        return np.nan_to_num(ratio, nan=0.0, posinf=np.inf)


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
        self._all_pixels = 0
        # Lowest and highest value seen, and how often.
        self._extremes = np.array([[np.inf], [-np.inf]]) * np.ones(band_count)
        self._at_extremes = np.zeros((2, band_count), np.int64)

    def update(self, strip: FloatArray) -> None:
        """Count a strip (bands, height, width), NaN without data.

        Raises:
            ValueError: another number of bands.

        """
        if strip.ndim != 3 or len(strip) != len(self._pixels):
            raise ValueError(f"statistics of {len(self._pixels)} bands, a strip of shape {strip.shape}")
        self._all_pixels += strip[0].size
        for band, values in enumerate(strip):
            seen = values[np.isfinite(values)].astype(np.float64)
            self._pixels[band] += len(seen)
            self._sum[band] += seen.sum()
            self._squares[band] += (seen**2).sum()
            if len(seen):
                self._count_extremes(band, seen)
            # The mixed second difference takes out slopes of the ground in both directions; its variance is
            # four times that of the noise.
            if values.shape[0] < 2 or values.shape[1] < 2:
                continue
            mixed = values[1:, 1:] - values[1:, :-1] - values[:-1, 1:] + values[:-1, :-1]
            mixed = np.abs(mixed[np.isfinite(mixed)])
            if len(mixed):
                # Without the largest tenth, edges of fields are forgiven; a median would be 0 where digital
                # numbers are coarse. Times the length it adds up over strips.
                kept = mixed[mixed <= np.quantile(mixed, _TRIMMED_SHARE)]
                self._pairs[band] += len(mixed)
                self._differences[band] += float(kept.mean()) * len(mixed)

    def _count_extremes(self, band: int, seen: Vector) -> None:
        for end, extreme in enumerate((seen.min(), seen.max())):
            known = self._extremes[end, band]
            beyond = extreme < known if end == 0 else extreme > known
            if beyond:
                self._extremes[end, band], self._at_extremes[end, band] = extreme, 0
            self._at_extremes[end, band] += int(np.count_nonzero(seen == self._extremes[end, band]))

    def finish(self) -> BandFigures:
        """The figures of all strips."""
        count = np.maximum(self._pixels, 1)
        mean = self._sum / count
        variance = np.maximum(self._squares / count - mean**2, 0.0)
        noise = self._differences / np.maximum(self._pairs, 1) / _TRIMMED_MEAN / 2.0
        return BandFigures(
            self._pixels.copy(),
            mean,
            np.sqrt(variance),
            noise,
            valid=self._pixels / max(self._all_pixels, 1),
            constant=self._at_extremes.max(axis=0) / count,
        )


@dataclass(frozen=True)
class BadBand:
    """A band that is not to be used, by its place from 0, and why."""

    index: int
    reason: str


def find_bad_bands(center_nm: Vector, width_nm: Vector, figures: BandFigures) -> list[BadBand]:
    """Bands that are not to be used, in order.

    A band is "dead" without data or variation, in "water vapour" by its wavelength, "noisy" when its
    signal-to-noise ratio is below LEAST_SNR, or below GOOD_SNR and NOISY_SHARE of its neighbours' median.
    Where centres go back, a second spectrometer begins; of two bands that see the same wavelength, the one
    with the lower signal-to-noise ratio is an "overlap".

    Args:
        center_nm: centre wavelengths, nm, in the order of the detectors.
        width_nm: full widths at half maximum, nm.
        figures: of the same bands.

    Raises:
        ValueError: the numbers of bands differ.

    """
    if not len(center_nm) == len(width_nm) == len(figures.pixels):
        raise ValueError(
            f"{len(center_nm)} centres, {len(width_nm)} widths and figures of {len(figures.pixels)} bands"
        )
    reasons: dict[int, str] = {}
    snr = figures.snr
    fullest = float(figures.valid.max(initial=0.0))
    for band, center in enumerate(center_nm):
        flat = figures.deviation[band] <= _FLAT * abs(figures.mean[band])
        empty = figures.pixels[band] < _FEWEST_PX or figures.valid[band] < LEAST_VALID * fullest
        if empty or flat or figures.constant[band] > LARGEST_CONSTANT:
            reasons[band] = "dead"
        elif any(low <= center <= high for low, high in WATER_VAPOUR_NM):
            reasons[band] = "water vapour"
    alive = [band for band in range(len(center_nm)) if band not in reasons]
    for band in alive:
        near = sorted((other for other in alive if other != band), key=lambda other: abs(other - band))
        around = snr[near[:NEIGHBOURS]]
        limit = NOISY_SHARE * float(np.median(around)) if len(around) else 0.0
        if snr[band] < LEAST_SNR or snr[band] < min(GOOD_SNR, limit):
            reasons[band] = "noisy"
    for bad in find_overlaps(center_nm, width_nm, snr, reasons):
        reasons[bad.index] = bad.reason
    return [BadBand(band, reasons[band]) for band in sorted(reasons)]


def find_overlaps(center_nm: Vector, width_nm: Vector, snr: Vector, bad: Container[int]) -> list[BadBand]:
    """Bands that another spectrometer sees better.

    Args:
        center_nm: centre wavelengths, nm; where they go back a second spectrometer begins.
        width_nm: full widths at half maximum, nm.
        snr: signal-to-noise ratio of each band.
        bad: bands that are not to be used anyway, and replace none.

    """
    reasons: dict[int, str] = {}
    winners: set[int] = set()
    for pair in _overlaps(center_nm, width_nm):
        if any(band in bad or band in reasons for band in pair):
            continue
        # A wide band may double several narrow ones: once it has won against one, it replaces them all.
        won = [band for band in pair if band in winners]
        best = won[0] if len(won) == 1 else max(pair, key=lambda band: float(snr[band]))
        winners.add(best)
        reasons[pair[1] if best == pair[0] else pair[0]] = "overlap"
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
