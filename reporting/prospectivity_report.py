"""Everything that the report of a search without deposits states, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import Connection

from db.prospect_evaluations import StoredEvaluation, latest_evaluation
from db.reports import page_rows, prospectivity, prospects
from db.reports.prospects import CellFacts, SearchHead
from db.reports.report import Report, Row
from reporting.prospect_report import ProspectReport, data_of, number, table_of

SCORES = ("prospectivity", "anomaly", "favourability")
"""Scores of the search, the one that counts first."""
FIGURES = ("roc_auc", "capture_1", "capture_5", "capture_10", "capture_20", "pa_capture", "density")
PLAIN = ("mahalanobis", "single_layer")
"""Plain answers that were chosen without the deposits."""
ABOVE, NOT_ABOVE = "above", "NOT above"
"""Verdicts as they are stored; the third is ``not shown to be above``."""
MINUS = "_minus_"
"""Between a figure and the method it is compared with."""
CHANCE_P = 0.05
"""Shifted deposits that do as well more often than this: chance explains the figure."""


@dataclass(frozen=True)
class ProspectivityReport(ProspectReport):
    """A search without deposits and its tables.

    Attributes:
        evaluation: the last one that was made; None: nobody made any.

    """

    evaluation: StoredEvaluation | None

    @cached_property
    def scored(self) -> dict[tuple[str, str], Row]:
        """Figures by score and name."""
        return {(row["score"], row["figure"]): row for row in self.rows("figures")}

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Whether prospectivity ranks deposits higher than each rival, in the order of the evaluation."""
        rows = self.rows("differences")
        return {row["method"]: row["verdict"] for row in rows if row["verdict"] is not None}

    @property
    def unbeaten(self) -> list[str]:
        """Plain answers that the search is not shown to beat, those that it does not beat first."""
        found = [name for name in PLAIN if self.verdicts.get(name, ABOVE) != ABOVE]
        return sorted(found, key=lambda name: self.verdicts[name] != NOT_ABOVE)

    @property
    def lacking(self) -> list[str]:
        """Plain answers that the evaluation could not give."""
        return [] if self.evaluation is None else [name for name in PLAIN if name not in self.verdicts]

    @property
    def is_chance(self) -> bool:
        """Whether shifted deposits do as well too often."""
        found = self.scored.get((SCORES[0], "roc_auc"))
        return found is not None and found["null_p"] is not None and found["null_p"] > CHANCE_P

    def method(self, name: str) -> Mapping[str, Any]:
        """What is stored of a rival."""
        stored = {} if self.evaluation is None else self.evaluation.parameters.get("methods") or {}
        return dict(stored.get(name) or {})

    def difference(self, rival: str) -> Row | None:
        """Area under the ROC curve of prospectivity minus that of a rival."""
        rows = ((row["method"], row["figure"], row) for row in self.rows("differences"))
        return next((row for method, figure, row in rows if (method, figure) == (rival, "roc_auc")), None)


def gather_prospectivity(conn: Connection[Any], head: SearchHead, limit: int) -> ProspectivityReport:
    """Read the report of a search without deposits; see `reporting.prospect_report.gather_search`.

    Its tables: ``targets``; ``search``, one row; ``figures`` of the last evaluation, with intervals and how
    often chance does as well; ``differences`` of prospectivity to plain answers and other searches;
    ``reasons`` why the best cell of each target scores; ``system``, what the mineral system weighs;
    ``training``, a row for each seed; ``channels``; ``warnings``.
    """
    cells = prospects.cell_facts(conn, head.search)
    evaluation = latest_evaluation(conn, head.search)
    tables = {
        "targets": prospectivity.target_rows(conn, head, limit),
        "search": _search(head, cells, evaluation),
        "figures": table_of(("score", "figure", "value", "low", "high", "null_p"), _figures(evaluation)),
        "differences": table_of(
            ("method", "figure", "value", "low", "high", "verdict"), _differences(evaluation)
        ),
        "reasons": prospectivity.reason_rows(conn, head, limit),
        "system": table_of(("part", "name", "weight", "range_m", "about"), _system(head.training)),
        "training": table_of(("seed", "validation_loss"), _training(head)),
        "channels": table_of(("channel", "kind", "element", "unit", "transform"), _channels(head)),
        "warnings": table_of(("about", "warning"), _warnings(head)),
    }
    evidence = prospects.target_evidence(conn, head, limit)
    facts = page_rows.database_facts(conn)
    return ProspectivityReport(head, cells, facts, tables, evidence, limit, evaluation)


