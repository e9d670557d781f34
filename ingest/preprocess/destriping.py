"""Stripes along the columns of a detector, taken out by moment matching.

Every detector element is given the mean and deviation that a smooth curve through its neighbours has (Horn
and Woodham 1979, doi:10.1016/0146-664X(79)90035-2, with a smooth target in place of a common one, so that
real gradients across the track stay). Ground that runs exactly along the track over the whole length of the
scene, less than half of SMOOTH_COLUMNS wide, cannot be told from a stripe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]

SMOOTH_COLUMNS = 25
LARGEST_GAIN = 2.0
_FEWEST_ROWS = 16


@dataclass(frozen=True)
class Destriping:
    """Gain and offset of each band and column: value * gain + offset; both (bands, width)."""

    gain: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    removed: npt.NDArray[np.float64]
    """Root mean square of the stripes taken out of each band, as a share of its mean."""

    def apply(self, strip: FloatArray) -> FloatArray:
        """Take the stripes out of a strip (bands, height, width) in sensor geometry; NaN stays.

        Raises:
            ValueError: another number of bands or columns.

        """
        if strip.ndim != 3 or (len(strip), strip.shape[2]) != self.gain.shape:
            raise ValueError(f"stripes of (bands, columns) {self.gain.shape}, a strip of shape {strip.shape}")
        gain, offset = (each[:, None, :].astype(np.float32) for each in (self.gain, self.offset))
        corrected: FloatArray = strip * gain + offset
        return corrected

    def as_json(self) -> dict[str, Any]:
        """A summary for the catalogue."""
        return {
            "method": "moment matching",
            "smooth_columns": SMOOTH_COLUMNS,
            "removed_median": round(float(np.median(self.removed)), 6) if len(self.removed) else 0.0,
            "removed_share_of_mean": [round(float(value), 6) for value in self.removed],
        }


class StripeStatistics:
    """Gathers mean and deviation of every detector column strip by strip.

    Args:
        band_count: number of bands.
        width_px: number of columns.

    """

    def __init__(self, band_count: int, width_px: int) -> None:
        shape = (band_count, width_px)
        self._count = np.zeros(shape, np.int64)
        self._sum = np.zeros(shape)
        self._squares = np.zeros(shape)

    def update(self, strip: FloatArray) -> None:
        """Count a strip (bands, height, width), NaN without data.

        Raises:
            ValueError: another number of bands or columns.

        """
        if strip.ndim != 3 or (len(strip), strip.shape[2]) != self._sum.shape:
            raise ValueError(f"stripes of (bands, columns) {self._sum.shape}, a strip of shape {strip.shape}")
        values = strip.astype(np.float64)
        self._count += np.isfinite(values).sum(axis=1)
        self._sum += np.nansum(values, axis=1)
        self._squares += np.nansum(values**2, axis=1)

    def finish(self) -> Destriping:
        """Gain and offset of every column; columns with hardly any data or no variation stay as they are."""
        count = np.maximum(self._count, 1)
        mean = self._sum / count
        deviation = np.sqrt(np.maximum(self._squares / count - mean**2, 0.0))
        known = self._count >= _FEWEST_ROWS
        gain, offset = np.ones_like(mean), np.zeros_like(mean)
        removed = np.zeros(len(mean))
        for band in range(len(mean)):
            if np.count_nonzero(known[band]) < SMOOTH_COLUMNS:
                continue
            wanted_mean = _smooth(mean[band], known[band])
            wanted_deviation = _smooth(deviation[band], known[band])
            usable = known[band] & (deviation[band] > 1e-9)
            ratio = np.ones(mean.shape[1])
            ratio[usable] = wanted_deviation[usable] / deviation[band][usable]
            gain[band] = np.clip(ratio, 1 / LARGEST_GAIN, LARGEST_GAIN)
            offset[band] = np.where(usable, wanted_mean - gain[band] * mean[band], 0.0)
            gain[band] = np.where(usable, gain[band], 1.0)
            level = abs(float(mean[band][known[band]].mean()))
            stripes = (mean[band] - wanted_mean)[known[band]]
            removed[band] = float(np.sqrt((stripes**2).mean())) / max(level, 1e-9)
        return Destriping(gain, offset, removed)


def _smooth(values: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """A smooth curve through columns: medians, then a Gaussian; both follow slopes up to the image's edge."""
    columns = np.arange(len(values))
    filled = np.interp(columns, columns[known], values[known])
    medians = ndimage.median_filter(_extended(filled), SMOOTH_COLUMNS)
    smooth = ndimage.gaussian_filter1d(medians, SMOOTH_COLUMNS / 4)
    return np.asarray(smooth[SMOOTH_COLUMNS:-SMOOTH_COLUMNS])


def _extended(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values with both ends mirrored through their end point, so that slopes go on."""
    pad = SMOOTH_COLUMNS
    reach = min(pad, len(values) - 1)
    left = 2 * np.median(values[:5]) - values[reach:0:-1]
    right = 2 * np.median(values[-5:]) - values[-2 : -reach - 2 : -1]
    left = np.pad(left, (pad - reach, 0), mode="edge")
    right = np.pad(right, (0, pad - reach), mode="edge")
    return np.concatenate([left, values, right])
