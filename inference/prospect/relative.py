"""Relative reflectance: what a band reflects against the other bands of its window of wavelengths.

Slope, sun and a thin haze brighten or darken all bands of a window by about one factor, and so does the grain
of a rock; an absorption does not. Divided by the mean of its window, a band says how deep the spectrum dips
there and no longer how bright the pixel is, so that districts seen on other days can be held together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prospect.channels import Channel

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


def divide_by_window_means(channels: Sequence[Channel], values: NDArray[np.float32]) -> None:
    """Divide bands by the mean of the bands of their window, cell by cell and in place.

    Args:
        channels: of ``values``, in order; those without ``relative_to_nm`` stay as they are.
        values: (channels, height, width), NaN: no value. A cell gets none in a window where one of its bands
            has none, or where their mean is not above 0.

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
        mean[~(mean > 0)] = np.nan
        for place in places:
            values[place] /= mean


def _window_of(center_nm: float, windows_nm: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return next((low, high) for low, high in windows_nm if low <= center_nm <= high)
