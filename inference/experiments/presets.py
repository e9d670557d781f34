"""What every row of an experiment is trained with, in sizes for two processor cores and for a GPU."""

from __future__ import annotations

from dataclasses import dataclass

from db.errors import UsageError
from inference.training.settings import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """A budget, the same for all rows: windows shown, not time.

    Attributes:
        backbone: of all networks but U-Net.
        encoder: of U-Net, which has encoders of its own.
        tile_px: edge of the windows.
        batch_size: windows in a step.
        epochs: epochs; after each the network is judged on the validation part.
        overlap_px: of the windows where validation and test are predicted; None: as in use.
        windows_per_epoch: windows drawn an epoch; None: as many as cover the training labels.
        repeats: how often each drawn window is shown, changed differently.

    """

    backbone: str
    encoder: str
    tile_px: int
    batch_size: int
    epochs: int
    windows_per_epoch: int | None
    repeats: int = 1
    overlap_px: int | None = None

    def backbone_of(self, architecture: str) -> str:
        """The backbone of a network, or U-Net's encoder of like size."""
        return self.encoder if architecture == "unet" else self.backbone

    def settings(
        self,
        split_seed: int,
        *,
        epochs: int | None = None,
        windows: int | None = None,
        batch_size: int | None = None,
        tile_px: int | None = None,
    ) -> TrainingSettings:
        """Settings that all rows and seeds share; the architecture, its backbone and the seed are set later.

        Args:
            split_seed: of the split.
            epochs: instead of the preset's; None: the preset's.
            windows: drawn an epoch, likewise.
            batch_size: windows in a step, likewise.
            tile_px: edge of the windows, likewise.

        Raises:
            UsageError: values that cannot be trained with.

        """
        return TrainingSettings(
            tile_px=self.tile_px if tile_px is None else tile_px,
            batch_size=self.batch_size if batch_size is None else batch_size,
            epochs=self.epochs if epochs is None else epochs,
            windows_per_epoch=self.windows_per_epoch if windows is None else windows,
            repeats=self.repeats,
            overlap_px=self.overlap_px,
            split_seed=split_seed,
        )


PRESETS = {
    # seven rows and three seeds are to stay within an hour on two cores
    "small": Preset("small", "small", 128, batch_size=8, epochs=6, windows_per_epoch=400, overlap_px=16),
    "full": Preset("resnet50", "plain", 256, batch_size=16, epochs=40, windows_per_epoch=None, repeats=3),
}


def preset_by_name(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UsageError: there is none.

    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
