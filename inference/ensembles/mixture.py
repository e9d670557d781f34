"""Weights of a mixture of models: those under which the labels are likeliest.

Maximum likelihood by expectation and maximisation (Dempster, Laird and Rubin 1977, Maximum likelihood from
incomplete data via the EM algorithm). With the components given, the log likelihood is concave in the
weights: no round lowers it, there is one maximum, and how far away it is can be told at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.networks.ensemble import LEAST_PROBABILITY

ROUNDS = 2000
TOLERANCE = 1e-7
"""Nats of a pixel: a gain not worth another round."""
FAINT = 0.01
"""Members of less weight are left out where the labels are as likely without them."""


@dataclass(frozen=True)
class Mixture:
    """Weights, and how likely they make the labels.

    Attributes:
        weights: of each member, adding up to 1.
        pixels: they were fitted to; of weights that were given, pixels they were judged on.
        rounds: of the fit, 0 of weights that were given.
        gap: nats per pixel that the best weights can gain on these at most.
        nll: mean negative log likelihood of the labels, nats per pixel.
        nll_of_members: the same of each member alone.
        nll_of_equal: the same of the plain mean.

    """

    weights: tuple[float, ...]
    pixels: int
    rounds: int
    gap: float
    nll: float
    nll_of_members: tuple[float, ...]
    nll_of_equal: float

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """For the registry; members by name."""
        return {
            "weights": dict(zip(names, self.weights, strict=True)),
            "pixels": self.pixels,
            "rounds": self.rounds,
            "gap": self.gap,
            "nll": self.nll,
            "nll_of_members": dict(zip(names, self.nll_of_members, strict=True)),
            "nll_of_equal": self.nll_of_equal,
        }


def equal_mixture(likelihoods: NDArray[np.floating[Any]]) -> Mixture:
    """The plain mean, judged; for the arguments see `fit_mixture`."""
    known = _floored(likelihoods)
    members = known.shape[1]
    return _judged(known, np.full(members, 1 / members), 0)


def fit_mixture(likelihoods: NDArray[np.floating[Any]]) -> Mixture:
    """The weights under which the labels are likeliest.

    One round of the fit is w_k <- w_k mean_i(p_ik / sum_j w_j p_ij). A member that adds nothing loses its
    weight slowly and never all of it, so faint members are left out where that costs no likelihood.

    Args:
        likelihoods: (pixels, members) probability that each member gives to the label of each pixel.

    Raises:
        UsageError: there is no pixel, or a probability is none.

    """
    known = _floored(likelihoods)
    members = known.shape[1]
    weights, rounds = _fitted(known, np.full(members, 1 / members))
    found = [_judged(known, weights, rounds)]
    is_faint = (weights < FAINT) & (weights < weights.max())
    if is_faint.any():
        kept = np.where(is_faint, 0.0, weights)
        weights, more = _fitted(known, kept / kept.sum())
        found.append(_judged(known, weights, rounds + more))
    # where one member is best alone, the rounds come near it only
    found += [_judged(known, np.eye(members)[place], rounds) for place in range(members)]
    return min(found, key=lambda one: one.nll)


def _fitted(known: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Weights after as many rounds as pay, and how many; a weight of 0 stays 0."""
    rounds, is_best = 0, False
    while rounds < ROUNDS and not is_best:
        gains = _gains(known, weights)
        weights = weights * gains
        weights = weights / weights.sum()  # 1 but for rounding
        rounds, is_best = rounds + 1, bool(gains[weights > 0].max() - 1 <= TOLERANCE)
    return weights, rounds


def _gains(known: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(members,) derivative of the mean log likelihood by each weight; weighed by these their mean is 1."""
    gains: NDArray[np.float64] = (1 / (known @ weights)) @ known / len(known)
    return gains


def _judged(known: NDArray[np.float64], weights: NDArray[np.float64], rounds: int) -> Mixture:
    members = known.shape[1]
    return Mixture(
        tuple(weights.tolist()),
        len(known),
        rounds,
        # of a concave function: L(best) - L(w) <= gradient (best - w) <= max_k gradient_k - 1
        max(float(_gains(known, weights).max()) - 1, 0.0),
        _nll(known @ weights),
        tuple(_nll(known[:, place]) for place in range(members)),
        _nll(known.mean(axis=1)),
    )


def _nll(likelihood: NDArray[np.float64]) -> float:
    return float(-np.log(likelihood).mean())


def _floored(likelihoods: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probabilities in float64, no smaller than those of an ensemble."""
    known = likelihoods.astype(np.float64)
    if len(known) == 0:
        raise UsageError("there is no labelled pixel to fit weights to: label ground of the validation part")
    if not ((known >= 0) & (known <= 1 + 1e-6)).all():
        raise UsageError(
            f"the members' probabilities run from {known.min()} to {known.max()}: one of them answers with "
            "NaN or nonsense, train it again"
        )
    return np.maximum(known, LEAST_PROBABILITY)
