"""Blocks of ground that are held out of training, to choose among the epochs by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError

BLOCKS_WANTED = 60
"""Blocks that the default edge lays over the ground that is scored."""
LEAST_BLOCKS = 5


def default_block_px(is_scored: NDArray[np.bool_], window_px: int) -> int:
    """Edge of the blocks, cells: some sixty over the ground, but at least half a window, and five blocks.

    In blocks much smaller than a window, what is held out can be guessed from its neighbours that are not.
    """
    edge = max(window_px // 2, round(math.sqrt(is_scored.sum() / BLOCKS_WANTED)), 1)
    while edge > 1 and len(_blocks_with_cells(is_scored, edge)) < LEAST_BLOCKS:
        edge //= 2
    return edge


def validation_ground(
    is_scored: NDArray[np.bool_], block_px: int, share: float, seed: int
) -> NDArray[np.bool_]:
    """Ground that is held out: whole square blocks, drawn until they hold a share of the cells.

    Args:
        is_scored: (height, width) cells of which there is something to guess.
        block_px: edge of the blocks, counted from the north-west corner.
        share: of the scored cells, 0..1; at least one block is held out, and at least one is not.
        seed: of the drawing.

    Returns:
        (height, width), True within the blocks held out, scored or not.

    Raises:
        UsageError: fewer than two blocks with scored cells, or no share.

    """
    if not 0 < share < 1:
        raise UsageError(f"the validation share is {share:g}: give a share between 0 and 1")
    if block_px < 1:
        raise UsageError(f"got blocks of {block_px} cells: their edge must be at least 1")
    blocks = _blocks_of(is_scored.shape, block_px)
    cells = np.bincount(blocks[is_scored], minlength=int(blocks.max(initial=0)) + 1)
    found = np.flatnonzero(cells)
    if len(found) < 2:
        raise UsageError(
            f"blocks of {block_px} cells leave {len(found)} with known geochemistry or geophysics: one must "
            "be held out and one be learned from; choose smaller blocks"
        )
    order = np.random.default_rng([seed, 1]).permutation(found)
    before = np.concatenate([[0], np.cumsum(cells[order])[:-1]])
    count = min(max(1, int((before < share * cells.sum()).sum())), len(order) - 1)
    return np.isin(blocks, order[:count])


def _blocks_of(shape: tuple[int, ...], block_px: int) -> NDArray[np.int64]:
    """(height, width) number of the block of each cell, in rows from the top."""
    rows, cols = (np.arange(size) // block_px for size in shape)
    return np.asarray(rows[:, None] * (cols[-1] + 1) + cols, dtype=np.int64)


def _blocks_with_cells(is_scored: NDArray[np.bool_], block_px: int) -> NDArray[np.int64]:
    return np.unique(_blocks_of(is_scored.shape, block_px)[is_scored])
