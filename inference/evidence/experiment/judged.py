"""Scores of all methods held against deposits, and on simulated ground against what else was planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.raster import Grid
from inference.evidence.evaluation.figures import Answers, Ranks
from inference.evidence.evaluation.judging import (
    GROUP_CELLS,
    Evaluation,
    EvaluationSettings,
    evaluate,
)
from inference.evidence.evaluation.placed import PlacedDeposits, place_deposits
from inference.evidence.evaluation.toroidal import SHIFTS
from inference.evidence.experiment.plan import LABELS, MAIN, PLAIN, SIMULATED
from inference.evidence.experiment.running import MethodScores
from inference.prospect.experiment.rows import mean_interval

SCORES = {"S": "prospectivity", "A": "anomaly"}
FIGURES = ("capture_1", "capture_5", "capture_10", "capture_20", "density")


@dataclass(frozen=True)
class PlantedPlaces:
    """Rows and columns (n, 2) of what is planted beside the ore, in cells of the grid, and the halos.

    Attributes:
        barren, decoys: cells of places with the geology alone, and with the halo alone.
        halo: (height, width) what all halos add to the logarithms.

    """

    barren: NDArray[np.int64]
    decoys: NDArray[np.int64]
    halo: NDArray[np.float32]


@dataclass(frozen=True)
class JudgedPart:
    """One part of the experiment, judged.

    Attributes:
        rows: a line for each method and score.
        differences: the full model minus each other, by score, in ROC-AUC.
        planted: on simulated ground, how often a deposit scores above a barren place and a decoy.
        evaluation: of the mean scores, for the figure.
        scores: (height, width) of the methods in the figure.
        counts: deposits, places, cells.

    """

    rows: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    planted: list[dict[str, Any]]
    evaluation: Evaluation
    scores: dict[str, NDArray[np.float64]]
    counts: dict[str, int]


def judge(
    part: str,
    grid: Grid,
    methods: Mapping[str, MethodScores],
    points: tuple[NDArray[np.float64], NDArray[np.float64]],
    others: Mapping[str, NDArray[np.float64]],
    planted: PlantedPlaces | None = None,
    *,
    shifts: int = SHIFTS,
) -> JudgedPart:
    """Rank the deposits by every method on the cells that all methods score.

    Args:
        part: which data.
        grid: of the scores.
        methods: what was scored.
        points: x and y (n,) of the deposits, in the CRS of the grid.
        others: further scores (height, width) that are judged alike: favourability, best layer in hindsight.
        planted: of simulated ground.
        shifts: toroidal shifts of the null.

    """
    mean_scores = {f"S {method}": each.mean_prospectivity.astype(float) for method, each in methods.items()}
    mean_scores |= {f"A {method}": each.mean_anomaly.astype(float) for method, each in methods.items()}
    mean_scores |= dict(others)
    is_judged = np.logical_and.reduce([np.isfinite(each) for each in mean_scores.values()])
    deposits = place_deposits(grid, *points)
    cell_m = max(grid.resolution_x, grid.resolution_y)
    settings = EvaluationSettings(GROUP_CELLS * cell_m, shifts=shifts)
    evaluation = evaluate(mean_scores, is_judged, deposits, settings)
    counted, groups = evaluation.deposits, evaluation.groups
    placed = {
        f"{score} {method}": _placements(getattr(each, name), is_judged, counted)
        for method, each in methods.items()
        for score, name in SCORES.items()
    }
    rows = []
    for key, of_seeds in placed.items():
        score, method = key.split(" ", 1)
        rows.append({**_row(part, score, method, evaluation, key), "roc_auc": _over_seeds(of_seeds, groups)})
    for key in others:
        found = evaluation.methods[key].figures["roc_auc"]
        area: dict[str, Any] = {
            "mean": found.value,
            "spread": None,
            "low": found.low,
            "high": found.high,
            "seeds": [],
        }
        rows.append({**_row(part, "", key, evaluation, key), "roc_auc": area})
    differences = [
        _difference(part, score, method, score, placed, groups)
        for score in SCORES
        for method in methods
        if method != MAIN
    ]
    # what a plain answer is without any geology stands against all that the network can do
    differences += [
        _difference(part, "S", method, "A", placed, groups) for method in PLAIN if method in methods
    ]
    told = [] if planted is None else _against_planted(methods, planted, is_judged, counted, groups)
    figure = {method: mean_scores[f"S {method}"] for method in methods}
    counts = {"deposits": len(counted), "places": evaluation.places, "cells": evaluation.cells}
    return JudgedPart(rows, differences, told, evaluation, figure, counts)


def _difference(
    part: str,
    score: str,
    method: str,
    of_method: str,
    placed: Mapping[str, NDArray[np.float64]],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    """A score of the full model minus that of a method, in ROC-AUC, on the same deposits."""
    apart = placed[f"{score} {MAIN}"].mean(axis=0) - placed[f"{of_method} {method}"].mean(axis=0)
    about = {"data": part, "score": score, "minus": method, "minus_score": of_method}
    return {**about, **mean_interval(apart, groups)}


def _row(part: str, score: str, method: str, evaluation: Evaluation, key: str) -> dict[str, Any]:
    figures = evaluation.methods[key].figures
    told = {
        name: {"value": figures[name].value, "low": figures[name].low, "high": figures[name].high}
        for name in FIGURES
    }
    label = LABELS.get(method, method)
    return {
        "data": part, "method": method, "label": label, "score": score, **told,
        "null_p": figures["roc_auc"].null_p,
    }  # fmt: skip


def _placements(
    scores: NDArray[np.float32], is_judged: NDArray[np.bool_], counted: PlacedDeposits
) -> NDArray[np.float64]:
    """Placements (seeds, deposits)."""
    found = []
    for each in scores:
        ranks = Ranks.of(each.astype(np.float64), is_judged)
        found.append(Answers.of(ranks, counted.rows, counted.cols, counted.shares).placements)
    return np.array(found)


def _over_seeds(placed: NDArray[np.float64], groups: NDArray[np.int64]) -> dict[str, Any]:
    """ROC-AUC: mean and deviation over the seeds, and the interval when deposits are drawn anew."""
    areas = placed.mean(axis=1)
    ends = mean_interval(placed.mean(axis=0), groups)
    spread = float(areas.std(ddof=1)) if len(areas) > 1 else None
    return {
        "mean": float(areas.mean()), "spread": spread, "low": ends["low"], "high": ends["high"],
        "seeds": areas.tolist(),
    }  # fmt: skip


def _against_planted(
    methods: Mapping[str, MethodScores],
    planted: PlantedPlaces,
    is_judged: NDArray[np.bool_],
    counted: PlacedDeposits,
    groups: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """How often a deposit scores above barren places and above decoys, by method; equals count half."""
    rows = []
    for method, each in methods.items():
        for score, name in SCORES.items():
            for against, cells in (("barren", planted.barren), ("decoys", planted.decoys)):
                if not is_judged[cells[:, 0], cells[:, 1]].any():
                    continue
                of_seeds = [_above(scores, is_judged, counted, cells) for scores in getattr(each, name)]
                found = mean_interval(np.mean(of_seeds, axis=0), groups)
                rows.append(
                    {"data": SIMULATED, "method": method, "score": score, "against": against, **found}
                )
    return rows


def _above(
    scores: NDArray[np.float32],
    is_judged: NDArray[np.bool_],
    counted: PlacedDeposits,
    cells: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Share (deposits,) of some cells that score lower than each deposit."""
    known = cells[is_judged[cells[:, 0], cells[:, 1]]]
    rest = np.sort(scores[known[:, 0], known[:, 1]].astype(np.float64))
    rows = np.clip(counted.rows, 0, scores.shape[0] - 1)
    cols = np.clip(counted.cols, 0, scores.shape[1] - 1)
    held = np.where(counted.shares > 0, scores[rows, cols].astype(np.float64), 0.0)
    low, high = np.searchsorted(rest, held, "left"), np.searchsorted(rest, held, "right")
    above: NDArray[np.float64] = ((low + high) / (2 * len(rest)) * counted.shares).sum(axis=1)
    return above
