"""What speaks for a target beside its probability: absorptions of ore minerals, or layers that stand out.

The depth of an absorption is that of Clark & Roush 1984 (doi 10.1029/JB089iB07p06329), 1 - R / Rc: R is the
reflectance in the band at the absorption, Rc that of the continuum there, a straight line between the two
shoulders. It says what a spectrum shows and not which mineral shows it: many share an absorption, that at
2200 nm with every clay and white mica.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.prospect.channels import Channel
from inference.prospect.contents import from_log10

Floats = NDArray[np.float32] | NDArray[np.float64]
Evidence = list[dict[str, Any]]
"""Items with name, value, unit (None: a ratio) and deviations above the ground that was judged."""

MOST_LAYERS = 5
"""Layers that are named for a target of a study area."""
MAD_TO_STD = 1.4826
"""Standard deviations in a median absolute deviation of normally distributed values."""
BAND_REACH_NM = 12.0
"""A band stands for a wavelength no farther from its centre, nm: more than half of AHSI's step of 16.8 nm."""


@dataclass(frozen=True)
class Absorption:
    """An absorption: name, wavelengths of its centre and of the shoulders left and right of it, nm."""

    name: str
    center_nm: float
    left_nm: float
    right_nm: float


ABSORPTIONS = (
    Absorption("beryl 830 nm", 830.0, 785.0, 900.0),
    Absorption("beryl 2055 nm", 2055.0, 2020.0, 2090.0),
    Absorption("beryl 2155 nm", 2155.0, 2115.0, 2180.0),
    Absorption("beryl, spodumene 2205 nm", 2205.0, 2165.0, 2245.0),
)
"""Beryl absorbs strongly at 830 nm and weakly at 2055, 2155 and 2200 nm, spodumene weakly at 2207 nm."""


def channels_of_absorptions(channels: Sequence[Channel]) -> set[str]:
    """Names of the channels that the absorptions are measured with."""
    return {channels[place].name for _, places in _measurable(channels) for place in places}


def absorption_depths(
    channels: Sequence[Channel], values: NDArray[np.float32], is_judged: NDArray[np.bool_]
) -> dict[str, NDArray[np.float32]]:
    """Depth of each absorption that the ground has bands for.

    Args:
        channels: all channels of the ground; those of other kinds are passed over.
        values: ``(channels, height, width)`` reflectance, NaN: no value.
        is_judged: ``(height, width)``.

    Returns:
        By name ``(height, width)`` float32, NaN where nothing is judged or known, or where the continuum is
        not positive. Absorptions without a band at the centre and at both shoulders are left out.

    """
    return {
        absorption.name: _depth(channels, values, places, is_judged)
        for absorption, places in _measurable(channels)
    }


def _measurable(channels: Sequence[Channel]) -> list[tuple[Absorption, tuple[int, int, int]]]:
    """Absorptions with the places of their bands left, at the centre and right, where there are three."""
    found = []
    for absorption in ABSORPTIONS:
        left = _band_at(channels, absorption.left_nm)
        center = _band_at(channels, absorption.center_nm)
        right = _band_at(channels, absorption.right_nm)
        if left is None or center is None or right is None or len({left, center, right}) < 3:
            continue
        found.append((absorption, (left, center, right)))
    return found


def _band_at(channels: Sequence[Channel], wavelength_nm: float) -> int | None:
    """Place of the spectral channel nearest to a wavelength, within reach."""
    off = [
        (abs(channel.center_nm - wavelength_nm), place)
        for place, channel in enumerate(channels)
        if channel.kind == "spectral" and channel.center_nm is not None
    ]
    if not off or min(off)[0] > BAND_REACH_NM:
        return None
    return min(off)[1]


def _depth(
    channels: Sequence[Channel],
    values: NDArray[np.float32],
    places: tuple[int, int, int],
    is_judged: NDArray[np.bool_],
) -> NDArray[np.float32]:
    left_nm, center_nm, right_nm = (float(channels[place].center_nm or 0) for place in places)
    left, center, right = (values[place] for place in places)
    share = np.float32((center_nm - left_nm) / (right_nm - left_nm))
    continuum = left + (right - left) * share
    depth = np.full(center.shape, np.nan, np.float32)
    np.divide(center, continuum, out=depth, where=is_judged & (continuum > 0))
    return np.subtract(1, depth, out=depth)


