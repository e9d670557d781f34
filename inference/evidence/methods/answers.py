"""What every method gives: it is fitted on a ground, tells what is anomalous on it, and can be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.anomaly import anomaly_of, excess_of, ore_weights
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import HIDDEN_KINDS, EvidenceChannel, EvidenceGround, Progress

State = dict[str, NDArray[Any]]
"""Tensors by name, for a safetensors file."""


@dataclass(frozen=True)
class MethodAnswer:
    """What a method finds on a ground.

    Attributes:
        anomaly: (height, width) float32, 0 or more, higher is more anomalous; NaN where nothing is known.
        excess: (hidden channels, height, width) float32, observed minus expected in robust standard
            deviations, NaN where not known; channels as ``ground.places_of(*HIDDEN_KINDS)``. None: the method
            expects nothing of single channels.
        expected: the same shape, in the scale of ``ground.values``, also where nothing was observed.
        note: what else is to be said, e.g. which layer it is; empty: nothing.

    """

    anomaly: NDArray[np.float32]
    excess: NDArray[np.float32] | None = None
    expected: NDArray[np.float32] | None = None
    note: str = ""


class FittedMethod(Protocol):
    """A method after it was fitted."""

    @property
    def history(self) -> list[dict[str, Any]]:
        """Of the evaluations of a training; empty for what is fitted at once."""

    @property
    def validation_loss(self) -> float | None:
        """The least on held-out blocks; None: it has none."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the fitting found, as plain values."""

    def anomaly(
        self, ground: EvidenceGround, system: MineralSystem, progress: Progress | None = None
    ) -> MethodAnswer:
        """What is anomalous on a ground with the channels it was fitted on, in the same scale.

        Raises:
            UsageError: other channels, or none of the system's elements among them where these matter.

        """

    def state(self) -> State:
        """All it takes to restore it, beside settings and channels."""


def hidden_channels(channels: tuple[EvidenceChannel, ...]) -> tuple[EvidenceChannel, ...]:
    """The channels of geochemistry and geophysics, in order."""
    return tuple(channel for channel in channels if channel.kind in HIDDEN_KINDS)


def require_channels(channels: tuple[EvidenceChannel, ...], ground: EvidenceGround) -> None:
    """Refuse a ground whose geochemistry and geophysics are not those a method was fitted on.

    Raises:
        UsageError: names what lacks and what is new.

    """
    wanted = [channel.name for channel in hidden_channels(channels)]
    got = [channel.name for channel in hidden_channels(ground.channels)]
    if got == wanted:
        return
    missing = [name for name in wanted if name not in got]
    added = [name for name in got if name not in wanted]
    said = "; ".join(
        f"{word} {', '.join(names)}" for word, names in (("without", missing), ("with", added)) if names
    )
    raise UsageError(
        f"the evidence of {ground.area} is {said or 'in another order'}: the model was fitted on "
        f"{', '.join(wanted)}; give the same layers"
    )


def answer_of_expected(
    ground: EvidenceGround, expected: NDArray[np.float32], system: MineralSystem, note: str = ""
) -> MethodAnswer:
    """The answer of a method that expects values.

    Args:
        ground: the evidence.
        expected: (hidden channels, height, width) in the scale of ``ground.values``.
        system: weights the excess of its elements.
        note: for the answer.

    Raises:
        UsageError: none of the system's elements is among the channels.

    """
    places = ground.places_of(*HIDDEN_KINDS)
    weights = ore_weights([ground.channels[place] for place in places], system)
    residuals = np.where(ground.is_known[places], ground.values[places] - expected, np.float32(np.nan))
    excess = excess_of(residuals.astype(np.float32), ground.is_judged)
    return MethodAnswer(anomaly_of(excess, weights), excess, expected.astype(np.float32), note)
