"""How high scores rank deposits: area under the ROC curve, captured shares, and the prediction-area plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOP_SHARES = (0.01, 0.05, 0.10, 0.20)
"""Shares of the judged area, from the highest score on."""
FIGURES = ("roc_auc", "capture_1", "capture_5", "capture_10", "capture_20", "pa_capture", "density")
"""``roc_auc``; shares of the deposits in the best 1, 5, 10 and 20 % of the area; of the prediction-area plot
the share of deposits at the intersection (the share of area there is what lacks to 1), and their quotient.
All are higher the better the scores are."""
CHANCE = dict(
    zip(FIGURES, (0.5, *TOP_SHARES, 0.5, 1.0), strict=True),
)
"""What scores are worth that know nothing."""
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Ranks:
    """The order of the scores of judged cells.

    Attributes:
        below, upto: (height, width) how many judged cells score lower, and lower or the same; 0 where the
            ground is not judged.
        count: judged cells.

    """

    below: NDArray[np.int64]
    upto: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, scores: NDArray[np.floating], is_judged: NDArray[np.bool_]) -> Ranks:
        """Rank scores (height, width) on judged cells.

        Raises:
            ValueError: a judged cell has no score, or no cell is judged.

        """
        values = scores[is_judged]
        if values.size == 0 or not np.isfinite(values).all():
            raise ValueError("every judged cell needs a score, and there must be one")
        ordered = np.sort(values)
        below, upto = np.zeros(scores.shape, np.int64), np.zeros(scores.shape, np.int64)
        below[is_judged] = np.searchsorted(ordered, values, "left")
        upto[is_judged] = np.searchsorted(ordered, values, "right")
        return cls(below, upto, len(ordered))


@dataclass(frozen=True)
class Answers:
    """What scores say of each deposit.

    Attributes:
        placements: (n,) share of the judged cells without a deposit that score lower, ties half.
        starts, ends: (n, 4) the cells of each deposit lie between these shares of the area, counted from the
            highest score; cells of one score share theirs.
        shares: (n, 4) of the deposit in each of its cells.

    """

    placements: NDArray[np.float64]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        ranks: Ranks,
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
        shares: NDArray[np.float64],
    ) -> Answers:
        """Look up deposits (n, 4), see `placed.PlacedDeposits`; all shares are of judged cells.

        Raises:
            ValueError: no judged cell is without a deposit.

        """
        is_held = shares > 0
        height, width = ranks.below.shape
        rows, cols = np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)
        below, upto = ranks.below[rows, cols], ranks.upto[rows, cols]
        taken = np.unique((rows * width + cols)[is_held])
        rest = ranks.count - len(taken)
        if rest < 1:
            raise ValueError("no judged cell is without a deposit")
        # two cells have one score where equally many cells lie below them
        ordered = np.sort(ranks.below.ravel()[taken])
        lower = below - np.searchsorted(ordered, below, "left")
        same = upto - np.searchsorted(ordered, below, "right")
        placements = np.where(is_held, shares * (lower + same), 0).sum(axis=1) / (2 * rest)
        return cls(placements, 1 - upto / ranks.count, 1 - below / ranks.count, shares)

    def __len__(self) -> int:
        """Deposits."""
        return len(self.placements)

    def captured(self, area: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share (n, areas) of each deposit that lies in the best shares (areas,) of the ground."""
        found = np.zeros((len(self), len(area)))
        for starts, ends, shares in zip(self.starts.T, self.ends.T, self.shares.T, strict=True):
            # a cell beside judged ground has no share, and equal ends
            wide = np.where(ends > starts, ends - starts, 1.0)[:, None]
            found += shares[:, None] * np.clip((area - starts[:, None]) / wide, 0, 1)
        return found


def figures_of(answers: Answers) -> dict[str, float]:
    """Every figure of ``FIGURES`` over all deposits, of which there is at least one."""
    drawn = drawn_figures(answers, np.ones((1, len(answers))))
    return {name: float(values[0]) for name, values in drawn.items()}


def drawn_figures(answers: Answers, times: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Every figure (draws,) with each deposit counted so many times.

    The area under the ROC curve is the mean of the placements (Hanley and McNeil 1982).

    Args:
        answers: of the deposits.
        times: (draws, deposits), at least one deposit in every draw.

    """
    weights = times / times.sum(axis=1, keepdims=True)
    found = {"roc_auc": weights @ answers.placements}
    captured = answers.captured(np.array(TOP_SHARES))
    for name, column in zip(FIGURES[1 : 1 + len(TOP_SHARES)], captured.T, strict=True):
        found[name] = weights @ column
    area = crossings(answers, weights)
    found["pa_capture"] = 1 - area
    found["density"] = (1 - area) / area
    return found


def crossings(answers: Answers, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the area (draws,) at the intersection of the prediction-area plot.

    There the share of the deposits that is captured, and that of the ground that is left out, are equal; the
    quotient of captured share and area is the normalised density (Yousefi and Carranza 2015).

    Args:
        answers: of the deposits.
        weights: (draws, deposits), each row of sum 1.

    """
    is_held = answers.shares > 0
    starts, ends, shares = (each[is_held] for each in (answers.starts, answers.ends, answers.shares))
    of = np.nonzero(is_held)[0]
    # what is captured grows evenly between these, and turns steeper at each start and flatter at each end
    steeper = shares / (ends - starts)
    area, turns, of = (
        np.concatenate(parts) for parts in ((starts, ends, [1.0]), (steeper, -steeper, [0.0]), (of, of, [0]))
    )
    order = np.argsort(area, kind="stable")
    area, turns, of = area[order], turns[order], of[order]
    before = np.append(0.0, area[:-1])
    found = np.empty(len(weights))
    step = max(1, _AT_ONCE // len(area))
    for first in range(0, len(weights), step):
        part = weights[first : first + step]
        slopes = np.cumsum(part[:, of] * turns, axis=1)
        slopes = np.concatenate([np.zeros((len(part), 1)), slopes[:, :-1]], axis=1)
        # captured share less the ground left out: rises strictly from -1 to 1, so that it is 0 once
        over = np.cumsum(slopes * (area - before), axis=1) + area - 1
        at = np.argmax(over >= 0, axis=1)
        lines = np.arange(len(part))
        found[first : first + step] = area[at] - over[lines, at] / (slopes[lines, at] + 1)
    return found
