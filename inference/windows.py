"""Windows of one fixed size over a scene of any size, and their predictions blended without seams.

A network that uses statistics of the whole tile must see the tile size it was trained with, so every window
has the same edge: windows at the far edges shift inward, and a scene smaller than one window is padded by
reflection (the caller pads; see `pad_by_reflection`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from db.errors import UsageError

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Window:
    """One window: its place in the plan (``band``, ``slot``) and its north-west pixel (``row``, ``col``)."""

    band: int
    slot: int
    row: int
    col: int


@dataclass(frozen=True)
class WindowPlan:
    """Where the windows over a scene lie.

    Attributes:
        height_px: rows of the scene.
        width_px: columns of the scene.
        tile_px: edge of every window.
        overlap_px: pixels that neighbours share at least, 0 to tile_px - 1.

    Raises:
        UsageError: a size that is no positive number, an overlap that leaves no stride.
    """

    height_px: int
    width_px: int
    tile_px: int
    overlap_px: int

    def __post_init__(self) -> None:
        """Refuse sizes that cover nothing."""
        if min(self.height_px, self.width_px, self.tile_px) < 1:
            raise UsageError(
                f"got a scene of {self.height_px} x {self.width_px} px and windows of {self.tile_px} px: "
                "all must be at least 1"
            )
        if not 0 <= self.overlap_px < self.tile_px:
            raise UsageError(
                f"got an overlap of {self.overlap_px} px for windows of {self.tile_px} px: "
                f"choose 0 to {self.tile_px - 1}"
            )

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """First row of each band of windows, from the top."""
        return _positions(self.height_px, self.tile_px, self.overlap_px)

    @cached_property
    def cols(self) -> tuple[int, ...]:
        """First column of each window of a band, from the left."""
        return _positions(self.width_px, self.tile_px, self.overlap_px)

    @property
    def padded_width_px(self) -> int:
        """Width that the windows cover: the scene's, or one window where the scene is narrower."""
        return max(self.width_px, self.tile_px)

    @cached_property
    def row_weights(self) -> NDArray[np.float32]:
        """(bands, tile_px): weight of each window's rows; over all bands they add up to 1 in every row."""
        return _axis_weights(self.rows, self.height_px, self.tile_px, self.overlap_px)

    @cached_property
    def col_weights(self) -> NDArray[np.float32]:
        """(slots, tile_px): the same for columns."""
        return _axis_weights(self.cols, self.width_px, self.tile_px, self.overlap_px)

    def bands_touching(self, first: int, end: int) -> range:
        """Numbers of the bands with a window over one of the rows ``first`` to ``end`` - 1.

        Raises:
            UsageError: these are no rows of the scene.

        """
        if not 0 <= first < end <= self.height_px:
            raise UsageError(
                f"got the rows {first} to {end} of a scene of {self.height_px} rows: "
                f"the first must lie below the end, and both between 0 and {self.height_px}"
            )
        touching = [band for band, row in enumerate(self.rows) if row < end and first < row + self.tile_px]
        return range(touching[0], touching[-1] + 1)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    def __iter__(self) -> Iterator[Window]:
        """All windows, along the rows from the top."""
        for band, row in enumerate(self.rows):
            for slot, col in enumerate(self.cols):
                yield Window(band, slot, row, col)


