"""`lode model compare`: models side by side, and whether their difference is more than chance.

Figures are held against each other only where the models were judged on the same ground: the same split, the
same blocks, the same labels. Then the same blocks are drawn for both (see `evaluation.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.registry import ModelRecord
from inference.evaluation.bootstrap import Intervals, bootstrap_differences
from inference.evaluation.figures import OF_ALL, WITHOUT_BACKGROUND
from inference.models.figures import (
    MEANS,
    class_names,
    judged_classes,
    split_text,
)

NAMED = {
    key: name
    for figure, label in MEANS.items()
    for key, name in ((figure, label), (figure + WITHOUT_BACKGROUND, f"{label} without background"))
    if key in OF_ALL
}
"""The figures of `OF_ALL` in words, in the order of a report."""


@dataclass(frozen=True)
class Difference:
    """A figure of a model minus that of the first.

    Attributes:
        figure: its name, as stored; for a class ``iou``.
        of_class: key of the class, None for figures of all.
        value: the difference; None where one of the two does not know the figure.
        low, high: ends of its interval; None where there is none.

    """

    figure: str
    of_class: str | None
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def is_beyond_chance(self) -> bool | None:
        """Whether the interval leaves 0 out; None without an interval."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Pair:
    """A model held against the first.

    Attributes:
        name: of the model.
        hindrances: why figures cannot be compared, each a clause; empty where they can.
        blocks: test blocks that both were judged on; 0 where blocks are not stored.
        differences: of all figures, then of the IoU of each class; empty with hindrances.

    """

    name: str
    hindrances: tuple[str, ...]
    blocks: int
    differences: tuple[Difference, ...]

    def difference(self, figure: str, of_class: str | None = None) -> Difference | None:
        """The difference of one figure."""
        found = (each for each in self.differences if (each.figure, each.of_class) == (figure, of_class))
        return next(found, None)


def compare(records: Sequence[ModelRecord]) -> list[Pair]:
    """Hold every model after the first against the first.

    Raises:
        UsageError: fewer than two models, one named twice, a model of another task.

    """
    check_comparable(records)
    return [_pair(records[0], other) for other in records[1:]]


def check_comparable(records: Sequence[ModelRecord]) -> None:
    """Check that there is something to compare.

    Raises:
        UsageError: fewer than two models, one named twice, a model of another task.

    """
    names = [record.name for record in records]
    if len(set(names)) < max(len(names), 2):
        raise UsageError(f"to compare are {', '.join(names)}: name two or more different models")
    tasks = {record.task for record in records}
    if len(tasks) > 1:
        raise UsageError(f"the models are for {' and '.join(sorted(tasks))}: compare those of one task")


def _pair(first: ModelRecord, other: ModelRecord) -> Pair:
    hindrances = _hindrances(first, other)
    if hindrances:
        return Pair(other.name, tuple(hindrances), 0, ())
    blocks = _blocks(first), _blocks(other)
    if blocks[0] is None or blocks[1] is None:
        return Pair(other.name, (), 0, tuple(_plain_differences(first, other)))
    found = bootstrap_differences(blocks[0][1], blocks[1][1], first.class_codes)
    keys = class_names(first.metrics, first.class_codes)
    differences = [_difference(found, figure, ()) for figure in NAMED]
    judged = {key for key, _ in judged_classes(first.metrics)}
    differences += [
        _difference(found, "iou", (place,), key) for place, key in enumerate(keys) if key in judged
    ]
    return Pair(other.name, (), found.blocks, tuple(differences))


def _hindrances(first: ModelRecord, other: ModelRecord) -> list[str]:
    """Why two models were not judged on the same ground; none: they were, as far as is stored."""
    splits = [record.training.get("split") for record in (first, other)]
    if not all(splits):
        lacking = [record.name for record, split in zip((first, other), splits, strict=True) if not split]
        return [f"{' and '.join(lacking)} does not say which ground was held out"]
    if splits[0] != splits[1]:
        return [
            f"their test ground differs: {first.name} was tested on {split_text(first)}, {other.name} on "
            f"{split_text(other)}"
            if split_text(first) != split_text(other)
            else "their test ground differs: blocks of the same size, but others were held out"
        ]
    if first.class_codes != other.class_codes:
        return ["they answer different classes"]
    references = [_reference(record) for record in (first, other)]
    if references[0] != references[1]:
        return [
            "they were judged on different labels of the same ground: scenes or labels changed between the "
            "trainings"
        ]
    blocks = [_blocks(record) for record in (first, other)]
    if blocks[0] is not None and blocks[1] is not None:
        (keys, matrices), (other_keys, other_matrices) = blocks[0], blocks[1]
        if keys != other_keys or (matrices.sum(axis=2) != other_matrices.sum(axis=2)).any():
            return ["they were judged on different labels in single blocks of the same ground"]
    digests = [record.metrics.get("labels_sha256") for record in (first, other)]
    if all(digests) and digests[0] != digests[1]:
        return ["labels were redrawn between the trainings: they were judged on different ones"]
    return []


def _reference(record: ModelRecord) -> dict[str, int]:
    """Test pixels of each class."""
    return {key: int(figures["pixels"]) for key, figures in judged_classes(record.metrics)}


def _blocks(record: ModelRecord) -> tuple[list[str], NDArray[np.int64]] | None:
    """Keys (sorted) and confusion matrices (blocks, classes, classes) of the test blocks, if stored."""
    stored = sorted(record.metrics.get("blocks") or [], key=lambda block: str(block["key"]))
    if not stored:
        return None
    matrices = np.array([block["confusion"] for block in stored], np.int64)
    return [str(block["key"]) for block in stored], matrices


def _difference(
    found: Intervals, figure: str, place: tuple[int, ...], of_class: str | None = None
) -> Difference:
    value, low, high = (float(each[figure][place]) for each in (found.value, found.low, found.high))
    known = [None if np.isnan(each) else each for each in (value, low, high)]
    return Difference(figure, of_class, *known)


def _plain_differences(first: ModelRecord, other: ModelRecord) -> list[Difference]:
    """Differences without intervals, for models of a version that did not store blocks."""
    differences = [
        Difference(figure, None, _minus(other.metrics.get(figure), first.metrics.get(figure)))
        for figure in NAMED
        if figure in first.metrics and figure in other.metrics
    ]
    theirs = dict(judged_classes(other.metrics))
    return differences + [
        Difference("iou", key, _minus(theirs.get(key, {}).get("iou"), figures.get("iou")))
        for key, figures in judged_classes(first.metrics)
    ]


def _minus(value: float | None, first: float | None) -> float | None:
    return None if value is None or first is None else value - first