def absorption_evidence(depths: dict[str, NDArray[np.float32]], owner: NDArray[np.int32]) -> list[Evidence]:
    """Mean depth of the absorptions over each target, that which stands out most first.

    Args:
        depths: from `absorption_depths`.
        owner: ``(height, width)`` rank of the target that a pixel belongs to, 0: none; ranks from 1 on.

    Returns:
        For each target its items; deviations are standard deviations of the ground's judged pixels above
        their mean.

    """
    found: list[Evidence] = [[] for _ in range(int(owner.max(initial=0)))]
    for name, depth in depths.items():
        known = depth[np.isfinite(depth)].astype(np.float64)
        if len(known) < 2 or not known.std() > 0:
            continue
        center, spread = float(known.mean()), float(known.std())
        _add(found, name, None, means_by_owner(depth, owner, len(found)), center, spread)
    return [_by_deviations(items) for items in found]


def layer_evidence(
    names: Sequence[str],
    units: Sequence[str | None],
    values: Iterable[NDArray[np.float32]],
    is_judged: NDArray[np.bool_],
    owner: NDArray[np.int32],
    are_logs: Sequence[bool] | None = None,
) -> list[Evidence]:
    """The layers of a study area that stand out most over each target, up or down.

    Args:
        names: of the layers.
        units: of the layers; None where nobody said.
        values: ``(height, width)`` of each layer, NaN: no value.
        is_judged: ``(height, width)``.
        owner: ``(height, width)`` rank of the target that a pixel belongs to, 0: none; ranks from 1 on.
        are_logs: whether the values of each layer are logarithms to base 10; None: of none.

    Returns:
        For each target at most `MOST_LAYERS` items; deviations are those of the target's mean from the median
        of the judged ground, in median absolute deviations times 1.4826 (robust z), below 0 where lower. Of
        logarithms deviations are those of the logarithms; the value is the mean content.

    """
    found: list[Evidence] = [[] for _ in range(int(owner.max(initial=0)))]
    logs = [False] * len(names) if are_logs is None else are_logs
    for name, unit, layer, is_log in zip(names, units, values, logs, strict=True):
        judged = np.where(is_judged, layer, np.float32(np.nan))
        known = judged[np.isfinite(judged)].astype(np.float64)
        if not len(known):
            continue
        center = float(np.median(known))
        spread = MAD_TO_STD * float(np.median(np.abs(known - center)))
        if spread > 0:
            means = means_by_owner(judged, owner, len(found))
            told = means_by_owner(from_log10(judged), owner, len(found)) if is_log else means
            _add(found, name, unit, means, center, spread, told)
    return [_by_deviations(items)[:MOST_LAYERS] for items in found]


def means_by_owner(values: Floats, owner: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Mean of values (height, width) over the known pixels of each target, ``(count,)``; NaN without any."""
    known = (owner > 0) & np.isfinite(values)
    pixels = np.bincount(owner[known], minlength=count + 1)[1:]
    total = np.bincount(owner[known], values[known].astype(np.float64), minlength=count + 1)[1:]
    mean = np.full(count, np.nan)
    np.divide(total, pixels, out=mean, where=pixels > 0)
    return mean


def _add(
    found: list[Evidence],
    name: str,
    unit: str | None,
    means: NDArray[np.float64],
    center: float,
    spread: float,
    told: NDArray[np.float64] | None = None,
) -> None:
    """Add an item to each target that has a mean; ``told``: values to tell in place of the means."""
    values = means if told is None else told
    for items, mean, value in zip(found, means.tolist(), values.tolist(), strict=True):
        if np.isfinite(mean):
            item = {
                "name": name,
                "value": float(f"{value:.4g}"),
                "unit": unit,
                "deviations": round((mean - center) / spread, 2),
            }
            items.append(item)


def _by_deviations(items: Evidence) -> Evidence:
    return sorted(items, key=lambda item: -abs(item["deviations"]))
