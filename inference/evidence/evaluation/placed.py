"""Deposits on a grid: a deposit between the centres of cells counts as shares of four."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from db.raster import Grid

LEAST_JUDGED = 0.5
"""A deposit counts when at least this share of it lies on judged cells."""
LEAST_SHARE = 0.01
"""A smaller share of a deposit in a cell is left out: coordinates in degrees are rounded, too."""


@dataclass(frozen=True)
class PlacedDeposits:
    """Deposits within the extent of a grid.

    A score is not interpolated between the cells: the mean of four scores is never as high as the highest of
    them, so that deposits half a cell off would seem to lie on duller ground than they do.

    Attributes:
        ids: (n,) their keys, or their places in what was given.
        x, y: (n,) coordinates, in the CRS of the grid.
        rows, cols: (n, 4) cells whose centres lie round each deposit; some may lie beside the grid.
        shares: (n, 4) bilinear shares of these cells, 0 for those beside the grid; they make 1.

    """

    ids: tuple[int, ...]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    shares: NDArray[np.float64]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.ids)

    def chosen(self, is_chosen: NDArray[np.bool_]) -> PlacedDeposits:
        """Some of them (n,)."""
        arrays = {name: getattr(self, name)[is_chosen] for name in ("x", "y", "rows", "cols", "shares")}
        ids = tuple(key for key, is_in in zip(self.ids, is_chosen, strict=True) if is_in)
        return replace(self, ids=ids, **arrays)

    def judged(self, is_judged: NDArray[np.bool_]) -> PlacedDeposits:
        """Those that lie on judged ground for the greater part, with shares of judged cells only."""
        shares, is_kept = judged_shares(self.rows, self.cols, self.shares, is_judged)
        return replace(self, shares=shares).chosen(is_kept)


def place_deposits(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64], ids: Sequence[int] | None = None
) -> PlacedDeposits:
    """The deposits within the extent of a grid.

    Args:
        grid: of the scores.
        x: (n,) coordinates in its CRS; not finite where the CRS does not reach.
        y: (n,) likewise.
        ids: (n,) their keys; None: their places.

    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    keys = range(len(x)) if ids is None else ids
    with np.errstate(invalid="ignore"):
        right = (x - grid.origin_x) / grid.resolution_x
        down = (grid.origin_y - y) / grid.resolution_y
        is_here = (right >= 0) & (right <= grid.width_px) & (down >= 0) & (down <= grid.height_px)
    right, down = right[is_here] - 0.5, down[is_here] - 0.5
    top, left = np.floor(down).astype(np.int64), np.floor(right).astype(np.int64)
    below, beside = down - top, right - left
    rows = top[:, None] + np.array([0, 0, 1, 1])
    cols = left[:, None] + np.array([0, 1, 0, 1])
    shares = np.stack(
        [(1 - below) * (1 - beside), (1 - below) * beside, below * (1 - beside), below * beside], axis=1
    )
    shares[(rows < 0) | (rows >= grid.height_px) | (cols < 0) | (cols >= grid.width_px)] = 0
    shares[shares < LEAST_SHARE] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    found = tuple(int(key) for key, is_in in zip(keys, is_here, strict=True) if is_in)
    return PlacedDeposits(found, x[is_here], y[is_here], rows, cols, shares)


def judged_shares(
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    shares: NDArray[np.float64],
    is_judged: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Shares of judged cells, made 1 again, and which deposits (n,) lie on such for the greater part.

    Args:
        rows: (n, 4) of cells.
        cols: (n, 4) likewise.
        shares: (n, 4) of each deposit.
        is_judged: (height, width).

    """
    height, width = is_judged.shape
    is_inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    is_held = is_inside & is_judged[np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)]
    held = np.where(is_held, shares, 0.0)
    sums = held.sum(axis=1)
    # a deposit on the line between judged and other ground must not fall to either by rounding
    is_kept = sums >= LEAST_JUDGED - 1e-9
    return held / np.where(sums > 0, sums, 1.0)[:, None], is_kept
