"""A published search held against the deposits of the database, and stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.errors import UsageError
from db.prospect_evaluations import EvaluatedSearch, find_evaluated, insert_evaluation
from db.prospect_sets import Deposit, read_deposits
from db.raster import Grid, RasterReader
from inference.evidence.evaluation.judging import (
    GROUP_CELLS,
    Evaluation,
    EvaluationSettings,
    evaluate,
    too_few_places,
)
from inference.evidence.evaluation.placed import PlacedDeposits, place_deposits
from inference.evidence.evaluation.plain import PlainAnswer, plain_answers
from inference.evidence.evaluation.stored import SCORES, new_evaluation
from inference.evidence.evaluation.trained_ground import evidence_of
from inference.evidence.types import Report, silent
from inference.prospect.deposits import choose_deposits, projected


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be evaluated.

    Attributes:
        run_id: the search; None: the one published last of those that stand.
        deposits: pairs of column and value that choose deposits; none: all.
        compare: other searches of the same ground.
        group_distance_m: see `EvaluationSettings`; None: five cells.
        seed: of all draws.

    """

    run_id: int | None = None
    deposits: tuple[tuple[str, str], ...] = ()
    compare: tuple[int, ...] = ()
    group_distance_m: float | None = None
    seed: int = 0

    @property
    def rule(self) -> str:
        """Which deposits, in words of the command line."""
        return " ".join(f"{column}={value}" for column, value in self.deposits) or "all"


@dataclass(frozen=True)
class SearchEvaluation:
    """What came out.

    Attributes:
        evaluation_id: its key.
        search: that was evaluated.
        evaluation: the figures.
        plain: the plain answers it was held against.
        off_grid: deposits outside of the grid.
        grid: of the scores.
        scores: (height, width) of every method, by name.

    """

    evaluation_id: int
    search: EvaluatedSearch
    evaluation: Evaluation
    plain: tuple[PlainAnswer, ...]
    off_grid: int
    grid: Grid
    scores: dict[str, NDArray[np.float64]]


def evaluate_search(
    conn: Connection[Any], request: EvaluationRequest, report: Report = silent
) -> SearchEvaluation:
    """Hold the scores of a search against deposits and store the figures in the caller's transaction.

    Plain answers are made of the evidence that the model works on, and ranked on the same cells.

    Raises:
        UsageError: no such search; no such deposits, or none on its ground; a search of other ground.

    """
    search = find_evaluated(conn, request.run_id)
    grid, scores = _scores(conn, search)
    is_judged = np.isfinite(scores[SCORES[0]])
    others: dict[str, dict[str, Any]] = {}
    compared: dict[str, NDArray[np.float64]] = {}
    for run_id in dict.fromkeys(request.compare):
        if run_id == search.prospect_run_id:
            raise UsageError(f"--compare {run_id}: that is the search which is evaluated; name another")
        other = find_evaluated(conn, run_id)
        other_grid, other_scores = _scores(conn, other)
        if other_grid != grid:
            raise UsageError(
                f"search {run_id} is of {other.area} on another grid than search {search.prospect_run_id} of "
                f"{search.area}: compare searches of one study area"
            )
        name = f"search {run_id}"
        compared[name] = other_scores[SCORES[0]]
        is_judged &= np.isfinite(compared[name])
        others[name] = {"run": run_id, "model": other.model, "architecture": other.architecture}
    chosen = choose_deposits(read_deposits(conn), request.deposits)
    deposits = _placed(chosen, grid)
    off_grid = len(chosen) - len(deposits)
    if not deposits.judged(is_judged):
        raise UsageError(
            f"none of the {len(chosen)} deposits lies on the scored ground of {search.area}: {off_grid} lie "
            f"outside of its grid and {len(deposits)} within it on ground without a score. Choose other "
            "deposits with --deposits, or search the ground they lie on"
        )
    report("making the plain answers ...")
    ground, system = evidence_of(conn, search, report)
    if ground.grid != grid:
        raise UsageError(
            f"study area {search.area} has another grid than search {search.prospect_run_id}: it was made "
            "anew since; search it again with `lode prospect apply`"
        )
    plain = plain_answers(ground, system, is_judged, deposits, report)
    scores |= {answer.key: answer.scores for answer in plain} | compared
    cell_m = max(grid.resolution_x, grid.resolution_y)
    distance_m = GROUP_CELLS * cell_m if request.group_distance_m is None else request.group_distance_m
    report(f"ranking {len(deposits)} deposits by {len(scores)} scores ...")
    found = evaluate(scores, is_judged, deposits, EvaluationSettings(distance_m, seed=request.seed))
    new = new_evaluation(
        found, search.prospect_run_id, request.rule, off_grid=off_grid, plain=plain, searches=others
    )
    key = insert_evaluation(conn, new)
    return SearchEvaluation(key, search, found, tuple(plain), off_grid, grid, scores)


