"""Scores of several methods held against the same deposits on the same cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.evaluation.curves import Curves
from inference.evidence.evaluation.figures import FIGURES, Answers, Ranks, drawn_figures, figures_of
from inference.evidence.evaluation.placed import PlacedDeposits
from inference.evidence.evaluation.toroidal import LEAST_KEPT, SHIFTS, null_figures, null_p, toroidal_shifts
from inference.prospect.experiment.survey import overlap_groups
from inference.prospect.figures import LEVEL, RESAMPLES
from inference.prospect.ore_blocks import LEAST_BLOCKS, ends_of

ABOVE, NOT_ABOVE, NOT_SHOWN = "above", "NOT above", "not shown to be above"
"""Verdicts on a difference: the interval lies above 0; the value does not; the interval does not tell."""
DECIDING = "roc_auc"
"""The figure that verdicts go by."""
GROUP_CELLS = 5
"""Surroundings of a deposit, cells across, where nobody says otherwise."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How scores are held against deposits; stored with the result.

    Attributes:
        group_distance_m: deposits nearer to each other than this, east-west and north-south, are drawn
            together, and so is a chain of them.
        resamples: draws of an interval.
        level: share of the draws inside it.
        shifts: toroidal shifts of the null.
        least_kept: share of the deposits that a shift must leave on judged ground.
        seed: of all draws.

    """

    group_distance_m: float
    resamples: int = RESAMPLES
    level: float = LEVEL
    shifts: int = SHIFTS
    least_kept: float = LEAST_KEPT
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the database."""
        return asdict(self)


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        value: over all deposits.
        low, high: ends of its interval when groups of deposits are drawn anew; None with fewer than
            `LEAST_BLOCKS` groups.
        null_p: share of toroidal shifts that come out as high, itself counted; None where nothing was
            shifted.

    """

    value: float
    low: float | None
    high: float | None
    null_p: float | None = None


@dataclass(frozen=True)
class Difference:
    """A figure of one method minus that of another on the same deposits; ends as of `Figure`."""

    value: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """Whether the first method is shown to be better, see ``ABOVE``."""
        if self.value <= 0:
            return NOT_ABOVE
        return ABOVE if self.low is not None and self.low > 0 else NOT_SHOWN


@dataclass(frozen=True)
class MethodEvaluation:
    """What one method's scores are worth.

    Attributes:
        figures: by name, see ``FIGURES``.
        drawn: (resamples,) of each figure; all methods of an evaluation have the same draws.
        placements: (deposits,) share of the ground that scores lower than each deposit.
        curves: to be drawn.

    """

    figures: Mapping[str, Figure]
    drawn: Mapping[str, NDArray[np.float64]]
    placements: NDArray[np.float64]
    curves: Curves


@dataclass(frozen=True)
class Evaluation:
    """Methods on the same cells and deposits.

    Attributes:
        methods: by name, in the order they were given.
        deposits: that were counted, on judged cells.
        groups: (deposits,) number of the group that each is drawn with.
        unjudged: deposits within the grid, but not on judged cells.
        cells: that were judged.
        shifted: toroidal shifts that were made.
        settings: how.

    """

    methods: Mapping[str, MethodEvaluation]
    deposits: PlacedDeposits
    groups: NDArray[np.int64]
    unjudged: int
    cells: int
    shifted: int
    settings: EvaluationSettings

    @property
    def places(self) -> int:
        """Groups of deposits."""
        return len(np.unique(self.groups))

    def difference(self, first: str, second: str) -> dict[str, Difference]:
        """Every figure of a method minus that of another, with the same deposits drawn for both."""
        one, other = self.methods[first], self.methods[second]
        found = {}
        for name in FIGURES:
            ends = ends_of(one.drawn[name] - other.drawn[name], self.places, self.settings.level)
            found[name] = Difference(one.figures[name].value - other.figures[name].value, *ends)
        return found

    def verdict(self, first: str, second: str) -> str:
        """Whether a method is shown to rank deposits higher than another."""
        return self.difference(first, second)[DECIDING].verdict


def evaluate(
    methods: Mapping[str, NDArray[np.floating]],
    is_judged: NDArray[np.bool_],
    deposits: PlacedDeposits,
    settings: EvaluationSettings,
) -> Evaluation:
    """Hold the scores of methods against deposits.

    Args:
        methods: scores (height, width) by name, higher where ore is likelier; not finite where nothing is
            said. All are ranked on the cells where all of them say something.
        is_judged: (height, width) ground that counts.
        deposits: within the grid, see `place_deposits`.
        settings: how.

    Raises:
        UsageError: no cell has a score of every method, none of the deposits lies on judged ground, or they
            take all of it.

    """
    judged = is_judged.copy()
    for scores in methods.values():
        judged &= np.isfinite(scores)
    if not judged.any():
        raise UsageError(
            f"no judged cell has a score of all of {', '.join(methods)}: compare searches of the same ground"
        )
    counted = deposits.judged(judged)
    if len(counted) == 0:
        raise UsageError(
            f"none of the {len(deposits)} deposits within the grid lies on judged ground with scores: "
            "choose other deposits, or search the ground they lie on"
        )
    groups = overlap_groups(counted.x, counted.y, settings.group_distance_m)
    times = _draws(groups, settings)
    shifted = toroidal_shifts(
        counted, judged, shifts=settings.shifts, least_kept=settings.least_kept, seed=settings.seed
    )
    found = {}
    for name, scores in methods.items():
        ranks = Ranks.of(scores, judged)
        try:
            answers = Answers.of(ranks, counted.rows, counted.cols, counted.shares)
        except ValueError as error:
            raise UsageError(
                f"the {len(counted)} deposits lie on all {ranks.count} judged cells: there is no ground to "
                "hold them against"
            ) from error
        drawn, null = drawn_figures(answers, times), null_figures(ranks, shifted)
        places = len(np.unique(groups))
        figures = {
            key: Figure(value, *ends_of(drawn[key], places, settings.level), null_p(value, null[key]))
            for key, value in figures_of(answers).items()
        }
        found[name] = MethodEvaluation(figures, drawn, answers.placements, Curves.of(answers, scores[judged]))
    unjudged = len(deposits) - len(counted)
    return Evaluation(found, counted, groups, unjudged, int(judged.sum()), len(shifted), settings)


def too_few_places(places: int) -> str | None:
    """Why there are no intervals; None: there are places enough."""
    if places >= LEAST_BLOCKS:
        return None
    return f"no intervals: the deposits lie in {places} place{'' if places == 1 else 's'} only"


def _draws(groups: NDArray[np.int64], settings: EvaluationSettings) -> NDArray[np.float64]:
    """How often (resamples, deposits) each deposit is drawn when whole groups are."""
    keys, numbers = np.unique(groups, return_inverse=True)
    count = len(keys)
    drawn = np.random.default_rng(settings.seed).integers(count, size=(settings.resamples, count))
    places = drawn + np.arange(settings.resamples)[:, None] * count
    times = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)
    found: NDArray[np.float64] = times[:, numbers].astype(np.float64)
    return found
