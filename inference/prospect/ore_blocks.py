"""In how many blocks of the test ground ore lies, which is what intervals of a model of ore rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.models.figures import FEW_BLOCKS, interval

LEAST_BLOCKS = 5
"""No interval is told where ore, or barren ground, lies in fewer blocks than this.

With ore in two blocks the draws know two places only, and an interval can shrink to a point whatever the
model is worth elsewhere; besides, a share of about exp(-2) of the draws holds no ore at all. With five it is
below 1 %. The number is a convention, on the low side: see `FEW_BLOCKS` for the warning above it.
`reporting.prospect_report` goes by the same number.
"""


@dataclass(frozen=True)
class OreBlocks:
    """Blocks that were judged. A block may hold ore-bearing and barren patches, and then counts as both.

    Attributes:
        blocks: all of them.
        with_ore: that hold an ore-bearing patch.
        with_barren: that hold a patch without ore.

    """

    blocks: int
    with_ore: int
    with_barren: int

    @classmethod
    def of(cls, blocks: NDArray[np.int64], is_positive: NDArray[np.bool_]) -> OreBlocks:
        """Count the blocks (n,) of patches (n,)."""
        counted = (blocks, blocks[is_positive], blocks[~is_positive])
        return cls(*(len(np.unique(each)) for each in counted))

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any]) -> OreBlocks | None:
        """Those of a stored model, from its answers if it is of an older version; None: not known."""
        stored = metrics.get("intervals") or {}
        keys = ("blocks", "blocks_with_ore", "blocks_with_barren")
        if all(stored.get(key) is not None for key in keys):
            return cls(*(int(stored[key]) for key in keys))
        answers = metrics.get("test") or {}
        if "blocks" not in answers or "is_positive" not in answers:
            return None
        return cls.of(np.array(answers["blocks"], np.int64), np.array(answers["is_positive"], bool))

    @property
    def least(self) -> int:
        """Blocks of whichever of the two lies in fewer."""
        return min(self.with_ore, self.with_barren)

    @property
    def too_few(self) -> str | None:
        """Why there is no interval, in words; None: there are blocks enough."""
        return f"too few places for an interval ({self._where})" if self.least < LEAST_BLOCKS else None

    @property
    def warning(self) -> str | None:
        """What must be said of the intervals, or of their absence, as a sentence; None: nothing."""
        if self.too_few is not None:
            return f"No intervals: {self.too_few}."
        if self.least < FEW_BLOCKS:
            return f"With {self._where} only, the intervals are narrower than the truth."
        return None

    def as_json(self) -> dict[str, int]:
        """As figures and rows store them."""
        return {
            "blocks": self.blocks,
            "blocks_with_ore": self.with_ore,
            "blocks_with_barren": self.with_barren,
        }

    @property
    def _where(self) -> str:
        what = "ore" if self.with_ore <= self.with_barren else "barren ground"
        return f"{what} in {self.least} test block{'' if self.least == 1 else 's'}"


def ore_interval(metrics: Mapping[str, Any], figure: str) -> tuple[float, float] | None:
    """Ends of the stored interval of a figure; None without one, or where it rests on too few blocks.

    Older versions stored intervals however few the blocks were, and so may whoever exported a model.
    """
    found = OreBlocks.from_metrics(metrics)
    return None if found is not None and found.too_few else interval(metrics, figure)


def ends_of(
    drawn: NDArray[np.float64], blocks: int, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Ends of the interval of a figure.

    Args:
        drawn: (resamples,) the figure of each draw; NaN: the draw does not tell it.
        blocks: that hold ore or that hold barren ground, whichever are fewer.
        level: share of the draws inside.

    Returns:
        The percentiles of the draws that tell it; None with too few blocks, or where most draws are silent.

    Raises:
        ValueError: the level is no share.

    """
    if not 0 < level < 1:
        raise ValueError(f"an interval of level {level} is none: give a share between 0 and 1")
    told = drawn[np.isfinite(drawn)]
    if blocks < LEAST_BLOCKS or len(told) < 0.5 * len(drawn) or len(told) == 0:
        return None, None
    low, high = np.percentile(told, [50 * (1 - level), 50 * (1 + level)]).tolist()
    return low, high
