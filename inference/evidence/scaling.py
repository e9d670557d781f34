"""Evidence on a common scale: centred log ratios, and robust z that never divides by about nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAD_TO_DEVIATION = 1.4826
"""Median absolute deviation times this is the standard deviation of a normal distribution."""

CLIP = 8.0
"""Scaled values farther from 0 than this are brought to it."""

PROXIMITY_M = 1000.0
"""Distances d become log(1 + d / this), so that what lies near is told apart finely, what lies far hardly."""

_TINY_SHARE = 0.01
"""A deviation below this share of what the bulk of the values spans says nothing about how they spread."""

_ROUNDING = 1e-6
"""Values that span less than this share of their size differ by rounding alone: they are float32."""

_BULK = (1.0, 99.0)
_BULK_DEVIATIONS = 4.6527
"""So many standard deviations lie between those percentiles of a normal distribution."""


@dataclass(frozen=True)
class Scale:
    """What becomes 0, and what becomes 1: scaled = (value - center) / scale."""

    center: float
    scale: float

    def apply(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scaled and clipped to +-``CLIP``; NaN stays."""
        scaled = (values.astype(np.float64) - self.center) / self.scale
        return np.clip(scaled, -CLIP, CLIP).astype(np.float32)


def is_constant(values: NDArray[np.floating]) -> bool:
    """Whether values (n,) are one value, but for the rounding of float32; none are not."""
    if not values.size:
        return False
    low, high = float(values.min()), float(values.max())
    return high - low <= _ROUNDING * max(abs(low), abs(high))


def robust_scale(values: NDArray[np.floating]) -> Scale | None:
    """Median, and 1.4826 times the median absolute deviation from it.

    Where more than half of the values are about the same (a map of granite is 0 nearly everywhere) that
    deviation is nothing or next to it; then the standard deviation is taken, and where that is no number, or
    blown up by a few absurd values, what the bulk of the values spans.

    Args:
        values: (n,) finite.

    Returns:
        None where there are no values or they are all the same.

    """
    if not values.size or is_constant(values):
        return None
    found = values.astype(np.float64)
    center = float(np.median(found))
    deviation = MAD_TO_DEVIATION * float(np.median(np.abs(found - center)))
    low, high = np.percentile(found, _BULK)
    bulk = float(high - low) / _BULK_DEVIATIONS
    least = _ROUNDING * max(abs(float(low)), abs(float(high)), abs(center))
    if deviation > max(_TINY_SHARE * bulk, least):
        return Scale(center, deviation)
    spread = float(found.std())
    if bulk > least and (not np.isfinite(spread) or spread * _TINY_SHARE > bulk):
        return Scale(center, bulk)
    return Scale(center, spread)


def positive_contents(
    values: NDArray[np.float32], is_judged: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], int, float | None]:
    """Contents of which a logarithm can be taken: those of 0 or less count as half the smallest positive one.

    They lay below a limit of detection that nobody told.

    Args:
        values: (height, width), NaN: none.
        is_judged: (height, width); only judged contents count for the smallest.

    Returns:
        Contents (height, width) NaN off judged ground; how many were raised; to what. None: no judged content
        is above 0, and all are NaN.

    """
    contents = np.where(is_judged & np.isfinite(values), values, np.nan).astype(np.float64)
    is_low = contents <= 0
    positive = contents[contents > 0]
    if not positive.size:
        return np.full(contents.shape, np.nan), int(is_low.sum()), None
    least = float(positive.min()) / 2
    contents[is_low] = least
    return contents, int(is_low.sum()), least


def centred_log_ratios(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred log ratios (Aitchison 1986, The Statistical Analysis of Compositional Data) of what is known.

    Each channel's median is taken away first, then from each cell the mean over the channels known there. A
    factor of unit (ppm, %, ppb) moves all logarithms of a channel alike, and goes with its median: no
    conversion is needed. For the same reason cells where fewer channels are known are on the level of the
    others, which they would not be about the plain mean.

    Args:
        logarithms: (channels, height, width), NaN: not known.

    Returns:
        The same shape; over the channels known at a cell they sum to 0. NaN where nothing or one channel
        only is known: there is no ratio to tell of.

    """
    ratios = logarithms.copy()
    count = np.zeros(ratios.shape[1:], np.int64)
    total = np.zeros(ratios.shape[1:])
    for channel in ratios:
        is_known = np.isfinite(channel)
        if is_known.any():
            channel -= np.median(channel[is_known])
        count += is_known
        total += np.where(is_known, channel, 0.0)
    ratios -= np.where(count >= 2, total / np.maximum(count, 1), np.nan)
    return ratios


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks of values (n,), 0 for the lowest to 1 for the highest, equal ones sharing the mean of theirs."""
    if values.size < 2:
        return np.full(values.shape, 0.5)
    order, place, count = np.unique(values, return_inverse=True, return_counts=True)
    if len(order) == 1:
        return np.full(values.shape, 0.5)
    last = np.cumsum(count)
    shared = (last - 1 - (count - 1) / 2) / (values.size - 1)
    found: NDArray[np.float64] = shared[place]
    return found
