"""Windows of a ground, cut from memory: drawn at random to learn, slid over all of it to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from db.errors import UsageError
from inference.evidence.networks import SourceLayout
from inference.evidence.types import EvidenceGround

LEAST_JUDGED = 0.25
"""Share of a window that must be judged ground, to learn from it."""


@dataclass(frozen=True)
class PaddedGround:
    """The evidence as a network reads it, with a margin of unknown ground round it.

    The margin is half a window, so that windows slid by half a window lie over every cell equally often. It
    is unknown, not mirrored: in a mirror a hidden cell would be in sight.

    Attributes:
        window_px: edge of the windows.
        margin_px: padded cells before the first row and column.
        values: (channels, rows, cols) float32 in the layout's order, 0 where nothing is known.
        known: (sources, rows, cols) float32, share of a source's channels that are known.
        is_known: (hidden channels, rows, cols) bool, what may be asked for.
        is_judged: (rows, cols) bool.

    """

    window_px: int
    margin_px: int
    values: Tensor
    known: Tensor
    is_known: Tensor
    is_judged: NDArray[np.bool_]

    def cut(self, layers: Tensor, rows: Sequence[int], cols: Sequence[int]) -> Tensor:
        """Windows (n, layers, window_px, window_px) of padded layers; rows and cols count in the ground."""
        edge, margin = self.window_px, self.margin_px
        return torch.stack(
            [
                layers[:, row + margin : row + margin + edge, col + margin : col + margin + edge]
                for row, col in zip(rows, cols, strict=True)
            ]
        )

    def pad(self, layer: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask (height, width) of the ground with the margin, False there."""
        padded = np.zeros_like(self.is_judged)
        padded[self._inner(layer.shape)] = layer
        return padded

    def _inner(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        begin = self.margin_px
        return slice(begin, begin + shape[0]), slice(begin, begin + shape[1])

    def starts(self, is_wanted: NDArray[np.bool_], least: float) -> NDArray[np.int64]:
        """Where windows can begin that hold enough of some ground, anywhere.

        Args:
            is_wanted: (rows, cols) padded.
            least: share of a window's cells that is wanted at least; 0: one cell.

        Returns:
            (windows, 2) row and column in the ground, which may lie before its first.

        """
        sums = np.zeros((is_wanted.shape[0] + 1, is_wanted.shape[1] + 1), dtype=np.int64)
        sums[1:, 1:] = is_wanted.cumsum(0, dtype=np.int64).cumsum(1)
        edge = self.window_px
        counts = sums[edge:, edge:] - sums[:-edge, edge:] - sums[edge:, :-edge] + sums[:-edge, :-edge]
        return np.argwhere(counts >= max(1.0, least * edge * edge)) - self.margin_px

    def sliding(self, is_wanted: NDArray[np.bool_], stride_px: int) -> NDArray[np.int64]:
        """Windows slid over all of the ground, of which those that hold some wanted ground are kept.

        Args:
            is_wanted: (rows, cols) padded.
            stride_px: from one window to the next.

        Returns:
            (windows, 2) row and column in the ground, row by row.

        """
        found = self.starts(is_wanted, 0.0)
        is_on_stride: NDArray[np.bool_] = ((found + self.margin_px) % stride_px == 0).all(axis=1)
        return found[is_on_stride]


def padded_ground(
    ground: EvidenceGround, layout: SourceLayout, window_px: int, device: torch.device
) -> PaddedGround:
    """The evidence on a device, ready to be cut into windows.

    Raises:
        UsageError: the ground is smaller than a window.

    """
    height, width = ground.is_judged.shape
    if min(height, width) < window_px:
        raise UsageError(
            f"the study area {ground.area} has {height} x {width} cells, the windows {window_px} x "
            f"{window_px}: give a smaller window (--window {largest_window(height, width)}) or a larger area"
        )
    margin = window_px // 2
    # behind the ground as much as a window needs that begins in its last cell
    sides = ((margin, window_px), (margin, window_px))
    order = layout.order
    is_known = ground.is_known[order] & ground.is_judged
    values = np.where(is_known, ground.values[order], np.float32(0))
    ends = np.cumsum(layout.sizes)
    shares = [is_known[end - size : end].mean(axis=0) for size, end in zip(layout.sizes, ends, strict=True)]
    hidden = sum(layout.hidden_sizes)
    return PaddedGround(
        window_px=window_px,
        margin_px=margin,
        values=_padded(values.astype(np.float32), sides).to(device),
        known=_padded(np.stack(shares).astype(np.float32), sides).to(device),
        is_known=_padded(is_known[:hidden], sides).to(device),
        is_judged=np.pad(ground.is_judged, sides),
    )


def largest_window(height: int, width: int) -> int:
    """A window that fits the area: the largest power of two up to its lesser side."""
    return 1 << (max(1, min(height, width)).bit_length() - 1)


def _padded(layers: NDArray[np.float32] | NDArray[np.bool_], sides: tuple[tuple[int, int], ...]) -> Tensor:
    return torch.from_numpy(np.pad(layers, ((0, 0), *sides)))
