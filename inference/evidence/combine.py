"""Anomaly and favourability become one score, by their ranks: neither unit outweighs the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from db.errors import UsageError


def ranks(values: NDArray[np.float32], is_counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Ranks of values among the cells that count, equal ones sharing the mean of theirs.

    Args:
        values: (height, width), finite where it counts.
        is_counted: (height, width).

    Returns:
        (height, width) 0 for the lowest to 1 for the highest, NaN elsewhere; a single cell has 1, and equal
        ones all have 0.5.

    """
    found = np.full(values.shape, np.nan)
    chosen = values[is_counted]
    if len(chosen):
        steps = max(len(chosen) - 1, 1)
        found[is_counted] = (rankdata(chosen) - 1) / steps if len(chosen) > 1 else 1.0
    return found


def prospectivity(
    anomaly: NDArray[np.float32],
    favourability: NDArray[np.float32],
    share: float,
    is_judged: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """The score S = rank(A)^a rank(F)^(1 - a), over judged cells where both are known.

    Args:
        anomaly: A (height, width), NaN where not known.
        favourability: F (height, width), NaN where not known.
        share: a, 0..1: 1 is the anomaly alone.
        is_judged: (height, width) ground that counts.

    Returns:
        (height, width) float32 0..1, NaN where not known or not judged.

    Raises:
        UsageError: a share outside 0..1.

    """
    if not 0 <= share <= 1:
        raise UsageError(f"the share of the anomaly is {share:g}: give 0 to 1")
    is_scored = is_judged & np.isfinite(anomaly) & np.isfinite(favourability)
    score = ranks(anomaly, is_scored) ** share * ranks(favourability, is_scored) ** (1 - share)
    # NaN to the power of 0 is 1
    return np.where(is_scored, score, np.nan).astype(np.float32)
