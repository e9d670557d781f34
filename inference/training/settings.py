"""What can be chosen about a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from db.errors import UsageError

ARCHITECTURE = "se_cot_deeplabv3plus"


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a segmentation training; all are stored with the model.

    Attributes:
        architecture: key of `inference.networks.ARCHITECTURES`.
        backbone: key of `inference.networks.BACKBONES`.
        options: further options of the network.
        tile_px: edge of the windows in training and in use; None: see `suitable_tile_px`.
        overlap_px: overlap of the windows where validation and test are predicted; None: as in use.
        epochs: epochs; after each the network is judged on the validation blocks.
        windows_per_epoch: windows drawn an epoch; None: as many as cover the training labels.
        batch_size: windows in a step.
        learning_rate: the highest of the schedule (rise, then cosine to 0).
        weight_decay: of AdamW, on convolution and linear weights.
        block_m: edge of the spatial blocks; None: from the extent of the labels.
        seed: of the split, the sampling and the weights.
        time_limit_s: the schedule is run through faster when the epochs would take longer; None: no limit.
            With a limit in force two runs of one seed may differ.

    """

    architecture: str = ARCHITECTURE
    backbone: str = "resnet50"
    options: dict[str, Any] = field(default_factory=dict)
    tile_px: int | None = None
    overlap_px: int | None = None
    epochs: int = 20
    windows_per_epoch: int | None = None
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    block_m: float | None = None
    seed: int = 1
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        at_least = {"tile_px": 32, "epochs": 1, "batch_size": 2, "seed": 0}
        for name, minimum in at_least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise UsageError(f"{name} is {value}: it must be at least {minimum}")
        if self.tile_px is not None and self.tile_px % 16:
            raise UsageError(f"tile_px is {self.tile_px}: it must be a multiple of 16, the network's stride")
        for name in ("windows_per_epoch", "block_m", "time_limit_s", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} is {value}: it must be positive")

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
