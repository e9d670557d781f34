"""Principal components: what a few directions common to all layers cannot tell of a cell is its residual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.methods.answers import (
    MethodAnswer,
    State,
    answer_of_expected,
    hidden_channels,
    require_channels,
)
from inference.evidence.methods.features import (
    CELLS_AT_ONCE,
    as_map,
    count_option,
    hidden_table,
    number_option,
    require_options,
    stored_array,
)
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings, Progress

EXPLAINED_SHARE = 0.8
"""So much of the variance the components explain at least, unless a number of them is given."""
ROUNDS = 10
"""Of guessing what is not known from the components, and the components anew."""
_COMPLETE_CELLS = 10
"""Cells per channel that must be known fully to fit on those alone."""


@dataclass(frozen=True)
class Pca:
    """Fitted principal components (Jolliffe 2002) of the scaled geochemistry and geophysics.

    Attributes:
        channels: of the ground.
        mean: (hidden channels,) float64.
        components: (components, hidden channels) float64, of length 1.
        explained: (components,) share of the variance that each explains.

    """

    channels: tuple[EvidenceChannel, ...]
    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    explained: NDArray[np.float64]
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_loss: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """How many components, and what they explain."""
        return {"components": len(self.components), "explained_share": round(float(self.explained.sum()), 6)}

    def anomaly(
        self, ground: EvidenceGround, system: MineralSystem, progress: Progress | None = None
    ) -> MethodAnswer:
        """See `FittedMethod`."""
        require_channels(self.channels, ground)
        values, is_known = hidden_table(ground)
        expected = np.empty(values.shape, np.float32)
        for begin in range(0, len(values), CELLS_AT_ONCE):
            part = slice(begin, begin + CELLS_AT_ONCE)
            expected[part] = self.expected(values[part].astype(np.float64), is_known[part])
            if progress is not None:
                progress(min(1.0, (begin + CELLS_AT_ONCE) / len(values)))
        return answer_of_expected(ground, as_map(expected, ground.is_scored), system)

    def expected(self, values: NDArray[np.float64], is_known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Values (cells, channels) made anew of the components.

        What is not known is first the mean, then what the components make of the cell, some rounds long.
        """
        guessed = np.where(is_known, values, self.mean)
        made = self._made(guessed)
        if not is_known.all():
            for _round in range(ROUNDS):
                made = self._made(np.where(is_known, values, made))
        return made

    def _made(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self.mean + ((values - self.mean) @ self.components.T) @ self.components
        return found

    def state(self) -> State:
        """See `FittedMethod`."""
        return {"mean": self.mean, "components": self.components, "explained": self.explained}


def fit_pca(ground: EvidenceGround, settings: EvidenceSettings) -> Pca:
    """Fit principal components on the judged cells of a ground.

    Cells whose channels are all known are used; where these are fewer than ten per channel, all cells, with
    the median in place of what is not known.

    Args:
        ground: the evidence.
        settings: options ``components``, a number of them, or ``explained_share``, 0..1.

    Raises:
        UsageError: options that do not exist or do not fit, fewer than two channels, values that do not vary.

    """
    options = settings.options
    require_options(options, "pca", ("components", "explained_share"))
    values, is_known = hidden_table(ground)
    channels = values.shape[1]
    if channels < 2:
        raise UsageError(
            f"pca needs two layers of geochemistry or geophysics at least, {ground.area} has {channels}: "
            "ingest more, or use the method single_layer"
        )
    is_full = is_known.all(axis=1)
    used = values[is_full] if is_full.sum() >= _COMPLETE_CELLS * channels else values
    mean = used.mean(axis=0, dtype=np.float64)
    variances, directions = np.linalg.eigh(np.cov(used.T.astype(np.float64), bias=True))
    shares, directions = np.maximum(variances[::-1], 0), directions[:, ::-1].T
    if shares.sum() <= 0:
        raise UsageError(f"the layers of {ground.area} do not vary on its judged ground: check them")
    shares = shares / shares.sum()
    if "components" in options:
        if "explained_share" in options:
            raise UsageError("options components and explained_share: give one of them")
        count = count_option(options, "components", 1, least=1, most=channels - 1)
    else:
        wanted = number_option(options, "explained_share", EXPLAINED_SHARE, above=0, most=1)
        count = min(int(np.searchsorted(np.cumsum(shares), wanted - 1e-12)) + 1, channels - 1)
    return Pca(
        ground.channels, mean, np.ascontiguousarray(directions[:count]), np.ascontiguousarray(shares[:count])
    )


def restore_pca(channels: tuple[EvidenceChannel, ...], state: Mapping[str, NDArray[Any]]) -> Pca:
    """What `Pca.state` gave, checked.

    Raises:
        UsageError: arrays that are not those of a pca of these channels.

    """
    count = len(hidden_channels(channels))
    components = stored_array(state, "components", (None, count), np.float64, "pca")
    mean = stored_array(state, "mean", (count,), np.float64, "pca")
    return Pca(
        channels, mean, components, stored_array(state, "explained", (len(components),), np.float64, "pca")
    )
