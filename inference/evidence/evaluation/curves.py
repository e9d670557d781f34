"""Curves of scores against deposits, at points enough to draw them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.evidence.evaluation.figures import Answers

AREAS = np.unique(np.round(np.concatenate([np.linspace(0, 0.1, 41), np.linspace(0.1, 1, 91)]), 6))
"""Shares of the area at which curves are kept, closer together near the best."""


@dataclass(frozen=True)
class Curves:
    """Curves of one method.

    Attributes:
        area: shares of the judged ground, from the highest score on.
        captured: share of the deposits in each.
        score: lowest score within each share of the ground, for the prediction-area plot.
        false: shares of the judged cells without a deposit, corner by corner of the ROC curve.
        true: shares of the deposits that score higher than the rest; steps, whose area is the figure.

    """

    area: tuple[float, ...]
    captured: tuple[float, ...]
    score: tuple[float, ...]
    false: tuple[float, ...]
    true: tuple[float, ...]

    @classmethod
    def of(cls, answers: Answers, values: NDArray[np.floating]) -> Curves:
        """Curves of deposits' answers and of the scores (cells,) of all judged cells."""
        captured = answers.captured(AREAS).mean(axis=0)
        ordered = np.sort(values)[::-1]
        score = ordered[np.minimum((AREAS * len(ordered)).astype(np.int64), len(ordered) - 1)]
        # a deposit is met where the cells above it end
        falls = np.sort(1 - answers.placements)
        false = np.concatenate([[0.0], np.repeat(falls, 2), [1.0]])
        true = np.repeat(np.arange(len(falls) + 1) / len(falls), 2)
        return cls(*map(_said, (AREAS, captured, score, false, true)))

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return {name: list(values) for name, values in asdict(self).items()}


def _said(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
