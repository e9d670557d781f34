"""Everything that the report of a search for ore states, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from psycopg import Connection

from db.reports import page_rows, prospects
from db.reports.page_rows import DatabaseFacts
from db.reports.prospectivity import PROSPECTIVITY
from db.reports.prospects import CellFacts, SearchHead
from db.reports.report import Report, Row
from reporting.invocation import report_command
from reporting.rows import fingerprint

FIGURES = (
    "balanced_accuracy",
    "roc_auc",
    "pr_auc",
    "precision",
    "recall",
    "f1",
    "macro_f1",
    "accuracy",
)
"""Figures of the test part in the order of a report, the telling ones first."""
PARTS = ("train", "validation", "test")
MADE_UP = ("simulated", "implanted")
"""What data may be called beside ``real``."""
THE_MODEL = "model"
"""Name of the network itself among those that answered."""
MAJORITY = "majority"
FEW_BLOCKS = 10
"""With ore, or barren ground, in fewer test blocks intervals are narrower than the truth."""
LEAST_BLOCKS = 5
"""With ore, or barren ground, in fewer test blocks there are no intervals, also none that are stored."""
GUESSING = 0.5
"""Area under the ROC curve of whoever guesses."""


@dataclass(frozen=True)
class ProspectReport:
    """A search and its tables, by the names that ``--table`` takes.

    Attributes:
        head: the search and its network.
        cells: how probable its cells are.
        facts: the database.
        tables: see `gather_search`.
        evidence: what speaks for each target, by rank.
        limit: how many targets were asked for.

    """

    head: SearchHead
    cells: CellFacts
    facts: DatabaseFacts
    tables: dict[str, Report]
    evidence: dict[int, list[dict[str, Any]]]
    limit: int

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        return fingerprint(self.tables)

    def rows(self, table: str) -> list[Row]:
        """Rows of a table by column name."""
        return self.tables[table].dicts()

    @cached_property
    def search(self) -> Row:
        """The facts of the search."""
        return self.rows("search")[0]

    def command_for(self, table: str) -> str:
        """The command that prints all of a table."""
        words = ["prospect", "--run", str(self.head.search)]
        return report_command([*words, "--targets", str(self.target_count)], table)

    @property
    def target_count(self) -> int:
        """Targets that the search has, shown or not."""
        return int(self.head.figures.get("targets") or len(self.tables["targets"].rows))

    @property
    def is_withdrawn(self) -> bool:
        """Whether somebody said that the search counts no more."""
        return self.head.status == "withdrawn"

    @property
    def is_superseded(self) -> bool:
        """Whether it is of a version of its scene that counts no more."""
        return self.head.status == "superseded"

    @property
    def stands(self) -> bool:
        """Whether views and maps show the search."""
        return not (self.is_withdrawn or self.is_superseded)

    @property
    def is_home(self) -> bool:
        """Whether the ground is that of the training, which the network has seen in part."""
        return self.head.training.get("ground") == self.head.ground

    @property
    def is_other_geology(self) -> bool:
        """Whether the ground is that of the training and its geology, or its grid, is not."""
        searched, learned = (
            each.get("geology_digest") for each in (self.head.parameters, self.head.training)
        )
        return self.is_home and None not in (searched, learned) and searched != learned

    @property
    def data(self) -> str | None:
        """Where the model's data come from: simulated, implanted or real; None: nobody recorded it."""
        return data_of(self.head)

    @property
    def distance(self) -> float | None:
        """How far the features of the ground lie from those of training, 1 at home; None: not stored."""
        return number((self.head.figures.get("shift") or {}).get("distance"))

    @cached_property
    def test_blocks(self) -> dict[str, int | None]:
        """Blocks of the test part: ``all``, with ``ore``, with ``barren`` patches; None: not stored."""
        return _test_blocks(self.head.metrics)

    @property
    def has_intervals(self) -> bool:
        """Whether any figure of the network has an interval."""
        return any(row["low"] is not None for row in self.rows("figures") if row["answer"] == THE_MODEL)

    @property
    def verdict(self) -> str | None:
        """What must be said of the figures: untold, one_class, few_places, worse, guessing or None.

        Worse: than guessing. Few places: ore, or barren ground, lies in too few test blocks for an interval.
        """
        roc = self.figure("roc_auc")
        if roc is None:
            return "untold"
        if roc["value"] is None:
            return "one_class"
        if _has_few_places(self.head.metrics):
            return "few_places"
        if roc["high"] is not None and roc["high"] < GUESSING:
            return "worse"
        return "guessing" if roc["low"] is None or roc["low"] <= GUESSING else None

    def figure(self, name: str, answer: str = THE_MODEL) -> Row | None:
        """A figure of the test part with its interval; None where it is not stored."""
        rows = {(row["answer"], row["figure"]): row for row in self.rows("figures")}
        return rows.get((answer, name))


