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
Curve = npt.NDArray[np.float64]

FEWEST_PX = 1000
LARGEST_SAMPLE = 1_000_000
QUANTILES = 257
END_SHARE = 0.001
"""Pixels left out at each end: a few glints must not bend the curve."""

STEEPEST = 8.0
"""Largest slope, as a multiple of the ratio of the two ranges: steeper ones would turn noise into ground."""

SMALLEST_RANGE = 1e-6
_SUMMARY = (0.02, 0.5, 0.98)
_END_KNOTS = 8


@dataclass(frozen=True)
class HistogramMatching:
    """A rising curve of straight pieces for each band.

    Attributes:
        source, matched: its knots by band, values before and after; None for bands that could not be compared
            and stay as they are.
        before, after: quantiles 2, 50 and 98 % of the scene and of the reference (bands, 3); NaN likewise.
        compared_px: pixels that were looked at.

    """

    source: tuple[Curve | None, ...]
    matched: tuple[Curve | None, ...]
    before: Curve
    after: Curve
    compared_px: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Bend the values of a strip (bands, height, width); NaN stays, the curve's ends go on straight.

        Raises:
            ValueError: another number of bands.

        """
        if len(strip) != len(self.source):
            raise ValueError(f"histogram matching of {len(self.source)} bands, pixels of {len(strip)}")
        bent = strip.astype(np.float32)
        for band, (source, matched) in enumerate(zip(self.source, self.matched, strict=True)):
            if source is None or matched is None:
                continue
            values = strip[band]
            inside = np.interp(values, source, matched)
            low = _end_slope(source, matched, slice(None, _END_KNOTS))
            high = _end_slope(source, matched, slice(-_END_KNOTS, None))
            inside += low * np.minimum(values - source[0], 0.0) + high * np.maximum(values - source[-1], 0.0)
            bent[band] = inside
        return bent

    def as_json(self) -> dict[str, Any]:
        """Range and median of both dates for the catalogue; bands without a curve are counted from 1."""

        def summary(rows: Curve) -> list[list[float | None]]:
            return [[None if np.isnan(value) else float(value) for value in row] for row in rows]

        return {
            "quantiles_2_50_98": summary(self.before),
            "reference_quantiles_2_50_98": summary(self.after),
            "bands_not_fitted": [band + 1 for band, curve in enumerate(self.source) if curve is None],
            "compared_px": self.compared_px,
        }


def match_histograms(target: FloatArray, reference: FloatArray, valid: BoolArray) -> HistogramMatching:
    """Fit the distribution of one date to that of another.

    Args:
        target: reflectance to be fitted (bands, height, width), NaN without data.
        reference: the other date on the same pixels.
        valid: clear pixels that both have (height, width).

    Raises:
        UsageError: there are too few pixels in common, or no band varies on both dates.
        ValueError: the shapes differ.

    """
    if target.ndim != 3 or target.shape != reference.shape or target.shape[1:] != valid.shape:
        raise ValueError(
            f"images of {target.shape} and {reference.shape} and valid pixels of {valid.shape}: the images' "
            "shapes (bands, height, width) must be alike, and that of the pixels (height, width)"
        )
    places = np.flatnonzero(valid)
    if len(places) < FEWEST_PX:
        raise UsageError(
            f"the scene and its reference have {len(places)} clear pixels in common; at least {FEWEST_PX} "
            "are needed: name another --reference or say --normalise none"
        )
    if len(places) > LARGEST_SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, LARGEST_SAMPLE, replace=False))
    levels = np.linspace(END_SHARE, 1.0 - END_SHARE, QUANTILES)
    curves: list[tuple[Curve, Curve] | tuple[None, None]] = []
    before, after = np.full((len(target), 3), np.nan), np.full((len(target), 3), np.nan)
    for band in range(len(target)):
        one, other = target[band].ravel()[places], reference[band].ravel()[places]
        both = np.isfinite(one) & np.isfinite(other)
        one, other = one[both].astype(np.float64), other[both].astype(np.float64)
        if len(one) < FEWEST_PX:
            curves.append((None, None))
            continue
        before[band], after[band] = np.quantile(one, _SUMMARY), np.quantile(other, _SUMMARY)
        curves.append(_curve(np.quantile(one, levels), np.quantile(other, levels)))
    if all(source is None for source, _ in curves):
        raise UsageError(
            f"none of the {len(target)} bands has {FEWEST_PX} values that vary in both the scene and "
            "its reference: name another --reference or say --normalise none"
        )
    sources, matched = zip(*curves, strict=True)
    return HistogramMatching(sources, matched, before, after, len(places))


def _curve(source: Curve, matched: Curve) -> tuple[Curve, Curve] | tuple[None, None]:
    """Knots whose values before rise strictly, and whose slopes are bounded; None for a constant band."""
    if min(np.ptp(source), np.ptp(matched)) < SMALLEST_RANGE:
        return None, None
    # Many pixels of one value (8-bit data, clipping at 0) get the mean of what they stand for.
    cells = np.round((source - source[0]) / np.ptp(source) * 16 * QUANTILES).astype(np.int64)
    _, inverse, count = np.unique(cells, return_inverse=True, return_counts=True)
    before = np.bincount(inverse, source) / count
    after = np.bincount(inverse, matched) / count
    steps, rises = np.diff(before), np.diff(after)
    bound = STEEPEST * np.ptp(matched) / np.ptp(source)
    if (rises > bound * steps).any():
        gentle = np.concatenate([[0.0], np.cumsum(np.minimum(rises, bound * steps))])
        after = gentle + np.average(after - gentle, weights=count)
    return before, after


def _end_slope(source: Curve, matched: Curve, knots: slice) -> float:
    """Mean slope of some knots at an end, held between a quarter and four times that of the whole curve."""
    whole = np.ptp(matched) / np.ptp(source)
    slope = np.ptp(matched[knots]) / np.ptp(source[knots])
    return float(np.clip(slope, whole / 4, whole * 4))
