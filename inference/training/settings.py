"""What can be chosen about a training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from db.errors import UsageError
from inference.networks import choose_backbone
from inference.training.augmentation import Augmentation

ARCHITECTURE = "se_cot_deeplabv3plus"
CROSS_ENTROPY, FOCAL = "cross_entropy", "focal"
LOSSES = (CROSS_ENTROPY, FOCAL)

_AT_LEAST = {
    "tile_px": 32,
    "overlap_px": 0,
    "epochs": 1,
    "batch_size": 2,
    "seed": 0,
    "split_seed": 0,
    "repeats": 1,
    "patience": 1,
}
_POSITIVE = ("windows_per_epoch", "block_m", "time_limit_s", "learning_rate", "gradient_norm")
_NOT_NEGATIVE = ("weight_decay", "focal_gamma", "adversarial_epsilon")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a segmentation training; all are stored with the model.

    Attributes:
        architecture: key of `inference.networks.ARCHITECTURES`.
        backbone: a backbone of the architecture; ``default``: the architecture's own.
        options: further options of the network.
        tile_px: edge of the windows in training and in use; None: see `suitable_tile_px`.
        overlap_px: overlap of the windows where validation and test are predicted; None: as in use.
        epochs: epochs; after each the network is judged on the validation blocks.
        windows_per_epoch: windows drawn an epoch; None: as many as cover the training labels.
        repeats: how often each drawn window is shown in its epoch, changed differently each time, so that an
            epoch shows ``windows_per_epoch * repeats``; the study took 3.
        batch_size: windows in a step, over all processes together.
        learning_rate: the highest of the schedule (rise, then cosine to 0).
        weight_decay: of AdamW, on convolution and linear weights.
        gradient_norm: longer gradients are shortened to it.
        loss: ``cross_entropy`` or ``focal``, each beside Dice.
        focal_gamma: how much less the focal loss counts what is right already.
        adversarial_epsilon: how far FGSM moves every value, in standard deviations of its band; 0: off.
        adversarial_share: share of the windows of a batch that FGSM moves.
        augmentation: how training windows are changed.
        patience: epochs without a better validation before the training ends; None: never early.
        block_m: edge of the spatial blocks; None: from the extent of the labels.
        seed: of the sampling and the weights, and of the split.
        split_seed: of the split alone, so that networks of several seeds share one; None: ``seed``.
        time_limit_s: the schedule is run through faster when the epochs would take longer; None: no limit.
            With a limit in force two runs of one seed may differ.

    """

    architecture: str = ARCHITECTURE
    backbone: str = "default"
    options: dict[str, Any] = field(default_factory=dict)
    tile_px: int | None = None
    overlap_px: int | None = None
    epochs: int = 20
    windows_per_epoch: int | None = None
    repeats: int = 1
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    gradient_norm: float = 5.0
    loss: str = CROSS_ENTROPY
    focal_gamma: float = 2.0
    adversarial_epsilon: float = 0.0
    adversarial_share: float = 0.5
    augmentation: Augmentation = field(default_factory=Augmentation)
    patience: int | None = None
    block_m: float | None = None
    seed: int = 1
    split_seed: int | None = None
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        for name, minimum in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise UsageError(f"{name} is {value}: it must be at least {minimum}")
        if self.tile_px is not None and self.tile_px % 16:
            raise UsageError(f"tile_px is {self.tile_px}: it must be a multiple of 16, the network's stride")
        if self.tile_px is not None and self.overlap_px is not None and self.overlap_px >= self.tile_px:
            raise UsageError(
                f"overlap_px is {self.overlap_px}: it must be at most {self.tile_px - 1}, or windows of "
                f"{self.tile_px} px never move on"
            )
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"{name} is {value}: it must be positive")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise UsageError(f"{name} is {value}: it must be at least 0")
        if not 0 < self.adversarial_share <= 1:
            raise UsageError(
                f"adversarial_share is {self.adversarial_share}: it must be above 0 and at most 1"
            )
        if self.loss not in LOSSES:
            raise UsageError(f"unknown loss {self.loss!r}: choose one of {', '.join(LOSSES)}")
        choose_backbone(self.architecture, self.backbone)

    @property
    def chosen_backbone(self) -> str:
        """The backbone by its own name."""
        return choose_backbone(self.architecture, self.backbone)

    @property
    def seed_of_split(self) -> int:
        """Seed of the search for a balanced split."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def gamma(self) -> float:
        """Exponent of the focal loss; 0 for plain cross entropy."""
        return self.focal_gamma if self.loss == FOCAL else 0.0

    def suitable_tile_px(self, shortest_edge_px: int) -> int:
        """The chosen window, or one that suits backbone and scenes.

        256 px, 128 px with the small backbone, halved while the scenes do not hold five of them in a row,
        but not below 64 px.

        Args:
            shortest_edge_px: of all scenes.

        """
        if self.tile_px is not None:
            return self.tile_px
        tile_px = 128 if self.backbone == "small" else 256
        while tile_px > 64 and shortest_edge_px < 5 * tile_px:
            tile_px //= 2
        return tile_px

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)