def gather_search(conn: Connection[Any], run_id: int | None, limit: int) -> ProspectReport:
    """Read the report of a search in one transaction, so that its numbers fit each other.

    Its tables: ``targets``; ``search``, one row; ``figures`` of the test part, of the network and of the
    plain answers that are stored beside it; ``confusion``; ``patches`` by part; ``importance``, where it is
    stored; ``channels`` with how far the ground lies from that of training; ``warnings``. Of a search that
    was made without deposits they are others, see `reporting.prospectivity_report.gather_prospectivity`.

    Args:
        conn: connection.
        run_id: the search, also a withdrawn one; None: the one that was published last, of those that stand.
        limit: how many targets.

    Raises:
        UsageError: no such search, or none that stands.

    """
    head = prospects.find_search(conn, run_id)
    if head.score_kind == PROSPECTIVITY:
        from reporting.prospectivity_report import gather_prospectivity

        return gather_prospectivity(conn, head, limit)
    cells = prospects.cell_facts(conn, head.search)
    tables = {
        "targets": prospects.target_rows(conn, head, limit),
        "search": _search(head, cells),
        "figures": table_of(("answer", "figure", "value", "low", "high"), _figures(head.metrics)),
        "confusion": table_of(("truth", "answer", "patches"), _confusion(head.metrics)),
        "patches": table_of(("part", "ore", "barren", "blocks"), _patches(head.training)),
        "importance": _importance(head),
        "channels": _channels(head),
        "warnings": table_of(("about", "warning"), _warnings(head)),
    }
    evidence = prospects.target_evidence(conn, head, limit)
    facts = page_rows.database_facts(conn)
    return ProspectReport(head, cells, facts, tables, evidence, limit)


def as_facts(report: Report) -> Report:
    """A table of one row as facts below each other, for a terminal."""
    [row] = report.rows
    return Report(
        ("fact", "said"), [(name, _said(value)) for name, value in zip(report.columns, row, strict=True)]
    )


def _search(head: SearchHead, cells: CellFacts) -> Report:
    figures = head.figures
    row: dict[str, Any] = {
        "search": head.search,
        "status": head.status,
        "ground": head.ground,
        "ground_kind": head.ground_kind,
        "model": head.model,
        "architecture": head.architecture,
        "model_sha256": head.model_sha256,
        "trained_on": head.training.get("ground"),
        "set_name": head.training.get("set"),
        "data": data_of(head),
        "threshold_probability": head.threshold,
        "cell_m": head.cell_m,
        "cells": cells.cells,
        "cells_above_threshold": cells.above,
        "above_threshold_share": cells.above_share,
        "mean_probability": cells.mean_probability,
        "highest_probability": cells.highest_probability,
        "geology_digest": head.parameters.get("geology_digest"),
        "judged_share": number(figures.get("judged_share")),
        "targets": figures.get("targets"),
        "targets_found": figures.get("targets_found"),
        "target_area_m2": number(figures.get("target_area_m2")),
        "feature_distance": number((figures.get("shift") or {}).get("distance")),
        "published_by": head.published_by,
        "published_at": head.published_at,
        "withdrawn_by": head.withdrawn_by,
        "withdrawn_at": head.withdrawn_at,
        "withdrawn_reason": head.withdrawn_reason,
    }
    return Report(tuple(row), [tuple(row.values())])


