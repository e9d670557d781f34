"""Patches of a ground: where they lie, which hold ore, and their values as nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prospect.ground import Ground

LEAST_VALID = 0.9
"""Share of a patch's cells that must be judged and have a value in every channel."""


@dataclass(frozen=True)
class Patches:
    """Square patches of one ground; all arrays (patches,).

    Attributes:
        patch_px: edge, cells.
        rows, cols: first row and column, from 0.
        shares: share of the cells that lie near a deposit, 0..1.
        is_positive: whether the patch counts as ore-bearing.

    """

    patch_px: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    shares: NDArray[np.float64]
    is_positive: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.rows.size)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Patches:
        """Some of the patches."""
        return replace(
            self,
            rows=self.rows[which],
            cols=self.cols[which],
            shares=self.shares[which],
            is_positive=self.is_positive[which],
        )

    @property
    def centres(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of each patch's middle cell; of two the lower or right one."""
        return self.rows + self.patch_px // 2, self.cols + self.patch_px // 2


@dataclass(frozen=True)
class Candidates:
    """The patches that can be positive or negative, and how many were left out.

    Attributes:
        patches: those.
        without_values: positions where fewer than `LEAST_VALID` of the cells count.
        between: patches with some positive cells, but too few.

    """

    patches: Patches
    without_values: int
    between: int


def positions(height: int, width: int, patch_px: int, stride_px: int) -> tuple[NDArray[np.int64], ...]:
    """First row and column (positions,) of every patch that fits, from the upper left, in steps.

    Raises:
        UsageError: not one fits.

    """
    if patch_px > min(height, width):
        raise UsageError(
            f"patches of {patch_px} x {patch_px} cells do not fit on ground of {width} x {height} cells: "
            f"give a --patch of at most {min(height, width)}"
        )
    rows, cols = np.meshgrid(
        np.arange(0, height - patch_px + 1, stride_px),
        np.arange(0, width - patch_px + 1, stride_px),
        indexing="ij",
    )
    return rows.ravel(), cols.ravel()


def window_counts(
    mask: NDArray[np.bool_], rows: NDArray[np.int64], cols: NDArray[np.int64], patch_px: int, margin: int = 0
) -> NDArray[np.int64]:
    """How many cells of each patch are set, (patches,).

    Args:
        mask: (height, width).
        rows: (patches,) first row of each.
        cols: (patches,) first column.
        patch_px: edge, cells.
        margin: cells round the patch that count too; what lies off the grid is not set.

    """
    height, width = mask.shape
    sums = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(mask, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    top, bottom = np.maximum(rows - margin, 0), np.minimum(rows + patch_px + margin, height)
    left, right = np.maximum(cols - margin, 0), np.minimum(cols + patch_px + margin, width)
    counts: NDArray[np.int64] = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return counts


def candidate_patches(
    ground: Ground, is_positive: NDArray[np.bool_], *, patch_px: int, stride_px: int, positive_share: float
) -> Candidates:
    """All patches of a ground that are clearly one or the other.

    A patch is positive where at least ``positive_share`` of its cells lie near a deposit, negative where none
    does; those between are neither.

    Args:
        ground: the ground.
        is_positive: (height, width) cells near a deposit.
        patch_px: edge of the patches, cells.
        stride_px: step from one to the next, cells.
        positive_share: 0..1.

    Raises:
        UsageError: no patch fits or has enough values; none is positive, none negative.

    """
    rows, cols = positions(is_positive.shape[0], is_positive.shape[1], patch_px, stride_px)
    is_full = window_counts(ground.is_valid, rows, cols, patch_px) >= LEAST_VALID * patch_px**2
    if not is_full.any():
        raise UsageError(_nothing_valid(ground))
    shares = window_counts(is_positive, rows, cols, patch_px) / patch_px**2
    positive, negative = shares >= positive_share, shares == 0
    used = is_full & (positive | negative)
    every = Patches(patch_px, rows, cols, shares, positive)
    found = Candidates(
        every.chosen(used), int((~is_full).sum()), int((is_full & ~positive & ~negative).sum())
    )
    if not (is_full & positive).any():
        raise UsageError(_no_positive(shares, is_full, positive_share))
    if not (is_full & negative).any():
        raise UsageError(
            f"all {int(is_full.sum())} patches on {ground.name} hold ground near a deposit, so that none can "
            "be negative: give a smaller --buffer-m or --patch, or larger ground"
        )
    return found


def _nothing_valid(ground: Ground) -> str:
    judged = int(ground.is_judged.sum())
    if judged == 0:
        return f"no cell of {ground.name} is judged: it holds no data, or cloud hides all of it"
    worst = min(
        (float(np.isfinite(values[ground.is_judged]).mean()), channel.name)
        for values, channel in zip(ground.values, ground.channels, strict=True)
    )
    return (
        f"no patch on {ground.name} has values in every channel for {LEAST_VALID:.0%} of its cells: "
        f"{judged} of {ground.is_judged.size} cells are judged, and channel {worst[1]} has a value on "
        f"{worst[0]:.1%} of them. Leave such channels out, or give a smaller --patch"
    )


def _no_positive(shares: NDArray[np.float64], is_full: NDArray[np.bool_], positive_share: float) -> str:
    highest = float(shares[is_full].max())
    if shares.max() >= positive_share:
        return (
            f"no patch with values holds {positive_share:g} of its cells near a deposit, though "
            f"{int((shares >= positive_share).sum())} patches without enough values do: the deposits lie on "
            "cloud or missing data. Take a clear scene, or leave channels out that lack values there"
        )
    return (
        f"no patch is positive: at most {highest:.3g} of the cells of one lie near a deposit, and --share "
        f"asks for {positive_share:g}. Give a smaller --share, --patch or --stride, or a larger --buffer-m"
    )


def draw_negatives(
    patches: Patches,
    parts: NDArray[np.uint8],
    blocks: NDArray[np.int64],
    per_positive: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Keep all positive patches, and for each of a part some negative ones, evenly over its blocks.

    The blocks of a part give one patch each in turn, in an order drawn anew each round, until there are
    enough.

    Args:
        patches: positive and negative ones.
        parts: (patches,) part of each.
        blocks: (patches,) block of each.
        per_positive: negative patches for each positive one; a part that has fewer gives them all.
        seed: of the drawing.

    Returns:
        (patches,) whether a patch is kept.

    """
    rng = np.random.default_rng(seed)
    is_kept = patches.is_positive.copy()
    for part in np.unique(parts):
        wanted = per_positive * int((patches.is_positive & (parts == part)).sum())
        places = rng.permutation(np.flatnonzero(~patches.is_positive & (parts == part)))
        by_block = places[np.argsort(blocks[places], kind="stable")]
        _, firsts, counts = np.unique(blocks[by_block], return_index=True, return_counts=True)
        rounds = np.arange(by_block.size) - np.repeat(firsts, counts)
        order = np.lexsort((rng.random(by_block.size), rounds))
        is_kept[by_block[order[:wanted]]] = True
    return is_kept


def cut(
    values: NDArray[np.float32], rows: NDArray[np.int64], cols: NDArray[np.int64], patch_px: int
) -> NDArray[np.float32]:
    """Values of patches as nodes.

    Args:
        values: (channels, height, width).
        rows: (n,) first row of each patch.
        cols: (n,) first column.
        patch_px: edge, cells.

    Returns:
        (n, patch_px ** 2, channels), nodes in rows from the top, NaN kept.

    """
    windows = np.lib.stride_tricks.sliding_window_view(values, (patch_px, patch_px), axis=(1, 2))
    nodes = np.moveaxis(windows[:, rows, cols], 0, -1)
    return np.ascontiguousarray(nodes.reshape(rows.size, patch_px**2, values.shape[0]), np.float32)
