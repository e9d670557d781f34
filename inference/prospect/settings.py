"""What can be chosen about a training that learns where ore lies."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from db.errors import UsageError

PROSPECT = "prospect"
"""Task of these models in the registry."""
NETWORKS = ("gcn_residual", "gcn", "cnn")
"""Networks on patches, see `inference.prospect.networks`."""
INVARIANT = ("gcn_residual", "gcn")
"""Networks whose answer does not change when a patch is turned or mirrored."""
ESTIMATORS = ("svm", "forest", "majority")
"""Plain models, see `inference.prospect.baselines`."""
WIDTH_OPTION = "hidden"
"""Option of the networks that the width is."""
WIDTHS = (64, 128, 256)
LEARNING_RATES = (3e-4, 1e-3, 3e-3)

_AT_LEAST = {"width": 1, "epochs": 1, "batch_size": 1, "seed": 0, "patience": 1}
_POSITIVE = ("learning_rate", "time_limit_s")


@dataclass(frozen=True)
class ProspectSettings:
    """Settings of a training; all are stored with the model.

    Attributes:
        network: one of `NETWORKS` or `ESTIMATORS`. The latter have no epochs: their own options are chosen
            on the validation patches, and of the rest only ``options`` and ``seed`` count.
        options: further options of the network or the plain model.
        width: channels of the widest layer; 256 with a learning rate of 0.001 is what the study's grid search
            gave.
        learning_rate: of Adam, the same in all epochs.
        epochs: epochs; that with the least validation loss is kept.
        batch_size: patches in a step.
        weight_decay: of Adam.
        weight_averaging: share of their former moving average that the weights keep in a step, 0 to 1; 0.99
            averages over some 100 steps, 0 takes the last.
        augmentation: whether training patches are turned and mirrored; None: only for networks whose answer
            that changes.
        patience: epochs without a lower validation loss before the training ends; None: never early.
        seed: of weights and order.
        time_limit_s: no epoch begins later than this; None: no limit. With a limit in force two trainings of
            one seed may differ.

    """

    network: str = "gcn_residual"
    options: dict[str, Any] = field(default_factory=dict)
    width: int = 256
    learning_rate: float = 1e-3
    epochs: int = 200
    batch_size: int = 64
    weight_decay: float = 1e-4
    weight_averaging: float = 0.99
    augmentation: bool | None = None
    patience: int | None = None
    seed: int = 1
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        if self.network not in (*NETWORKS, *ESTIMATORS):
            raise UsageError(
                f"unknown network {self.network!r}: choose one of {', '.join((*NETWORKS, *ESTIMATORS))}"
            )
        for name, minimum in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise UsageError(f"{name} is {value}: it must be at least {minimum}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} is {value}: it must be positive")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise UsageError(f"weight_decay is {self.weight_decay}: it must be at least 0")
        if not 0 <= self.weight_averaging < 1:
            raise UsageError(
                f"weight_averaging is {self.weight_averaging}: it must be at least 0 and below 1"
            )
        if WIDTH_OPTION in self.options:
            raise UsageError(f"option {WIDTH_OPTION} is the width: give it as --width")

    @property
    def is_network(self) -> bool:
        """Whether it is trained in epochs, on a device."""
        return self.network in NETWORKS

    @property
    def is_augmented(self) -> bool:
        """Whether training patches are turned and mirrored."""
        return self.network not in INVARIANT if self.augmentation is None else self.augmentation

    def as_json(self) -> dict[str, Any]:
        """For the registry; a plain model's has what counts for it."""
        every = asdict(self) | {"augmentation": self.is_augmented}
        if self.is_network:
            return every
        return {key: every[key] for key in ("network", "options", "seed")}


@dataclass(frozen=True)
class GridSettings:
    """Which widths and learning rates are tried on the validation patches.

    Attributes:
        widths: channels of the widest layer.
        learning_rates: of Adam.
        epochs: epochs of each trial; None: a quarter of the training's, at least 10, at most all of them.
            The least validation loss of a trial comes early, and the last training has all epochs.

    """

    widths: tuple[int, ...] = WIDTHS
    learning_rates: tuple[float, ...] = LEARNING_RATES
    epochs: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be tried."""
        if not self.widths or not self.learning_rates:
            raise UsageError("a grid needs one width and one learning rate at least")
        if min(self.widths) < 1 or not all(0 < rate < math.inf for rate in self.learning_rates):
            raise UsageError("widths and learning rates of a grid must be positive")
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"epochs of the grid are {self.epochs}: at least 1")

    def trial_epochs(self, epochs: int) -> int:
        """Epochs of each trial before a training of ``epochs``."""
        return self.epochs if self.epochs is not None else min(epochs, max(10, epochs // 4))
