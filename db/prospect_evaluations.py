"""How known deposits rank in searches: all SQL about ``lode.prospect_evaluation`` and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from db.errors import UsageError
from db.prospect_runs import PROSPECTIVITY


@dataclass(frozen=True)
class EvaluatedSearch:
    """A search whose scores can be held against deposits.

    Attributes:
        prospect_run_id: key.
        status: published, superseded or withdrawn.
        score_kind: what its cells hold.
        area: study area that was searched; None: it was a scene.
        tile_table, band_names: its scores in lode_raster.
        has_tiles: whether that table exists.
        parameters: see ``lode.prospect_run``.
        model, architecture, training: of the method.

    """

    prospect_run_id: int
    status: str
    score_kind: str
    area: str | None
    tile_table: str
    band_names: list[str]
    has_tiles: bool
    parameters: dict[str, Any]
    model: str
    architecture: str
    training: dict[str, Any]


@dataclass(frozen=True)
class NewFigure:
    """A figure to be stored; attributes as in ``lode.prospect_evaluation_figure``."""

    score: str
    figure: str
    value: float | None
    low: float | None
    high: float | None
    null_p: float | None


@dataclass(frozen=True)
class NewEvaluation:
    """An evaluation to be stored; attributes as in ``lode.prospect_evaluation``."""

    prospect_run_id: int
    deposit_rule: str
    deposit_ids: Sequence[int]
    outside: int
    parameters: Mapping[str, Any]
    curves: Mapping[str, Any]
    figures: Sequence[NewFigure]


@dataclass(frozen=True)
class StoredEvaluation:
    """An evaluation as it is stored, with its figures in the order in which they were stored."""

    prospect_evaluation_id: int
    deposit_rule: str
    deposit_ids: list[int]
    outside: int
    parameters: dict[str, Any]
    curves: dict[str, Any]
    evaluated_by: str
    evaluated_at: datetime
    figures: tuple[NewFigure, ...]


_SEARCH = """
select r.prospect_run_id, h.status, r.score_kind, a.name as area, r.tile_table, r.band_names,
  to_regclass(format('lode_raster.%%I', r.tile_table)) is not null as has_tiles,
  r.parameters, m.name as model, m.architecture, m.training
from lode.prospect_run r
join lode_api.prospect_history h on h.ogc_fid = r.prospect_run_id
join lode.model m on m.model_id = r.model_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
where r.prospect_run_id = %(run)s
  or %(run)s::integer is null and h.status = 'published' and r.score_kind = %(kind)s
order by r.published_at desc, r.prospect_run_id desc limit 1
"""

_LATEST = """
select prospect_evaluation_id, deposit_rule, deposit_ids, outside, parameters, curves, evaluated_by,
  evaluated_at
from lode.prospect_evaluation where prospect_run_id = %s
order by evaluated_at desc, prospect_evaluation_id desc limit 1
"""


def find_evaluated(conn: Connection[Any], run_id: int | None) -> EvaluatedSearch:
    """A search that was made without deposits, also one that stands no more.

    Args:
        conn: connection.
        run_id: the search; None: the one published last of those that stand.

    Raises:
        UsageError: there is no such search, it learned from deposits, or its scores are gone.

    """
    with conn.cursor(row_factory=class_row(EvaluatedSearch)) as cursor:
        found = cursor.execute(_SEARCH, {"run": run_id, "kind": PROSPECTIVITY}).fetchone()
    if found is None and run_id is None:
        raise UsageError(
            "no search without deposits stands: make one with `lode prospect apply` and a model of "
            "`lode train evidence`"
        )
    if found is None:
        raise UsageError(f"there is no search {run_id}; `lode prospect list --all` shows those there are")
    if found.score_kind != PROSPECTIVITY:
        raise UsageError(
            f"search {found.prospect_run_id} is of model {found.model}, which learned from deposits: what it "
            "is worth on others is stored with the model (`lode report prospect`). Name a search of a model "
            "of `lode train evidence`"
        )
    if not found.has_tiles:
        raise UsageError(
            f"the raster of search {found.prospect_run_id} is not in this database: publish it anew with "
            "`lode prospect apply --again`"
        )
    return found


def insert_evaluation(conn: Connection[Any], new: NewEvaluation) -> int:
    """Store an evaluation in the caller's transaction; returns its key."""
    row = conn.execute(
        "insert into lode.prospect_evaluation (prospect_run_id, deposit_rule, deposit_ids, outside,"
        " parameters, curves) values (%s, %s, %s, %s, %s, %s) returning prospect_evaluation_id",
        (
            *(new.prospect_run_id, new.deposit_rule, list(new.deposit_ids), new.outside),
            *(Jsonb(dict(new.parameters)), Jsonb(dict(new.curves))),
        ),
    ).fetchone()
    if row is None:
        raise RuntimeError("an insert gave no key")
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into lode.prospect_evaluation_figure (prospect_evaluation_id, score, figure, value, low,"
            " high, null_p) values (%s, %s, %s, %s, %s, %s, %s)",
            [(row[0], *vars(figure).values()) for figure in new.figures],
        )
    return int(row[0])


def latest_evaluation(conn: Connection[Any], run_id: int) -> StoredEvaluation | None:
    """The last evaluation of a search; None where nobody made one."""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_LATEST, (run_id,)).fetchone()
    if found is None:
        return None
    figures = conn.execute(
        "select score, figure, value, low, high, null_p from lode.prospect_evaluation_figure"
        " where prospect_evaluation_id = %s order by prospect_evaluation_figure_id",
        (found["prospect_evaluation_id"],),
    ).fetchall()
    return StoredEvaluation(**found, figures=tuple(NewFigure(*figure) for figure in figures))
