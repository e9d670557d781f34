"""How far the figures of a test set can be trusted: bootstrap intervals over spatial blocks.

Pixels of one block are alike, so a test set says as much as it has blocks, not as it has pixels. Blocks are
drawn with replacement and the figures computed from the sum of their confusion matrices; the percentiles of
those are the interval (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13; for blocks
of dependent data: Lahiri 2003, Resampling Methods for Dependent Data). With few blocks
the intervals are too narrow: where the truth is known by simulation, those of 95 % hold it in 89 % of cases
with 10 blocks, 92 % with 20, 93.5 % with 50 and 94.7 % with 200.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evaluation.figures import OF_ALL, OF_CLASSES, confusion_figures
from inference.segmentation_model import IGNORED
from inference.training.metrics import confusion_matrix, or_null

RESAMPLES = 2000
LEVEL = 0.95
_DRAWS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Intervals:
    """Figures with the range they would have come out in, had other blocks been tested.

    Each dictionary has the names of `OF_CLASSES`, arrays (classes,), and `OF_ALL`, arrays ().

    Attributes:
        codes: class code of each place.
        blocks: blocks that held a judged pixel.
        resamples: how often they were drawn anew.
        level: share of the resamples inside the interval.
        value: of the blocks as they are.
        low, high: ends of the interval; NaN where there are fewer than two blocks, or no resample knows.
        known: share of the resamples that tell the figure; those that lack a class are left out.

    """

    codes: tuple[int, ...]
    blocks: int
    resamples: int
    level: float
    value: dict[str, NDArray[np.float64]]
    low: dict[str, NDArray[np.float64]]
    high: dict[str, NDArray[np.float64]]
    known: dict[str, NDArray[np.float64]]

    def as_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """For the registry; NaN becomes null.

        Args:
            names: key of each class code, e.g. ``{6: "open_pit"}``.

        """

        def interval(figure: str, place: tuple[int, ...]) -> dict[str, float | None]:
            ends = {"value": self.value, "low": self.low, "high": self.high, "known": self.known}
            return {name: or_null(float(values[figure][place])) for name, values in ends.items()}

        by_class = {
            names[code]: {figure: interval(figure, (place,)) for figure in OF_CLASSES}
            for place, code in enumerate(self.codes)
        }
        told = {"blocks": self.blocks, "resamples": self.resamples, "level": self.level}
        return told | {figure: interval(figure, ()) for figure in OF_ALL} | {"by_class": by_class}


class BlockConfusions:
    """Confusion matrices by block, filled strip by strip and scene by scene.

    Args:
        codes: the classes.

    """

    def __init__(self, codes: Sequence[int]) -> None:
        self._codes = tuple(codes)
        self._by_key: dict[int, NDArray[np.int64]] = {}

    def add(
        self, reference: NDArray[np.uint8], predicted: NDArray[np.uint8], blocks: NDArray[np.int64]
    ) -> None:
        """Count pixels; all arrays have one shape, class codes (255: left out) and keys of blocks."""
        is_judged = (reference != IGNORED) & (predicted != IGNORED)
        if not is_judged.any():
            return
        reference, predicted, blocks = reference[is_judged], predicted[is_judged], blocks[is_judged]
        order = np.argsort(blocks, kind="stable")
        keys, starts = np.unique(blocks[order], return_index=True)
        for key, pixels in zip(keys.tolist(), np.split(order, starts[1:]), strict=True):
            counts = confusion_matrix(reference[pixels], predicted[pixels], self._codes)
            self._by_key[key] = self._by_key.get(key, 0) + counts

    @property
    def keys(self) -> list[int]:
        """Keys of the blocks with a judged pixel, ascending."""
        return sorted(self._by_key)

    @property
    def matrices(self) -> NDArray[np.int64]:
        """(blocks, classes, classes) in the order of `keys`."""
        empty = np.zeros((0, len(self._codes), len(self._codes)), np.int64)
        return np.stack([self._by_key[key] for key in self.keys]) if self._by_key else empty


def bootstrap_intervals(
    confusions: NDArray[np.int64],
    codes: Sequence[int],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """Intervals of every figure.

    All means are over the classes that the whole reference holds. A resample that by chance lacks one of them
    does not count for the means: it would be judged by an easier set of classes.

    Args:
        confusions: (blocks, classes, classes) pixels, reference in rows; blocks without a pixel are left out.
        codes: class code of each row and column.
        resamples: how often to draw.
        level: share of the resamples inside the interval; 0.95: percentiles 2.5 and 97.5.
        seed: of the draws.

    Raises:
        ValueError: the matrices are not of that many classes, no resamples, a level outside of 0 to 1.

    """
    counts = confusions[confusions.any(axis=(1, 2))]
    averaged = counts.sum(axis=(0, 2)) > 0
    value = confusion_figures(counts.sum(axis=0), codes, averaged)
    drawn = confusion_figures(_resampled(counts, resamples, seed), codes, averaged)
    return _intervals(tuple(codes), len(counts), level, value, drawn)


def bootstrap_differences(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    codes: Sequence[int],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Intervals:
    """Intervals of every figure of a second model minus that of a first, on the same blocks.

    Much narrower than the two models' own intervals suggest: what is hard in a block is hard for both.

    Args:
        first: (blocks, classes, classes) of the first model.
        second: the same of the second, blocks in the same order.
        codes: class code of each row and column.
        resamples: how often to draw.
        level: share of the resamples inside the interval.
        seed: of the draws.

    Raises:
        ValueError: as `bootstrap_intervals`, or the reference is not the same.

    """
    if first.shape != second.shape or (first.sum(axis=2) != second.sum(axis=2)).any():
        raise ValueError("the two models were not judged on the same pixels of the same blocks")
    is_judged = first.any(axis=(1, 2))
    averaged = first.sum(axis=(0, 2)) > 0
    sums = [
        (each[is_judged].sum(axis=0), _resampled(each[is_judged], resamples, seed))
        for each in (first, second)
    ]
    (value_1, drawn_1), (value_2, drawn_2) = (
        (confusion_figures(total, codes, averaged), confusion_figures(drawn, codes, averaged))
        for total, drawn in sums
    )
    value = {name: value_2[name] - value_1[name] for name in value_1}
    drawn = {name: drawn_2[name] - drawn_1[name] for name in drawn_1}
    return _intervals(tuple(codes), int(is_judged.sum()), level, value, drawn)


def _resampled(counts: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.int64]:
    """(resamples, classes, classes): sums over as many blocks as there are, drawn with replacement."""
    if resamples < 1:
        raise ValueError(f"{resamples} resamples tell nothing")
    blocks, shape = len(counts), counts.shape[1:]
    if blocks == 0:
        return np.zeros((resamples, *shape), np.int64)
    rng = np.random.default_rng(seed)
    # as floats a matrix product is fast, and exact for counts below 2 ** 53
    flat = counts.reshape(blocks, -1).astype(np.float64)
    sums = np.empty((resamples, flat.shape[1]))
    step = max(1, _DRAWS_AT_ONCE // blocks)
    for first in range(0, resamples, step):
        number = min(step, resamples - first)
        drawn = rng.integers(blocks, size=(number, blocks)) + np.arange(number)[:, None] * blocks
        times = np.bincount(drawn.ravel(), minlength=number * blocks).reshape(number, blocks)
        sums[first : first + number] = times @ flat
    return sums.astype(np.int64).reshape(resamples, *shape)


def _intervals(
    codes: tuple[int, ...],
    blocks: int,
    level: float,
    value: dict[str, NDArray[np.float64]],
    drawn: dict[str, NDArray[np.float64]],
) -> Intervals:
    if not 0 < level < 1:
        raise ValueError(f"an interval of level {level} is none: give a share between 0 and 1")
    tails = 50 * (1 - level), 50 * (1 + level)
    low, high, known = {}, {}, {}
    for name, values in drawn.items():
        is_known = ~np.isnan(values)
        known[name] = is_known.mean(axis=0)
        ends = np.full((2, *value[name].shape), np.nan)
        told = is_known.any(axis=0) & (blocks > 1)
        ends[:, told] = np.nanpercentile(values[:, told], tails, axis=0)
        low[name], high[name] = ends
    resamples = len(next(iter(drawn.values())))
    return Intervals(codes, blocks, resamples, level, value, low, high, known)
