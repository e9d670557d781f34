"""Contents of elements as a model takes them: their logarithm to base 10.

Contents are positive and have long tails (Ahrens 1954, The lognormal distribution of the elements, Geochimica
et Cosmochimica Acta 5): a few cells hold ten or a hundred times the rest, and standardised as they are they
leave the rest little to be told apart by. Logarithms are about symmetric, and equal ratios are equal steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inference.prospect.channels import Channel

GEOCHEMISTRY = "geochemistry"
"""Kind of the layers of evidence that hold contents."""

_ROUNDED = 1e-5
"""A stored least content is rounded by less than this share of it."""


@dataclass(frozen=True)
class Logarithms:
    """What was done to a layer.

    Attributes:
        raised: judged cells below ``least``, which were given its logarithm.
        judged: judged cells with a value.
        least: smallest content that counts; None: no judged content is positive, and the layer holds no value
            any more.

    """

    raised: int
    judged: int
    least: float | None


def to_log10(
    values: NDArray[np.float32], is_judged: NDArray[np.bool_], least: float | None = None
) -> Logarithms:
    """Replace contents by their logarithm to base 10, in place.

    Contents of 0 or less mostly lay below the limit of detection; they are taken for the least content that
    counts, and so is whatever lies between.

    Args:
        values: (height, width) contents, NaN: no value; changed.
        is_judged: (height, width).
        least: the least content that counts, as in training, where 0 must be the same number as elsewhere;
            None: the smallest positive one on judged ground.

    """
    is_known = np.isfinite(values)
    judged = int((is_known & is_judged).sum())
    positive = values[is_known & is_judged & (values > 0)]
    if positive.size == 0:
        values[:] = np.nan
        return Logarithms(judged, judged, None)
    floor = float(positive.min()) if least is None else least
    is_raised = is_known & (values < floor * (1 - _ROUNDED))
    values[is_raised] = floor
    np.log10(values, out=values)  # of NaN it is NaN
    return Logarithms(int((is_raised & is_judged).sum()), judged, floor)


def with_least(
    channels: Sequence[Channel], values: NDArray[np.float32], is_judged: NDArray[np.bool_]
) -> tuple[Channel, ...]:
    """The same channels, those of logarithms with the least content that counts.

    Args:
        channels: of ``values``, in order.
        values: (channels, height, width), see `to_log10`; NaN: no value.
        is_judged: (height, width).

    """
    made = []
    for channel, held in zip(channels, values, strict=True):
        known = held[is_judged & np.isfinite(held)] if channel.is_log else held[:0]
        least = float(f"{float(from_log10(known).min()):.6g}") if known.size else None
        made.append(replace(channel, least=least))
    return tuple(made)


def log_notes(name: str, unit: str | None, found: Logarithms, *, is_given: bool = False) -> list[str]:
    """What to tell of the contents of a layer that have no logarithm; nothing where all have one.

    Args:
        name: of the layer.
        unit: of its contents, where known.
        found: what `to_log10` did.
        is_given: the least content was that of training.

    """
    if found.least is None:
        return [f"layer {name}: no content is above 0, so that none has a logarithm"] if found.judged else []
    if not found.raised:
        return []
    least = f"{found.least:g}" + ("" if unit is None else f" {unit}")
    if is_given:
        return [
            f"layer {name}: {found.raised} of {found.judged} contents are below {least}, the least of "
            "training; for their logarithm that is taken"
        ]
    return [
        f"layer {name}: {found.raised} of {found.judged} contents are 0 or less; for their logarithm the "
        f"smallest above 0 is taken, {least}"
    ]


def from_log10(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Contents of logarithms to base 10; NaN stays."""
    return np.power(10.0, values.astype(np.float64))
