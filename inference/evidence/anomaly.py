"""From what a method expects to what is anomalous: how far the ore elements lie above it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.scaling import MAD_TO_DEVIATION
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceChannel

LEAST_DEVIATION = 1e-3
"""Residuals that vary less, in deviations of the channel itself, are rounding and count for nothing."""
_OXIDE = re.compile(r"T?([A-Z][a-z]?)\d*O\d*")


def base_element(symbol: str) -> str:
    """The element that a content is of: Cr of Cr2O3, Fe of TFe2O3, Li of Li."""
    found = _OXIDE.fullmatch(symbol)
    return symbol if found is None else found[1]


def ore_weights(channels: Sequence[EvidenceChannel], system: MineralSystem) -> dict[int, float]:
    """Weights of the channels that hold ore elements of a mineral system.

    An element counts the same as its oxide. Where several channels hold an element, its weight is dealt out
    evenly among them.

    Args:
        channels: those that a method tells an excess of.
        system: names the elements and their weights.

    Returns:
        Weight by place among the channels.

    Raises:
        UsageError: none of the channels holds one of the elements.

    """
    wanted: dict[str, float] = {}
    for symbol, weight in system.elements.items():
        element = base_element(symbol)
        wanted[element] = wanted.get(element, 0.0) + weight
    held: dict[str, list[int]] = {}
    for place, channel in enumerate(channels):
        if channel.element is not None and base_element(channel.element) in wanted:
            held.setdefault(base_element(channel.element), []).append(place)
    if not held:
        there = sorted({channel.element for channel in channels if channel.element is not None})
        raise UsageError(
            f"none of the ore elements of {system.name} ({', '.join(system.elements)}) is among the layers, "
            f"which hold {', '.join(there) or 'no element'}: ingest one of them, or choose another system"
        )
    return {
        place: wanted[element] / len(places) for element, places in held.items() for place in sorted(places)
    }


def excess_of(residuals: NDArray[np.float32], is_judged: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Residuals in robust standard deviations, channel by channel.

    The deviation is 1.4826 times the median absolute deviation of the channel's residual from its median over
    judged cells, or the standard deviation where half of them are the same, and `LEAST_DEVIATION` at least.
    The median itself stays: nothing is in excess where what was expected was found.

    Args:
        residuals: (channels, height, width) observed minus expected, scaled, NaN where not known.
        is_judged: (height, width) ground that counts.

    Returns:
        (channels, height, width) float32, NaN where not known or not judged.

    """
    excess = np.full(residuals.shape, np.nan, np.float32)
    for place, residual in enumerate(residuals):
        is_told = is_judged & np.isfinite(residual)
        found = residual[is_told].astype(np.float64)
        if len(found):
            excess[place, is_told] = found / max(robust_scale(found), LEAST_DEVIATION)
    return excess


def robust_scale(values: NDArray[np.float64]) -> float:
    """Robust standard deviation of values (n,), above 0; 1 where all are alike."""
    scale = MAD_TO_DEVIATION * float(np.median(np.abs(values - np.median(values))))
    if scale <= 0:
        scale = float(values.std())
    return scale if scale > 0 else 1.0


def anomaly_of(excess: NDArray[np.float32], weights: Mapping[int, float]) -> NDArray[np.float32]:
    """The anomaly: weighted mean of the positive excess of the ore elements that are known in a cell.

    Args:
        excess: (channels, height, width) from `excess_of`.
        weights: of ore elements by channel, see `ore_weights`; above 0.

    Returns:
        (height, width) float32, 0 or more, in robust standard deviations; NaN where none is known.

    """
    sums = np.zeros(excess.shape[1:], np.float64)
    shares = np.zeros(excess.shape[1:], np.float64)
    for place, weight in weights.items():
        is_told = np.isfinite(excess[place])
        sums[is_told] += weight * np.maximum(excess[place][is_told], 0)
        shares[is_told] += weight
    with np.errstate(invalid="ignore"):
        return np.where(shares > 0, sums / np.where(shares > 0, shares, 1), np.nan).astype(np.float32)
