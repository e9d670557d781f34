"""What can be chosen about a sample set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from db.errors import UsageError
from inference.training.settings import TrainingSettings

MINE, BLOCK = "mine", "block"


@dataclass(frozen=True)
class SampleSettings:
    """How a sample set is made; all is stored with it.

    Attributes:
        tile_px: edge of the windows.
        split_rule: mine: whole mines are held out, and blocks where labels lie in none; block: blocks
            only; None: mine where any label lies in one.
        seed: of the split.
        gap_m: ground left between windows of different parts, m, at least.
        block_m: edge of the blocks, m; None: from window and extent.
        fewest_px: windows with fewer labelled pixels are left out.

    """

    tile_px: int = 256
    split_rule: str | None = None
    seed: int = 0
    gap_m: float = 50.0
    block_m: float | None = None
    fewest_px: int = 16

    def __post_init__(self) -> None:
        """Refuse what no set can be made with."""
        TrainingSettings(tile_px=self.tile_px, seed=self.seed, block_m=self.block_m)
        if self.split_rule not in (None, MINE, BLOCK):
            raise UsageError(f"split is {self.split_rule!r}: it must be mine or block")
        if not (math.isfinite(self.gap_m) and self.gap_m >= 0):
            raise UsageError(f"gap_m is {self.gap_m:g}: it must be 0 or more metres")
        if self.fewest_px < 1:
            raise UsageError(f"fewest_px is {self.fewest_px}: it must be at least 1")
