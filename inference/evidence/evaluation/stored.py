"""Evaluations as rows of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from db.prospect_evaluations import NewEvaluation, NewFigure
from inference.evidence.evaluation.judging import Evaluation
from inference.evidence.evaluation.plain import PlainAnswer

SCORES = ("prospectivity", "anomaly", "favourability")
"""Scores of a search that are held against deposits, the one that counts first."""
MINUS = "_minus_"
"""Between a figure and the method that it was compared with."""


def new_evaluation(
    evaluation: Evaluation,
    run_id: int,
    deposit_rule: str,
    *,
    off_grid: int,
    plain: Sequence[PlainAnswer],
    searches: Mapping[str, Mapping[str, Any]],
) -> NewEvaluation:
    """The rows of an evaluation of a search.

    Args:
        evaluation: of its scores, of plain answers, and of other searches.
        run_id: the search.
        deposit_rule: which deposits, as it was asked.
        off_grid: how many of them lie outside of the grid.
        plain: the plain answers among the methods.
        searches: other searches among the methods: ``run`` and ``model`` by the method's name.

    """
    main = SCORES[0]
    rivals = [name for name in evaluation.methods if name not in SCORES]
    told = {
        each.key: {"note": each.note, "layer": each.layer, "is_hindsight": each.is_hindsight}
        for each in plain
    }
    parameters = {
        **evaluation.settings.as_json(),
        "shifted": evaluation.shifted,
        "places": evaluation.places,
        "cells": evaluation.cells,
        "off_grid": off_grid,
        "methods": {**told, **{name: dict(each) for name, each in searches.items()}},
        "verdicts": {name: evaluation.verdict(main, name) for name in rivals},
    }
    return NewEvaluation(
        prospect_run_id=run_id,
        deposit_rule=deposit_rule,
        deposit_ids=evaluation.deposits.ids,
        outside=evaluation.unjudged,
        parameters=parameters,
        curves={name: method.curves.as_json() for name, method in evaluation.methods.items()},
        figures=list(_figures(evaluation, main, rivals)),
    )


def _figures(evaluation: Evaluation, main: str, rivals: Sequence[str]) -> Iterator[NewFigure]:
    for name, method in evaluation.methods.items():
        for key, each in method.figures.items():
            yield NewFigure(name, key, each.value, each.low, each.high, each.null_p)
    for rival in rivals:
        for key, apart in evaluation.difference(main, rival).items():
            yield NewFigure(main, f"{key}{MINUS}{rival}", apart.value, apart.low, apart.high, None)
