"""Trained networks as a method: what they expect of a cell, held against what was found there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference.evidence.fitting import FittedNetwork
from inference.evidence.methods.answers import MethodAnswer, State, answer_of_expected
from inference.evidence.predicting import predict
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceGround, Progress


@dataclass(frozen=True)
class NetworkMethod:
    """A Transformer or an autoencoder.

    Attributes:
        fitted: the network.

    """

    fitted: FittedNetwork

    @property
    def history(self) -> list[dict[str, Any]]:
        """See `FittedMethod`."""
        return self.fitted.history

    @property
    def validation_loss(self) -> float | None:
        """See `FittedMethod`."""
        return self.fitted.best_validation_loss

    @property
    def facts(self) -> dict[str, Any]:
        """How many weights it has."""
        return {"weights": sum(weight.numel() for weight in self.fitted.network.parameters())}

    def anomaly(
        self, ground: EvidenceGround, system: MineralSystem, progress: Progress | None = None
    ) -> MethodAnswer:
        """See `FittedMethod`."""
        return answer_of_expected(ground, predict(self.fitted, ground, progress), system)

    def state(self) -> State:
        """See `FittedMethod`."""
        return self.fitted.state()
