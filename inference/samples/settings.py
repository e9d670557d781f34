"""What can be chosen about a sample set."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from db.errors import UsageError
from inference.training.settings import TrainingSettings

MINE, BLOCK, SCENE = "mine", "block", "scene"
MOST_SEED = (1 << 31) - 1
FEWEST_FOLDS = 3
"""One for the test, one for validation, and one to train on."""


@dataclass(frozen=True)
class Fold:
    """One of several sets that take turns in what they test on.

    Attributes:
        number: the part of the ground that is the test, from 1; the next one is the validation, after the
            last the first.
        count: into how many parts the groups are dealt.

    """

    number: int
    count: int

    @classmethod
    def from_text(cls, text: str) -> Fold:
        """Read ``2/5``.

        Raises:
            UsageError: not two whole numbers, fewer than three folds, no such fold.

        """
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text, re.ASCII)
        if match is None:
            raise UsageError(f"fold is {text!r}: give number and count, like 2/5")
        return cls(int(match[1]), int(match[2]))

    def __post_init__(self) -> None:
        """Refuse what is no fold."""
        if self.count < FEWEST_FOLDS:
            raise UsageError(
                f"fold is {self}: at least {FEWEST_FOLDS} are needed, for test, validation and training"
            )
        if not 1 <= self.number <= self.count:
            raise UsageError(f"fold is {self}: the number must be 1 to {self.count}")

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class SampleSettings:
    """How a sample set is made; all is stored with it.

    Attributes:
        tile_px: edge of the windows.
        split_rule: mine: whole mines are held out, and blocks where labels lie in none; block: blocks
            only; scene: all scenes that overlap or lie nearer than the gap together; None: mine where any
            label lies in one.
        seed: of the split; without effect on a fold.
        gap_m: ground left between windows of different parts, m, at least.
        block_m: edge of the blocks, m; None: from window and extent.
        fewest_px: windows with fewer labelled pixels are left out.
        fold: which of several sets; None: one set, split 6:2:2.

    """

    tile_px: int = 256
    split_rule: str | None = None
    seed: int = 0
    gap_m: float = 50.0
    block_m: float | None = None
    fewest_px: int = 16
    fold: Fold | None = None

    def __post_init__(self) -> None:
        """Refuse what no set can be made with."""
        TrainingSettings(tile_px=self.tile_px, seed=self.seed, block_m=self.block_m)
        if self.seed > MOST_SEED:
            raise UsageError(f"seed is {self.seed}: it must be at most {MOST_SEED}")
        if self.split_rule not in (None, MINE, BLOCK, SCENE):
            raise UsageError(f"split is {self.split_rule!r}: it must be mine, block or scene")
        if self.split_rule == SCENE and self.block_m is not None:
            raise UsageError(f"block_m is {self.block_m:g}: a split by scene has no blocks, leave it out")
        if not (math.isfinite(self.gap_m) and self.gap_m >= 0):
            raise UsageError(f"gap_m is {self.gap_m:g}: it must be 0 or more metres")
        if self.fewest_px < 1:
            raise UsageError(f"fewest_px is {self.fewest_px}: it must be at least 1")