def taper_weights(tile_px: int, overlap_px: int) -> NDArray[np.float64]:
    """(tile_px,) weights along one axis: sin^2 ramps as wide as the overlap, 1 between them.

    Strictly positive, so that a pixel seen by one window only still has a value. Where two windows overlap
    by just ``overlap_px`` the falling and the rising ramp add up to 1.
    """
    ramp_px = min(overlap_px, tile_px // 2)
    weights = np.ones(tile_px)
    ramp = np.sin(0.5 * np.pi * (np.arange(ramp_px) + 0.5) / max(ramp_px, 1)) ** 2
    weights[:ramp_px] = ramp
    weights[tile_px - ramp_px :] = ramp[::-1]
    return weights


def pad_by_reflection(pixels: NDArray[Scalar], height: int, width: int) -> NDArray[Scalar]:
    """Extend (..., h, w) to at least ``height`` x ``width`` at its south and east edges, mirrored."""
    missing = (max(height - pixels.shape[-2], 0), max(width - pixels.shape[-1], 0))
    if missing == (0, 0):
        return pixels
    edges = [(0, 0)] * (pixels.ndim - 2) + [(0, missing[0]), (0, missing[1])]
    return np.pad(pixels, edges, mode="symmetric")


class StripBlender:
    """Adds up weighted windows and hands out rows, top to bottom, as soon as no window is missing there.

    Holds the rows between the last one handed out and the lowest one added to: one band of windows and the
    begun part of the next when windows come in order. The weights of a pixel add up to 1 beforehand, so no
    second accumulator is needed.

    Some rows alone get the sums they have in the whole scene: the same windows with the same weights, added
    whole, in the same order. What their windows say of other rows is dropped, for it lacks weight.

    Args:
        plan: where the windows lie.
        channels: channels of what is blended.
        device: where the accumulator lives.
        rows: first row and end of the rows that are wanted, of which the windows are those of
            ``plan.bands_touching``; None: all rows.

    Raises:
        UsageError: ``rows`` lie outside the scene.
    """

    def __init__(
        self,
        plan: WindowPlan,
        channels: int,
        device: torch.device | str = "cpu",
        rows: tuple[int, int] | None = None,
    ) -> None:
        self._plan = plan
        self._first, self._end = (0, plan.height_px) if rows is None else rows
        self._bands = plan.bands_touching(self._first, self._end)
        self._missing = [len(plan.cols)] * len(plan.rows)
        self._row_weights = torch.from_numpy(plan.row_weights).to(device)
        self._col_weights = torch.from_numpy(plan.col_weights).to(device)
        self._top = plan.rows[self._bands.start]  # first row neither handed out nor dropped yet
        self._sums = torch.zeros((channels, 0, plan.padded_width_px), device=device)

    @property
    def held_rows(self) -> int:
        """Rows in the accumulator."""
        return self._sums.shape[1]

    def add(self, window: Window, values: Tensor) -> None:
        """Add the values (channels, tile_px, tile_px) of one window; each window once."""
        tile_px = self._plan.tile_px
        first = window.row - self._top
        self._reserve(first + tile_px)
        target = self._sums[:, first : first + tile_px, window.col : window.col + tile_px]
        weights = self._row_weights[window.band][:, None] * self._col_weights[window.slot]
        target.addcmul_(values.to(target.dtype), weights)
        self.skip(window)

    def skip(self, window: Window) -> None:
        """Count a window as done without values; its pixels may lack weight, so nobody may need them."""
        self._missing[window.band] -= 1

    def take(self) -> tuple[int, Tensor] | None:
        """The rows finished since the last call: first row and values (channels, rows, width), or None."""
        plan = self._plan
        open_rows = (plan.rows[band] for band in self._bands if self._missing[band])
        end = min(next(open_rows, self._end), self._end)
        count = end - self._top
        if count <= 0:
            return None
        self._reserve(count)
        dropped = min(max(self._first - self._top, 0), count)
        row, finished = self._top + dropped, self._sums[:, dropped:count, : plan.width_px]
        self._top = end
        self._sums = self._sums[:, count:].clone() if end < self._end else self._sums[:, :0]
        return (row, finished) if dropped < count else None

    def _reserve(self, rows: int) -> None:
        lacking = rows - self._sums.shape[1]
        if lacking > 0:
            fresh = self._sums.new_zeros((self._sums.shape[0], lacking, self._sums.shape[2]))
            self._sums = torch.cat((self._sums, fresh), dim=1)


def _positions(size_px: int, tile_px: int, overlap_px: int) -> tuple[int, ...]:
    """First pixels of the windows along one axis; the last one shifts inward to end with the scene."""
    if size_px <= tile_px:
        return (0,)
    last = size_px - tile_px
    return (*range(0, last, tile_px - overlap_px), last)


def _axis_weights(
    positions: tuple[int, ...], size_px: int, tile_px: int, overlap_px: int
) -> NDArray[np.float32]:
    taper = taper_weights(tile_px, overlap_px)
    total = np.zeros(max(size_px, tile_px))
    for position in positions:
        total[position : position + tile_px] += taper
    return np.stack([taper / total[position : position + tile_px] for position in positions]).astype(
        np.float32
    )