def _search(head: SearchHead, cells: CellFacts, evaluation: StoredEvaluation | None) -> Report:
    figures = head.figures
    row: dict[str, Any] = {
        "search": head.search,
        "status": head.status,
        "ground": head.ground,
        "ground_kind": head.ground_kind,
        "model": head.model,
        "method": head.architecture,
        "model_sha256": head.model_sha256,
        "trained_on": head.training.get("area"),
        "mineral_system": _system_of(head.training).get("name"),
        "seeds": ", ".join(str(seed) for seed, _loss in _training(head)),
        "data": data_of(head),
        "threshold_prospectivity": head.threshold,
        "cell_m": head.cell_m,
        "cells": cells.cells,
        "cells_above_threshold": cells.above,
        "above_threshold_share": cells.above_share,
        "mean_prospectivity": cells.mean_probability,
        "highest_prospectivity": cells.highest_probability,
        "geology_digest": head.parameters.get("geology_digest"),
        "targets": figures.get("targets"),
        "targets_found": figures.get("targets_found"),
        "target_area_m2": number(figures.get("target_area_m2")),
        "deposits_evaluated": None if evaluation is None else len(evaluation.deposit_ids),
        "evaluated_at": None if evaluation is None else evaluation.evaluated_at,
        "published_by": head.published_by,
        "published_at": head.published_at,
        "withdrawn_by": head.withdrawn_by,
        "withdrawn_at": head.withdrawn_at,
        "withdrawn_reason": head.withdrawn_reason,
    }
    return Report(tuple(row), [tuple(row.values())])


def _figures(evaluation: StoredEvaluation | None) -> Iterator[tuple[Any, ...]]:
    for each in () if evaluation is None else evaluation.figures:
        if MINUS not in each.figure:
            yield each.score, each.figure, each.value, each.low, each.high, each.null_p


def _differences(evaluation: StoredEvaluation | None) -> Iterator[tuple[Any, ...]]:
    verdicts = {} if evaluation is None else evaluation.parameters.get("verdicts") or {}
    for each in () if evaluation is None else evaluation.figures:
        figure, sign, rival = each.figure.partition(MINUS)
        if sign and each.score == SCORES[0]:
            # verdicts go by one figure
            verdict = verdicts.get(rival) if figure == "roc_auc" else None
            yield rival, figure, each.value, each.low, each.high, verdict


def _system_of(training: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = training.get("system") or {}
    return found


def _system(training: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    system = _system_of(training)
    elements = system.get("elements") or {}
    # the database does not keep the order of keys
    for element, weight in sorted(elements.items(), key=lambda each: (-each[1], each[0])):
        yield "element", element, number(weight), None, None
    for rule in system.get("geology") or []:
        about = ", ".join([*filter(None, [rule.get("name")]), *(rule.get("match") or [])]) or None
        yield (
            *("geology", rule.get("feature"), number(rule.get("weight")), number(rule.get("range_m"))),
            about,
        )


def _training(head: SearchHead) -> Iterator[tuple[int, float | None]]:
    losses = (head.metrics.get("validation_loss") or {}).get("by_seed") or {}
    for seed in head.training.get("seeds") or sorted(map(int, losses)):
        yield int(seed), number(losses.get(str(seed)))


def _channels(head: SearchHead) -> Iterator[tuple[Any, ...]]:
    names = ("name", "kind", "element", "unit", "transform")
    for channel in head.training.get("channels") or head.parameters.get("channels") or []:
        yield tuple(channel.get(name) for name in names)


def _warnings(head: SearchHead) -> Iterator[tuple[str, str]]:
    for about, source in (("ground", head.figures), ("training", head.training)):
        for key in ("warnings", "notes"):
            for warning in source.get(key) or []:
                yield about, str(warning)
