"""How well a model tells patches with ore from those without, and how far the figures can be trusted.

Patches of one block are alike, so intervals come from drawing whole blocks with replacement (see
`inference.evaluation.bootstrap`, also for how narrow they are when blocks are few). Ore is rare: what counts
is how many blocks hold it, see `inference.prospect.ore_blocks`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from db.errors import UsageError
from inference.prospect.ore_blocks import OreBlocks, ends_of
from inference.training.metrics import or_null

RESAMPLES = 2000
LEVEL = 0.95
FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "macro_f1",
    "roc_auc",
    "pr_auc",
)
"""Names in the order of a report. Precision, recall and F1 are those of ore; the area under the curve of
precision over recall is average precision (steps, no trapezoids)."""
_WEIGHTS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Judged:
    """Patches with their truth and a model's answer; all arrays (n,).

    Attributes:
        is_positive: whether a patch counts as ore-bearing.
        probabilities: of ore, 0..1.
        blocks: key of the block of ground each patch belongs to.
        threshold: probability from which a patch is called ore-bearing; chosen on other patches.

    """

    is_positive: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    blocks: NDArray[np.int64]
    threshold: float

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, or probabilities that are none."""
        if not len(self.is_positive) == len(self.probabilities) == len(self.blocks):
            raise ValueError("labels, probabilities and blocks are of different lengths")
        if not np.isfinite(self.probabilities).all():
            raise ValueError("a probability is no number")

    @property
    def is_called(self) -> NDArray[np.bool_]:
        """Whether the model calls a patch ore-bearing."""
        return self.probabilities >= self.threshold

    def as_json(self) -> dict[str, Any]:
        """Answers patch by patch, so that models can be compared on the same patches later."""
        return {
            "blocks": self.blocks.tolist(),
            "is_positive": self.is_positive.astype(int).tolist(),
            # as many digits as float32 has
            "probabilities": [float(f"{value:.9g}") for value in self.probabilities],
        }

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any], what: str) -> Judged:
        """What `as_json` stored among the metrics of a model.

        Raises:
            UsageError: it is not there.

        """
        try:
            stored = metrics["test"]
            return cls(
                is_positive=np.array(stored["is_positive"], np.int64).astype(bool),
                probabilities=np.array(stored["probabilities"], np.float64),
                blocks=np.array(stored["blocks"], np.int64),
                threshold=float(metrics["threshold"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the answers of {what} cannot be read ({error!r}): train it again") from error


@dataclass(frozen=True)
class ProspectFigures:
    """Figures with the range they would have come out in, had other blocks been judged.

    Attributes:
        patches, positives: how many were judged.
        blocks: those they lie in.
        threshold: from which probability a patch was called ore-bearing.
        confusion: (2, 2) patches, truth in rows, answer in columns: [[no-no, no-ore], [ore-no, ore-ore]].
        value: by name, see `FIGURES`; NaN where a figure has no meaning: recall without positives, precision
            where nothing was called, areas under curves with one class only.
        low, high: ends of the intervals; None with ore, or barren ground, in fewer blocks than
            `inference.prospect.ore_blocks.LEAST_BLOCKS`, and where most resamples do not tell a figure.
        known: share of the resamples that tell a figure; one without ore or barren patches tells none.
        resamples, level: how often blocks were drawn, and the share of the draws inside an interval.

    """

    patches: int
    positives: int
    blocks: OreBlocks
    threshold: float
    confusion: NDArray[np.int64]
    value: dict[str, float]
    low: dict[str, float | None]
    high: dict[str, float | None]
    known: dict[str, float]
    resamples: int
    level: float

    def as_json(self) -> dict[str, Any]:
        """For the registry; NaN becomes null."""
        return {
            "patches": self.patches,
            "positives": self.positives,
            "threshold": self.threshold,
            "confusion": self.confusion.tolist(),
            **{name: or_null(self.value[name]) for name in FIGURES},
            "intervals": {
                **self.blocks.as_json(),
                "resamples": self.resamples,
                "level": self.level,
                **{
                    name: {
                        "value": or_null(self.value[name]),
                        "low": self.low[name],
                        "high": self.high[name],
                        "known": self.known[name],
                    }
                    for name in FIGURES
                },
            },
        }


def plain_figures(judged: Judged) -> dict[str, float]:
    """The figures of `FIGURES` by scikit-learn; NaN where one has no meaning."""
    truth, called = judged.is_positive, judged.is_called
    if len(truth) == 0:
        return dict.fromkeys(FIGURES, math.nan)
    has_both = bool(truth.any()) and not bool(truth.all())
    # zero_division: what has no meaning is neither 0 nor 1
    recalls = metrics.recall_score(truth, called, labels=[False, True], average=None, zero_division=np.nan)
    f1s = metrics.f1_score(truth, called, labels=[False, True], average=None, zero_division=np.nan)
    return {
        "accuracy": float(metrics.accuracy_score(truth, called)),
        "balanced_accuracy": float(np.mean(recalls)),
        "precision": float(metrics.precision_score(truth, called, zero_division=np.nan)),
        "recall": float(recalls[1]),
        "f1": float(f1s[1]),
        "macro_f1": float(np.mean(f1s)),
        "roc_auc": float(metrics.roc_auc_score(truth, judged.probabilities)) if has_both else math.nan,
        "pr_auc": (
            float(metrics.average_precision_score(truth, judged.probabilities)) if truth.any() else math.nan
        ),
    }


def prospect_figures(
    judged: Judged, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> ProspectFigures:
    """The figures with their intervals.

    Args:
        judged: patches that took no part in training or in any choice.
        resamples: how often blocks are drawn.
        level: share of the draws inside an interval; 0.95: percentiles 2.5 and 97.5.
        seed: of the draws.

    """
    drawn = resampled_figures(judged, resamples=resamples, seed=seed)
    blocks = OreBlocks.of(judged.blocks, judged.is_positive)
    ends = {name: ends_of(values, blocks.least, level) for name, values in drawn.items()}
    confusion = np.bincount(2 * judged.is_positive.astype(np.int64) + judged.is_called, minlength=4)
    return ProspectFigures(
        patches=len(judged.blocks),
        positives=int(judged.is_positive.sum()),
        blocks=blocks,
        threshold=judged.threshold,
        confusion=confusion.reshape(2, 2).astype(np.int64),
        value=plain_figures(judged),
        low={name: each[0] for name, each in ends.items()},
        high={name: each[1] for name, each in ends.items()},
        known={name: float(np.isfinite(values).mean()) for name, values in drawn.items()},
        resamples=resamples,
        level=level,
    )


def figure_differences(
    first: Judged, second: Judged, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """Each figure of a second model minus that of a first on the same patches: value, low, high.

    Ends are None where `ProspectFigures` has none. Much narrower than the two models' own intervals suggest:
    what is hard in a block is hard for both.

    Raises:
        ValueError: the two were not judged on the same patches.

    """
    is_same = np.array_equal(first.is_positive, second.is_positive)
    if not is_same or not np.array_equal(first.blocks, second.blocks):
        raise ValueError("the two models were not judged on the same patches of the same blocks")
    drawn = [resampled_figures(each, resamples=resamples, seed=seed) for each in (first, second)]
    values = [plain_figures(each) for each in (first, second)]
    blocks = OreBlocks.of(first.blocks, first.is_positive)
    differences: dict[str, dict[str, float | None]] = {}
    for name in FIGURES:
        low, high = ends_of(drawn[1][name] - drawn[0][name], blocks.least, level)
        differences[name] = {"value": or_null(values[1][name] - values[0][name]), "low": low, "high": high}
    return differences


def resampled_figures(
    judged: Judged, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Every figure (resamples,) of as many blocks as there are, drawn with replacement.

    NaN: no meaning. A draw without ore, or without barren patches, has no figure at all, so that all figures
    rest on the same draws: precision and F1 would else be 0 there, whatever the model is worth.
    """
    keys, numbers = np.unique(judged.blocks, return_inverse=True)
    if len(keys) == 0:
        return {name: np.full(resamples, np.nan) for name in FIGURES}
    drawn = np.random.default_rng(seed).integers(len(keys), size=(resamples, len(keys)))
    places = drawn + np.arange(resamples)[:, None] * len(keys)
    times = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
    cells = 2 * judged.is_positive.astype(np.int64) + judged.is_called
    counts = np.bincount(4 * numbers + cells, minlength=4 * len(keys)).reshape(len(keys), 4)
    drawn_counts = times @ counts
    figures = _of_counts(drawn_counts)
    figures["roc_auc"], figures["pr_auc"] = _curve_areas(judged, times, numbers)
    barren, ore = drawn_counts[:, :2].sum(axis=1), drawn_counts[:, 2:].sum(axis=1)
    for values in figures.values():
        values[(barren == 0) | (ore == 0)] = np.nan
    return figures


def _of_counts(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Figures of confusion matrices (n, 4): no-no, no-ore, ore-no, ore-ore."""
    right_no, false_ore, missed, right_ore = counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, recall_no = right_ore / (right_ore + missed), right_no / (right_no + false_ore)
        f1 = 2 * right_ore / (2 * right_ore + false_ore + missed)
        f1_no = 2 * right_no / (2 * right_no + false_ore + missed)
        return {
            "accuracy": (right_no + right_ore) / counts.sum(axis=1),
            "balanced_accuracy": (recall + recall_no) / 2,
            "precision": right_ore / (right_ore + false_ore),
            "recall": recall,
            "f1": f1,
            "macro_f1": (f1 + f1_no) / 2,
        }


def _curve_areas(
    judged: Judged, times: NDArray[np.float64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Areas under both curves, as scikit-learn's with weights, for all draws at once.

    Args:
        judged: the patches.
        times: (draws, blocks) how often each block was drawn.
        numbers: (patches,) place of each patch's block among the columns of ``times``.

    Returns:
        Area under the ROC curve, and average precision, each (draws,).

    """
    order = np.argsort(-judged.probabilities, kind="stable")
    ranked, is_positive, numbers = judged.probabilities[order], judged.is_positive[order], numbers[order]
    # patches of equal probability are one step of the curve
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    roc, pr = np.empty(len(times)), np.empty(len(times))
    at_once = max(1, _WEIGHTS_AT_ONCE // len(numbers))
    for first in range(0, len(times), at_once):
        part = slice(first, first + at_once)
        weights = times[part, numbers]
        called = np.cumsum(weights, axis=1)[:, ends]
        true = np.cumsum(weights * is_positive, axis=1)[:, ends]
        false = called - true
        steps, widths = np.diff(true, axis=1, prepend=0.0), np.diff(false, axis=1, prepend=0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            roc[part] = (widths * (true - steps / 2)).sum(axis=1) / (true[:, -1] * false[:, -1])
            # before the first patch that was drawn nothing is called, and no step is made
            precision = np.where(called > 0, true / called, 0.0)
            pr[part] = (steps * precision).sum(axis=1) / true[:, -1]
    return roc, pr
