"""One-class support vector machine: what lies outside of where most cells are is anomalous.

It is fitted by scikit-learn and kept as plain numbers, which is also how it answers, see `isolation_forest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import OneClassSVM

from db.errors import UsageError
from inference.evidence.methods.answers import MethodAnswer, State, hidden_channels, require_channels
from inference.evidence.methods.features import (
    as_map,
    count_option,
    evenly,
    hidden_table,
    number_option,
    require_options,
    stored_array,
)
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings, Progress

NU = 0.1
"""Share of the cells that lie outside at the most."""
CELLS = 3000
"""It is fitted to so many cells, evenly drawn: the time grows with their square."""
_AT_ONCE = 8192
_METHOD = "one_class_svm"


@dataclass(frozen=True)
class OneClass:
    """A fitted machine (Schoelkopf and others 2001) on the scaled geochemistry and geophysics.

    Attributes:
        channels: of the ground.
        vectors: (vectors, hidden channels) float64, scaled.
        weights: (vectors,) float64 above 0.
        gamma: of the kernel exp(-gamma |x - y|^2).
        least: negative sum of the least anomalous cell of the ground it was fitted on.
        cells: it was fitted to.

    """

    channels: tuple[EvidenceChannel, ...]
    vectors: NDArray[np.float64]
    weights: NDArray[np.float64]
    gamma: float
    least: float = 0.0
    cells: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_loss: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """How many cells it was fitted to, and how many of them it goes by."""
        return {"cells": self.cells, "vectors": len(self.vectors)}

    def anomaly(
        self,
        ground: EvidenceGround,
        system: MineralSystem,  # noqa: ARG002 - outside whatever the ore
        progress: Progress | None = None,
    ) -> MethodAnswer:
        """See `FittedMethod`: the negative weighted sum of the kernel above the least of training.

        The system plays no part.
        """
        require_channels(self.channels, ground)
        values, _is_known = hidden_table(ground)
        above = np.maximum(-self.sums(values, progress) - self.least, 0)
        return MethodAnswer(as_map(above, ground.is_scored))

    def sums(self, values: NDArray[np.float32], progress: Progress | None = None) -> NDArray[np.float64]:
        """Weighted sum of the kernel (cells,) of scaled values (cells, channels); low is far off."""
        found = np.empty(len(values))
        squares = (self.vectors**2).sum(axis=1)
        for begin in range(0, len(values), _AT_ONCE):
            part = values[begin : begin + _AT_ONCE].astype(np.float64)
            far = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ self.vectors.T
            found[begin : begin + _AT_ONCE] = np.exp(-self.gamma * np.maximum(far, 0)) @ self.weights
            if progress is not None:
                progress(min(1.0, (begin + _AT_ONCE) / len(values)))
        return found

    def state(self) -> State:
        """See `FittedMethod`."""
        return {
            "vectors": self.vectors,
            "weights": self.weights,
            "numbers": np.array([self.gamma, self.least, self.cells], np.float64),
        }


def fit_one_class_svm(ground: EvidenceGround, settings: EvidenceSettings) -> OneClass:
    """Fit the machine to evenly drawn judged cells; what is not known counts as the median.

    Args:
        ground: the evidence.
        settings: options ``nu``, 0..1, ``gamma`` (one divided by the channels unless it is given) and
            ``cells``, how many it is fitted to at the most.

    Raises:
        UsageError: options that do not exist or do not fit.

    """
    options = settings.options
    require_options(options, _METHOD, ("nu", "gamma", "cells"))
    values, _is_known = hidden_table(ground)
    nu = number_option(options, "nu", NU, above=0, most=1)
    gamma = number_option(options, "gamma", 1 / values.shape[1], above=0, most=1e6)
    cells = count_option(options, "cells", CELLS, least=2, most=100_000)
    chosen = values[evenly(len(values), cells)].astype(np.float64)
    fitted = OneClassSVM(nu=nu, gamma=gamma).fit(chosen)
    machine = OneClass(
        channels=ground.channels,
        vectors=np.array(fitted.support_vectors_, np.float64, order="C"),
        weights=np.array(fitted.dual_coef_[0], np.float64),
        gamma=gamma,
        cells=len(chosen),
    )
    return replace(machine, least=float(-machine.sums(values).max()))


def restore_one_class_svm(
    channels: tuple[EvidenceChannel, ...], state: Mapping[str, NDArray[Any]]
) -> OneClass:
    """What `OneClass.state` gave, checked.

    Raises:
        UsageError: arrays that are no machine of these channels.

    """
    count = len(hidden_channels(channels))
    vectors = stored_array(state, "vectors", (None, count), np.float64, _METHOD)
    weights = stored_array(state, "weights", (len(vectors),), np.float64, _METHOD)
    gamma, least, cells = stored_array(state, "numbers", (3,), np.float64, _METHOD).tolist()
    if gamma <= 0:
        raise UsageError(f"the weights are not those of a {_METHOD}: gamma is {gamma:g}; train it again")
    return OneClass(channels, vectors, weights, gamma, least, int(cells))
