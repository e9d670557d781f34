"""Which patches of a window are hidden: drawn at random to learn, dealt out evenly to score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from db.errors import UsageError

_DEALING = 4
"""Seed of the dealing, the same for every model: what differs between seeds is what they learned."""


def random_masks(
    generator: np.random.Generator, windows: int, edge: int, least: float, most: float
) -> NDArray[np.bool_]:
    """Hidden patches of some windows, each with a share drawn evenly between two bounds.

    Args:
        generator: draws.
        windows: how many.
        edge: patches along a side.
        least: share of the patches that is hidden.
        most: the same; shares are rounded to whole patches within these bounds.

    Returns:
        (windows, edge, edge), True where hidden; at least one patch is hidden.

    Raises:
        UsageError: bounds that are no shares.

    """
    if not 0 < least <= most < 1:
        raise UsageError(
            f"got masks of {least:g} to {most:g} of the patches: give shares between 0 and 1, "
            "the lesser first"
        )
    patches = edge * edge
    shares = generator.uniform(least, most, (windows, 1))
    # whole patches within the bounds where any are: 0.75 of 64 is 48, and no window hides 49
    lowest = max(1, int(np.ceil(least * patches - 1e-9)))
    highest = max(lowest, int(np.floor(most * patches + 1e-9)))
    counts = np.clip(np.rint(shares * patches), lowest, highest)
    ranks = generator.random((windows, patches)).argsort(axis=1).argsort(axis=1)
    return (ranks < counts).reshape(windows, edge, edge)


def dealt_groups(row: int, col: int, edge: int, groups: int) -> NDArray[np.int64]:
    """The group of each patch of one window; all groups have as many patches, to within one.

    Args:
        row: of the window's first cell; a window is dealt alike on any ground and in any batch.
        col: of the same.
        edge: patches along a side.
        groups: how many; each is left in sight once, while all others are hidden.

    Returns:
        (edge, edge), from 0.

    Raises:
        UsageError: fewer than two groups, or more than patches.

    """
    if not 2 <= groups <= edge * edge:
        raise UsageError(f"got {groups} groups for {edge * edge} patches: choose 2 to {edge * edge}")
    # numpy takes no negative numbers as a seed; windows begin before the ground does
    generator = np.random.default_rng([_DEALING, row % 2**32, col % 2**32])
    dealt = generator.permutation(np.arange(edge * edge) % groups)
    return dealt.reshape(edge, edge)


def complementary_masks(row: int, col: int, edge: int, groups: int) -> NDArray[np.bool_]:
    """All masks of one window in scoring: every patch is hidden in all of them but one.

    Returns:
        (groups, edge, edge), True where hidden.

    """
    masks: NDArray[np.bool_] = dealt_groups(row, col, edge, groups) != np.arange(groups)[:, None, None]
    return masks


def as_cells(is_hidden: Tensor, patch_px: int) -> Tensor:
    """Masks of patches (n, edge, edge) as masks of cells (n, edge * patch_px, edge * patch_px)."""
    return is_hidden.repeat_interleave(patch_px, 1).repeat_interleave(patch_px, 2)
