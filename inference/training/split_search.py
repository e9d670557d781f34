"""Which block is trained on, which chooses the epoch, which is the test: balanced by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inference.training.blocks import TEST, TRAIN, VALIDATION

SHARES = (0.6, 0.2, 0.2)
"""Aim for the labelled pixels of each class in training, validation and test."""
RESTARTS = 12
_MAX_PASSES = 20
# what it costs that a class is absent: worse than any imbalance, and the order in which parts do without
_ABSENT = np.array([100.0, 8.0, 10.0])


def search_split(counts: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Assign blocks to training (0), validation (1) and test (2).

    Looks at label counts only. From several random assignments, blocks move one by one to the part where
    they serve the balance most, until none does; the best assignment found counts. Every class that has
    three blocks or more is in all three parts; one with two is in training and test, one with a single
    block in training only. Of the shares, each class counts the same, and all labels together once more.

    Args:
        counts: (blocks, classes) labelled pixels.
        seed: of the random assignments.

    Returns:
        (blocks,) the part of each block.

    """
    present: NDArray[np.int64] = counts[:, counts.sum(axis=0) > 0]
    totals = present.sum(axis=0)
    columns = np.column_stack((present / totals, present.sum(axis=1) / present.sum()))
    presence: NDArray[np.int64] = np.where(present > 0, 1, 0)
    rng = np.random.default_rng(seed)
    best_cost, best = np.inf, np.zeros(counts.shape[0], np.uint8)
    for _ in range(RESTARTS):
        parts = rng.choice(np.arange(3), size=counts.shape[0], p=SHARES).astype(np.uint8)
        cost = _climb(parts, columns, presence, rng)
        if cost < best_cost:
            best_cost, best = cost, parts
    return best


def _climb(
    parts: NDArray[np.uint8],
    columns: NDArray[np.float64],
    presence: NDArray[np.int64],
    rng: np.random.Generator,
) -> float:
    """Improve ``parts`` in place by single moves; returns the cost reached."""
    shares = np.stack([columns[parts == part].sum(axis=0) for part in (TRAIN, VALIDATION, TEST)])
    blocks = np.stack([presence[parts == part].sum(axis=0) for part in (TRAIN, VALIDATION, TEST)])
    cost = _cost(shares, blocks)
    for _ in range(_MAX_PASSES):
        has_moved = False
        for block in rng.permutation(parts.size):
            part = parts[block]
            for other in (TRAIN, VALIDATION, TEST):
                if other == part:
                    continue
                step = np.zeros((3, 1))
                step[part], step[other] = -1, 1
                moved_shares = shares + step * columns[block]
                moved_blocks = blocks + step.astype(np.int64) * presence[block]
                moved = _cost(moved_shares, moved_blocks)
                if moved < cost - 1e-12:
                    shares, blocks, cost, part = moved_shares, moved_blocks, moved, np.uint8(other)
                    parts[block] = other
                    has_moved = True
        if not has_moved:
            break
    return cost


def _cost(shares: NDArray[np.float64], blocks: NDArray[np.int64]) -> float:
    """Squared distance to the wanted shares plus what absent classes cost."""
    imbalance = float(((shares - np.array(SHARES)[:, None]) ** 2).sum())
    return imbalance + float(((blocks == 0) * _ABSENT[:, None]).sum())
