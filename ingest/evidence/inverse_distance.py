"""Inverse distance weighting: for samples too few for a variogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ingest.evidence.blocks import Estimator, Floats
from ingest.evidence.validation import CrossValidation, judged

POWER = 2.0
_LEAST_M = 1e-3
"""Nearer than this a sample has all the weight."""


def inverse_distance(xy_m: Floats, values: Floats, neighbours: int) -> tuple[Estimator, CrossValidation]:
    """Weigh the nearest samples by the inverse of their squared distance (Shepard 1968).

    Each sample is estimated from its neighbours without itself. The error of a place is the root mean square
    of those errors of its neighbours, weighed as they are: it says how well neighbours tell of each other
    thereabouts, and does not shrink to 0 at a sample.

    Args:
        xy_m: (samples, 2) their places, m, all different.
        values: (samples,) their values.
        neighbours: so many of the nearest count.

    Returns:
        The estimator, and how well each sample was estimated without itself.

    """
    count = min(neighbours, len(values))
    tree = cKDTree(xy_m)
    distance_m, others = (each[:, 1:] for each in tree.query(xy_m, min(count + 1, len(values))))
    weights = _weights(distance_m)
    residuals = (weights * values[others]).sum(axis=1) - values
    expected = np.sqrt((weights * residuals[others] ** 2).sum(axis=1))

    def estimate(_chosen: Any, places: Floats) -> tuple[Floats, Floats]:
        far_m, near = (each.reshape(len(places), count) for each in tree.query(places, count))
        share = _weights(far_m)
        found: Floats = (share * values[near]).sum(axis=1)
        error: Floats = np.sqrt((share * residuals[near] ** 2).sum(axis=1))
        return found, error

    return estimate, judged(values + residuals, values, expected)


def _weights(distance_m: Floats) -> Floats:
    """Weights of samples (places, neighbours) that add up to 1."""
    weights: Floats = np.maximum(distance_m, _LEAST_M) ** -POWER
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
