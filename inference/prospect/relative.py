"""Relative reflectance: what a band reflects against the other bands of its pixel, and against its scene.

Slope, sun and a thin haze brighten or darken all bands of a window of wavelengths by about one factor, and
so does the grain of a rock: divided by the mean of its window a band says no longer how bright the pixel is.
What calibration and correction of the atmosphere leave is a factor of each band, the same all over a scene:
divided by its median over the scene that is out, too. An absorption stays. Both together are the logarithmic
residuals of Green & Craig 1985 (Proc. Airborne Imaging Spectrometer Workshop, JPL 85-41, 111-119), as ratios;
the latter alone is the internal average of Kruse 1988 (doi 10.1016/0034-4257(88)90004-1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prospect.channels import Channel

DARKEST = 0.05
"""Below this share of a scene's median brightness a pixel is water or shadow, and its ratios are noise."""
_FEWEST_BANDS = 2


def relative_channels(
    channels: Sequence[Channel], windows_nm: Sequence[tuple[float, float]], product: str
) -> tuple[Channel, ...]:
    """The same channels, whose bands say in which window they are relative.

    Args:
        channels: of a ground; those of geology stay.
        windows_nm: lower and upper limits, nm; of two that hold a band the first counts.
        product: the scene, for the message.

    Raises:
        UsageError: a window is left with one band, which would be 1 everywhere.

    """
    made = [
        channel
        if channel.center_nm is None
        else replace(channel, relative_to_nm=_window_of(channel.center_nm, windows_nm))
        for channel in channels
    ]
    taken = [channel.relative_to_nm for channel in made]
    for low, high in windows_nm:
        if 0 < taken.count((low, high)) < _FEWEST_BANDS:
            raise UsageError(
                f"scene {product} has one usable band in {low:g}-{high:g} nm, and relative to itself it is 1 "
                "everywhere: leave that window out of --windows-nm, or do without --relative-reflectance"
            )
    return tuple(made)


def make_relative(
    channels: Sequence[Channel], values: NDArray[np.float32], is_judged: NDArray[np.bool_]
) -> None:
    """Divide bands by the mean of their window, cell by cell, then by their median over a scene; in place.

    Args:
        channels: of ``values``, in order; those without ``relative_to_nm`` stay as they are.
        values: (channels, height, width) of one scene, NaN: no value. A cell gets none in a window where one
            of its bands has none, or that is dark there, see `DARKEST`.
        is_judged: (height, width) the cells that the medians are taken over.

    """
    windows = [channel.relative_to_nm for channel in channels]
    for window in dict.fromkeys(windows):
        if window is None:
            continue
        places = [place for place, each in enumerate(windows) if each == window]
        mean = np.zeros(values.shape[1:], np.float64)
        for place in places:
            mean += values[place]
        mean /= len(places)
        mean[~(mean > DARKEST * _median(mean, is_judged))] = np.nan
        for place in places:
            values[place] /= mean
            values[place] /= _median(values[place], is_judged)


def _median(values: NDArray[np.floating], is_judged: NDArray[np.bool_]) -> float:
    """Median of the judged values; NaN where there are none, or it is not above 0."""
    known = values[is_judged & np.isfinite(values)]
    median = float(np.median(known)) if known.size else np.nan
    return median if median > 0 else np.nan


def _window_of(center_nm: float, windows_nm: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return next((low, high) for low, high in windows_nm if low <= center_nm <= high)