def data_of(head: SearchHead) -> str | None:
    """Where a model's data come from; None: nobody recorded it."""
    # If the model's or the set's are made up, then so is what was learned.
    said = [source.get("data") for source in (head.training, head.set_parameters or {})]
    return next((each for each in (*MADE_UP, "real") if each in said), None)


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    answers = {THE_MODEL: metrics, **(metrics.get("baselines") or {})}
    has_few = _has_few_places(metrics)
    for answer, figures in answers.items():
        intervals = figures.get("intervals") or {}
        for figure in FIGURES:
            if figure in figures:
                # older versions stored intervals however few the blocks were
                ends = {} if has_few else intervals.get(figure) or {}
                yield (
                    answer,
                    figure,
                    *(number(v) for v in (figures[figure], ends.get("low"), ends.get("high"))),
                )


def _test_blocks(metrics: Mapping[str, Any]) -> dict[str, int | None]:
    stored = metrics.get("intervals") or {}
    counts = [stored.get(key) for key in ("blocks", "blocks_with_ore", "blocks_with_barren")]
    test = metrics.get("test") or {}
    if None in counts and {"blocks", "is_positive"} <= test.keys():
        # an older version: counted from the answers patch by patch
        found = list(zip(test["blocks"], test["is_positive"], strict=True))
        classes = ({0, 1}, {1}, {0})
        counts = [len({block for block, is_ore in found if is_ore in each}) for each in classes]
    return dict(zip(("all", "ore", "barren"), counts, strict=True))


def _has_few_places(metrics: Mapping[str, Any]) -> bool:
    """Whether ore, or barren ground, lies in too few test blocks for intervals; not where it is not known."""
    blocks = _test_blocks(metrics)
    return any(count is not None and count < LEAST_BLOCKS for count in (blocks["ore"], blocks["barren"]))


def _confusion(metrics: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    names = ("barren", "ore")
    for truth, line in zip(names, metrics.get("confusion") or (), strict=False):
        for answer, patches in zip(names, line, strict=True):
            yield truth, answer, patches


def _patches(training: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    counts = training.get("patches") or {}
    for part in PARTS:
        if part in counts:
            yield part, *(counts[part].get(key) for key in ("ore", "barren", "blocks"))


def _importance(head: SearchHead) -> Report:
    stored = head.metrics.get("importance") or head.training.get("importance") or []
    columns = ("balanced_accuracy_drop", "balanced_accuracy_spread", "roc_auc_drop", "roc_auc_spread")
    rows = [
        (each.get("name"), len(each.get("channels") or [0]), *(number(each.get(name)) for name in columns))
        for each in stored
    ]
    return table_of(("channel", "channels", *columns), sorted(rows, key=lambda row: -(row[4] or 0.0)))


def _channels(head: SearchHead) -> Report:
    """Channels in the order of the network, with how far the ground lies from that of training."""
    moved = {each.get("name"): each for each in (head.figures.get("shift") or {}).get("channels") or []}
    rows = []
    for channel in head.parameters.get("channels") or head.training.get("channels") or []:
        found = moved.get(channel.get("name"), {})
        rows.append(
            (
                *(channel.get("name"), channel.get("kind"), number(channel.get("center_nm"))),
                ", ".join(channel.get("sources") or []) or None,
                *(number(found.get("mean_difference")), number(found.get("outside_share"))),
            )
        )
    columns = ("channel", "kind", "center_nm", "made_of", "mean_difference", "outside_share")
    return table_of(columns, rows)


def _warnings(head: SearchHead) -> Iterator[tuple[str, str]]:
    for warning in (head.figures.get("shift") or {}).get("warnings") or []:
        yield "ground", warning
    for warning in head.training.get("warnings") or []:
        yield "patches", warning


def table_of(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Report:
    """A table of rows."""
    return Report(columns, [tuple(row) for row in rows])


def number(value: Any) -> float | None:
    """A stored number."""
    return None if value is None else float(value)


def _said(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
