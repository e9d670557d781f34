"""Histogram matching: the distribution of each band is bent to that of another date.

The choice where no ground stayed the same in a way that a line can follow. Real change is bent along: prefer
``ingest.preprocess.irmad`` where it works. Source: Gonzalez and Woods, Digital Image Processing, histogram
specification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

FEWEST_PX = 1000
QUANTILES = 257
_STEEPEST = 10.0


@dataclass(frozen=True)
class HistogramMatching:
    """Quantiles of both dates: values between them are interpolated, values beyond keep the end's distance.

    Attributes:
        source, target: quantiles (bands, QUANTILES); equal rows for bands that could not be compared.
        compared_px: pixels that were looked at.

    """

    source: npt.NDArray[np.float64]
    target: npt.NDArray[np.float64]
    compared_px: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Bend the values of a strip (bands, height, width); NaN stays."""
        bent = np.empty_like(strip)
        for band, values in enumerate(strip):
            source, target = self.source[band], self.target[band]
            inside = np.interp(values, source, target)
            below, above = np.minimum(values - source[0], 0), np.maximum(values - source[-1], 0)
            bent[band] = np.where(np.isnan(values), np.nan, inside + below + above)
        return bent

    def as_json(self) -> dict[str, Any]:
        """Median and range of both dates for the catalogue."""
        middle, low, high = QUANTILES // 2, QUANTILES // 50, -1 - QUANTILES // 50

        def summary(rows: npt.NDArray[np.float64]) -> list[list[float]]:
            return [[float(row[place]) for place in (low, middle, high)] for row in rows]

        return {
            "quantiles_2_50_98": summary(self.source),
            "reference_quantiles_2_50_98": summary(self.target),
            "compared_px": self.compared_px,
        }


def match_histograms(target: FloatArray, reference: FloatArray, valid: BoolArray) -> HistogramMatching:
    """Fit the distribution of one date to that of another.

    Args:
        target: reflectance to be fitted (bands, height, width).
        reference: the other date on the same pixels.
        valid: clear pixels that both have (height, width).

    Raises:
        UsageError: there are too few pixels in common.

    """
    count = int(np.count_nonzero(valid))
    if count < FEWEST_PX:
        raise UsageError(
            f"the scene and its reference have {count} clear pixels in common; at least {FEWEST_PX} are "
            "needed: name another --reference or say --normalise none"
        )
    levels = np.linspace(0.0, 1.0, QUANTILES)
    source, matched = np.empty((len(target), QUANTILES)), np.empty((len(target), QUANTILES))
    for band in range(len(target)):
        one, other = target[band][valid], reference[band][valid]
        one, other = one[np.isfinite(one)], other[np.isfinite(other)]
        if min(len(one), len(other)) < FEWEST_PX or np.ptp(one) < 1e-6:
            source[band] = matched[band] = levels
            continue
        source[band], matched[band] = np.quantile(one, levels), np.quantile(other, levels)
        _rise(source[band], matched[band])
    return HistogramMatching(source, matched, count)


def _rise(source: npt.NDArray[np.float64], matched: npt.NDArray[np.float64]) -> None:
    """Make quantiles rise strictly, and the curve no steeper than _STEEPEST."""
    least = max(np.ptp(source), 1e-6) * 1e-9
    source += np.arange(len(source)) * least
    steepest = _STEEPEST * max(np.ptp(matched) / np.ptp(source), 1.0)
    widths = np.maximum(np.diff(matched) / steepest, np.diff(source))
    middle = source[len(source) // 2]
    source[1:] = source[0] + np.cumsum(widths)
    source += middle - source[len(source) // 2]
