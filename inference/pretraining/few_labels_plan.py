"""What `lode experiment few-labels` trains, in sizes for a test and for two processor cores."""

from __future__ import annotations

from dataclasses import dataclass, field

from db.errors import UsageError
from inference.pretraining.settings import PretrainingSettings
from inference.training.settings import TrainingSettings

SPLIT_SEED = 7


@dataclass(frozen=True)
class FewLabelsPreset:
    """A budget; both starts have the same.

    Attributes:
        size_px: edge of the simulated district, pixels of 2 m.
        seeds: trainings of each share and start, with the seeds 1, 2, ...; a seed chooses the labels too.
        pretraining: of the backbone.
        training: of the segmentation; its seed is set later.
        shares: of the training labels.

    """

    size_px: int
    seeds: int
    pretraining: PretrainingSettings
    training: TrainingSettings
    shares: tuple[float, ...] = field(default=(0.01, 0.05, 0.20))


PRESETS = {
    "tiny": FewLabelsPreset(
        384,
        1,
        PretrainingSettings("small", 32, 8, windows=64, rounds=2, batch_size=8, learning_rate=2e-3),
        TrainingSettings(
            "deeplabv3plus", "small", tile_px=32, overlap_px=0, epochs=1, windows_per_epoch=32, batch_size=8,
            split_seed=SPLIT_SEED,
        ),
    ),
    "small": FewLabelsPreset(
        768,
        3,
        PretrainingSettings("small", 128, 16, windows=6000, rounds=10, batch_size=8, learning_rate=2e-3),
        TrainingSettings(
            "deeplabv3plus", "small", tile_px=64, overlap_px=0, epochs=8, windows_per_epoch=320, batch_size=8,
            split_seed=SPLIT_SEED,
        ),
    ),
}  # fmt: skip


def preset_by_name(name: str) -> FewLabelsPreset:
    """The preset called ``name``.

    Raises:
        UsageError: there is none.

    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