def evaluation_lines(found: SearchEvaluation) -> Iterator[str]:
    """What came out, in lines, the verdicts first."""
    search, evaluation = found.search, found.evaluation
    main = SCORES[0]
    for name in evaluation.methods:
        if name not in SCORES:
            yield verdict_line(evaluation, main, name, name_of(name, found.plain))
    counted = len(evaluation.deposits)
    yield (
        f"search {search.prospect_run_id} of {search.area} by {search.model}: {counted} deposits in "
        f"{evaluation.places} places on {evaluation.cells:,} cells; {evaluation.unjudged} more lie within "
        f"the grid on ground without a score, {found.off_grid} outside of the grid"
    )
    few = too_few_places(evaluation.places)
    if few is not None:
        yield few
    for name, method in evaluation.methods.items():
        area, best, density = (method.figures[key] for key in ("roc_auc", "capture_10", "density"))
        ends = "" if area.low is None else f" ({area.low:.3f} to {area.high:.3f})"
        null = "" if area.null_p is None else f", p {area.null_p:.3f} among shifts"
        yield (
            f"{name_of(name, found.plain)}: area under ROC {area.value:.3f}{ends}{null}; "
            f"{100 * best.value:.0f} % of the deposits in the best 10 %; normalised density "
            f"{density.value:.2f}"
        )
    yield f"stored as evaluation {found.evaluation_id} (lode_api.prospect_evaluation)"


def verdict_line(evaluation: Evaluation, first: str, second: str, called: str) -> str:
    """Whether a score ranks deposits higher than a rival, with the difference."""
    apart = evaluation.difference(first, second)["roc_auc"]
    ends = "" if apart.low is None else f", interval {apart.low:+.3f} to {apart.high:+.3f}"
    return f"{first} is {apart.verdict} {called} ({apart.value:+.3f}{ends})"


def name_of(method: str, plain: Sequence[PlainAnswer]) -> str:
    """A method as people call it."""
    said = {
        "mahalanobis": "Mahalanobis distance",
        "single_layer": "the single layer",
        "best_layer": "the best layer in hindsight",
    }
    notes = (f" [{answer.note}]" for answer in plain if answer.key == method and "layer" in method)
    note = next(notes, "")
    return said.get(method, method) + note


def _scores(conn: Connection[Any], search: EvaluatedSearch) -> tuple[Grid, dict[str, NDArray[np.float64]]]:
    """Scores of a search (height, width) by name, NaN where there is none."""
    lacking = [name for name in SCORES if name not in search.band_names]
    if lacking:
        raise UsageError(
            f"the raster of search {search.prospect_run_id} has no band {', '.join(lacking)}: publish it "
            "anew with `lode prospect apply --again`"
        )
    reader = RasterReader(conn, search.tile_table)
    bands = [search.band_names.index(name) + 1 for name in SCORES]
    grid = reader.grid
    values = reader.read(0, 0, grid.height_px, grid.width_px, bands=bands, fill=float("nan"))
    return grid, {name: band.astype(np.float64) for name, band in zip(SCORES, values, strict=True)}


def _placed(deposits: Sequence[Deposit], grid: Grid) -> PlacedDeposits:
    """Deposits within the extent of a grid; the point stands for those with an outline."""
    points = projected([replace(deposit, body=None) for deposit in deposits], grid.srid)
    x = np.array([np.nan if point is None else point.x for point in points])
    y = np.array([np.nan if point is None else point.y for point in points])
    return place_deposits(grid, x, y, [deposit.deposit_id for deposit in deposits])
