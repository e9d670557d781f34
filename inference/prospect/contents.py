"""Contents of elements as a model takes them: their logarithm to base 10.

Contents are positive and have long tails (Ahrens 1954, The lognormal distribution of the elements, Geochimica
et Cosmochimica Acta 5): a few cells hold ten or a hundred times the rest, and standardised as they are they
leave the rest little to be told apart by. Logarithms are about symmetric, and equal ratios are equal steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GEOCHEMISTRY = "geochemistry"
"""Kind of the layers of evidence that hold contents."""


@dataclass(frozen=True)
class Logarithms:
    """What was done to a layer.

    Attributes:
        raised: judged cells of 0 or less, which have no logarithm and were given that of ``least``.
        judged: judged cells with a value.
        least: smallest positive content of the layer; None: it has none, and holds no value any more.

    """

    raised: int
    judged: int
    least: float | None


def to_log10(values: NDArray[np.float32], is_judged: NDArray[np.bool_]) -> Logarithms:
    """Replace contents by their logarithm to base 10, in place.

    Contents of 0 or less mostly lay below the limit of detection; they are taken for the smallest positive
    one of the layer.

    Args:
        values: (height, width) contents, NaN: no value; changed.
        is_judged: (height, width).

    """
    is_known = np.isfinite(values)
    is_positive = is_known & (values > 0)
    judged = int((is_known & is_judged).sum())
    if not is_positive.any():
        values[:] = np.nan
        return Logarithms(judged, judged, None)
    is_raised = is_known & ~is_positive
    least = values[is_positive].min()
    values[is_raised] = least
    np.log10(values, out=values)  # of NaN it is NaN
    return Logarithms(int((is_raised & is_judged).sum()), judged, float(least))


def from_log10(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Contents of logarithms to base 10; NaN stays."""
    return np.power(10.0, values.astype(np.float64))
