"""Which mine, block or group of scenes plays which part of a sample set."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.samples import SPLITS
from inference.samples.pieces import Pieces
from inference.samples.settings import Fold
from inference.segmentation_model import CLASS_CODES
from inference.training.blocks import TEST, TRAIN, VALIDATION
from inference.training.split_search import SHARES, search_split

FEW_GROUPS = 8
"""Of so many groups all splits are looked at (6,561), and the best one counts."""
ABSENT_COSTS = (100.0, 8.0, 10.0)
"""What it costs that training, validation or test does without a class: worse than any imbalance."""


def parts_of_groups(pieces: Pieces, seed: int, fold: Fold | None = None) -> NDArray[np.int64]:
    """(groups,) part of each group; groups that hold nothing, having joined another, play none: training.

    Args:
        pieces: the labels in their groups.
        seed: of the search among many groups.
        fold: which groups are the test; None: split 6:2:2.

    Raises:
        UsageError: fewer than three groups, more folds than groups.

    """
    counts = pieces.counts(CLASS_CODES)
    held = np.flatnonzero(counts.sum(axis=1))
    if held.size < len(SPLITS):
        raise UsageError(
            f"the labels lie in {held.size} {pieces.group_word}, at least three are needed for training, "
            f"validation and test: {_advice(pieces)}"
        )
    if fold is not None and fold.count > held.size:
        raise UsageError(
            f"fold is {fold}, but the labels lie in {held.size} {pieces.group_word}: with {held.size} folds "
            "each is the test once"
        )
    parts = np.zeros(len(counts), np.int64)
    if fold is not None:
        parts[held] = parts_of_fold(counts[held], fold)
    elif held.size <= FEW_GROUPS:
        parts[held] = best_split(counts[held])
    else:
        parts[held] = search_split(counts[held], seed)
    return parts


def best_split(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The split of few groups that is most nearly 6:2:2, by looking at all that leave no part empty.

    Args:
        counts: (groups, classes) labelled pixels.

    Returns:
        (groups,) the part of each group.

    """
    splits = np.array(list(itertools.product((TRAIN, VALIDATION, TEST), repeat=len(counts))), np.int64)
    plays = splits[:, None, :] == np.arange(len(SPLITS))[:, None]
    splits, plays = (each[plays.any(axis=2).all(axis=1)] for each in (splits, plays))
    # all labels together count as one more class, as in the search among many groups
    columns = np.column_stack((counts, counts.sum(axis=1))).astype(float)
    best: NDArray[np.int64] = splits[int(np.argmin(imbalance(plays @ columns)))]
    return best


def imbalance(held: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance to 6:2:2 of each class, summed, plus what absent classes cost.

    Args:
        held: (..., splits, classes) labelled pixels; classes that no part holds do not count.

    """
    shares = held / np.maximum(held.sum(axis=-2, keepdims=True), 1)
    exists = held.any(axis=-2, keepdims=True)
    distance = ((shares - np.array(SHARES)[:, None]) ** 2 * exists).sum(axis=(-2, -1))
    absent = ((held == 0) & exists) * np.array(ABSENT_COSTS)[:, None]
    cost: NDArray[np.float64] = distance + absent.sum(axis=(-2, -1))
    return cost


def parts_of_fold(counts: NDArray[np.int64], fold: Fold) -> NDArray[np.int64]:
    """(groups,) part of each group in a fold: one fold is the test, the next the validation."""
    folds = deal(counts, fold.count)
    parts = np.full(len(counts), TRAIN, np.int64)
    parts[folds == fold.number - 1] = TEST
    parts[folds == fold.number % fold.count] = VALIDATION
    return parts


def deal(counts: NDArray[np.int64], folds: int) -> NDArray[np.int64]:
    """Deal groups into folds of about the same labelled pixels of each class, the same at every call.

    The largest groups first, each goes where the squares of the shares grow least.

    Args:
        counts: (groups, classes) labelled pixels, none all 0.
        folds: how many, at most as many as groups.

    Returns:
        (groups,) fold of each group from 0, none empty, numbered in the order of their first groups.

    """
    columns = np.column_stack((counts, counts.sum(axis=1)))
    shares = columns / np.maximum(columns.sum(axis=0), 1)
    held = np.zeros((folds, shares.shape[1]))
    dealt = np.zeros(len(counts), np.int64)
    for group in np.argsort(-shares.sum(axis=1), kind="stable"):
        # an empty fold costs nothing, and every other one something: none stays empty
        dealt[group] = int(np.argmin(held @ shares[group]))
        held[dealt[group]] += shares[group]
    _, first = np.unique(dealt, return_index=True)
    order = np.argsort(np.argsort(first))
    return np.asarray(order[dealt], np.int64)


def _advice(pieces: Pieces) -> str:
    if pieces.is_by_scene:
        return "bring labelled scenes of other places, or split by block or mine"
    return "draw labels in more places, or choose a smaller --tile-px or --block-m"
