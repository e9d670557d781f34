"""What can be chosen about a pretraining."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from db.errors import UsageError
from inference.networks.checks import require_choice
from inference.networks.registry import BACKBONES
from inference.training.settings import TrainingSettings

_AT_LEAST = {"tile_px": 32, "patch_px": 4, "batch_size": 2, "rounds": 1, "windows": 1, "seed": 0}
_POSITIVE = ("learning_rate", "gradient_norm", "block_m", "time_limit_s")


@dataclass(frozen=True)
class PretrainingSettings:
    """Settings of a pretraining; all are written into its file.

    Attributes:
        backbone: key of `inference.networks.registry.BACKBONES`.
        tile_px: edge of the windows; None: as `TrainingSettings.suitable_tile_px`.
        patch_px: edge of the patches that are hidden, a multiple of 4; the window is a multiple of it.
        least_hidden, most_hidden: between these the share of hidden patches is drawn for each window.
        windows: shown in all.
        rounds: how often the backbone is judged on the held-out blocks, and saved.
        batch_size: windows in a step.
        learning_rate: the highest of the schedule (rise, then cosine to 0).
        weight_decay: of AdamW, on convolution weights.
        gradient_norm: longer gradients are shortened to it.
        block_m: edge of the blocks of ground that are held out, m; None: by extent.
        seed: of weights, blocks, windows and patches.
        time_limit_s: the schedule is run through faster when it would take longer; None: no limit. With a
            limit in force two runs of one seed may differ.

    """

    backbone: str = "resnet50"
    tile_px: int | None = None
    patch_px: int = 16
    least_hidden: float = 0.60
    most_hidden: float = 0.75
    windows: int = 16_000
    rounds: int = 20
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    gradient_norm: float = 5.0
    block_m: float | None = None
    seed: int = 1
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        require_choice("backbone", self.backbone, BACKBONES)
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
        if self.patch_px % 4:
            raise UsageError(f"patch_px is {self.patch_px}: it must be a multiple of 4, the decoder's stride")
        if not 0 < self.least_hidden <= self.most_hidden < 1:
            raise UsageError(
                f"the share of hidden patches is {self.least_hidden} to {self.most_hidden}: it must lie "
                "between 0 and 1, the lower first"
            )
        if self.tile_px is not None and (self.tile_px % 16 or self.tile_px % self.patch_px):
            raise UsageError(
                f"tile_px is {self.tile_px}: it must be a multiple of 16, the network's stride, and of "
                f"{self.patch_px}, the patches' edge"
            )
        if self.tile_px is not None and self.tile_px < 2 * self.patch_px:
            raise UsageError(
                f"a window of {self.tile_px} px holds less than four patches of {self.patch_px} px: choose a "
                "larger --tile-px or a smaller --patch-px"
            )

    @property
    def steps_per_round(self) -> int:
        """Steps between two looks at the held-out blocks."""
        return max(1, math.ceil(self.windows / (self.batch_size * self.rounds)))

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.steps_per_round * self.rounds

    def suitable_tile_px(self, shortest_edge_px: int) -> int:
        """The chosen window, or the one that a segmentation of these scenes would take."""
        if self.tile_px is not None:
            return self.tile_px
        return TrainingSettings(backbone=self.backbone).suitable_tile_px(shortest_edge_px)

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)
