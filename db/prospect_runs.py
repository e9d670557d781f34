"""Searches for ore: all SQL about ``lode.prospect_run``, ``lode.prospect`` and ``lode.prospect_target``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection
from psycopg.rows import class_row
from psycopg.sql import SQL
from psycopg.types.json import Jsonb

from db.errors import UsageError
from db.labels import ewkb_hex
from db.prospect_cell_rows import HEADER, TRAILER, CellRows, columns_of
from db.registry import REASON_BYTES
from db.reports.report import Report, read_report

BAND_NAMES = ("probability",)
"""What the raster of a search that gives probabilities holds."""

SCORED_BAND_NAMES = (
    "prospectivity",
    "anomaly",
    "favourability",
    "prospectivity_spread",
    "anomaly_spread",
    "favourability_spread",
)
"""What the raster of a search without labels holds, in order."""

PROSPECTIVITY = "prospectivity"
"""What the cells of such a search hold; those of others hold a probability."""


@dataclass(frozen=True)
class ProspectRun:
    """A search that was published; see ``lode.prospect_run`` for the columns."""

    prospect_run_id: int
    model_id: int
    scene_id: int | None
    evidence_area_id: int | None
    parameters: dict[str, Any]
    content_digest: str
    threshold: float
    cell_m: float
    tile_table: str
    figures: dict[str, Any]
    device: str


@dataclass(frozen=True)
class NewProspectRun:
    """A search to be published; attributes as in ``lode.prospect_run``."""

    model_id: int
    scene_id: int | None
    evidence_area_id: int | None
    parameters: Mapping[str, Any]
    content_digest: str
    threshold: float
    cell_m: float
    figures: Mapping[str, Any]
    device: str
    versions: Mapping[str, str]
    band_names: tuple[str, ...] = BAND_NAMES
    score_kind: str = "probability"


@dataclass(frozen=True)
class NewReason:
    """Why a cell scores; attributes as in ``lode.prospect_reason``."""

    row_px: int
    col_px: int
    place: int
    kind: str
    name: str
    value: float | None
    unit: str | None
    expected: float | None
    deviations: float | None
    share: float | None


@dataclass(frozen=True)
class NewTarget:
    """A target to be stored; attributes as in ``lode.prospect_target``, geometry in EPSG:4326."""

    rank: int
    geometry: shapely.MultiPolygon
    area_m2: float
    cells: int
    mean_probability: float
    highest_probability: float
    fault_distance_m: float | None
    pluton_distance_m: float | None
    deposit_distance_m: float | None
    deposit_id: int | None
    evidence: Sequence[Mapping[str, Any]]


_SELECT = """
select prospect_run_id, model_id, scene_id, evidence_area_id, parameters, content_digest, threshold, cell_m,
  tile_table, figures, device
from lode.prospect_run
where withdrawn_at is null and """

_OF_GROUND = """model_id = %s and (evidence_area_id = %s or scene_id in (
  select version.scene_id from lode.scene own join lode.scene version on version.product = own.product
  where own.scene_id = %s
)) order by prospect_run_id"""

_INSERT = """
insert into lode.prospect_run (
  prospect_run_id, model_id, scene_id, evidence_area_id, parameters, content_digest, threshold, cell_m,
  tile_table, band_names, figures, device, versions, score_kind
)
values (
  %(run_id)s, %(model_id)s, %(scene_id)s, %(evidence_area_id)s, %(parameters)s, %(content_digest)s,
  %(threshold)s, %(cell_m)s, %(tile_table)s, %(band_names)s, %(figures)s, %(device)s, %(versions)s,
  %(score_kind)s
)
on conflict (content_digest) where withdrawn_at is null do nothing
returning prospect_run_id
"""

# A deposit that was deleted since it was read is not named; how far it was from the target stays.
_INSERT_TARGET = """
insert into lode.prospect_target (
  prospect_run_id, rank, geom, area_m2, cells, mean_probability, highest_probability, fault_distance_m,
  pluton_distance_m, deposit_distance_m, deposit_id, evidence
)
values (
  %s, %s, %s::geometry, %s, %s, %s, %s, %s, %s, %s,
  (select d.deposit_id from lode.deposit d where d.deposit_id = %s), %s
)
"""


def standing_search(conn: Connection[Any], content_digest: str) -> ProspectRun | None:
    """The search with this content that was not withdrawn; None where there is none."""
    with conn.cursor(row_factory=class_row(ProspectRun)) as cursor:
        return cursor.execute(_SELECT + "content_digest = %s", (content_digest,)).fetchone()


def standing_searches(
    conn: Connection[Any], model_id: int, scene_id: int | None, evidence_area_id: int | None
) -> list[ProspectRun]:
    """The searches of a network over a scene or a study area that were not withdrawn, by key.

    Also those over other versions of the scene's product: they are of the same ground.
    """
    with conn.cursor(row_factory=class_row(ProspectRun)) as cursor:
        return cursor.execute(_SELECT + _OF_GROUND, (model_id, evidence_area_id, scene_id)).fetchall()


def insert_search(conn: Connection[Any], new: NewProspectRun) -> tuple[int, str] | None:
    """Store the row of a search in the caller's transaction.

    Where another transaction is publishing the same content, its end is waited for.

    Returns:
        Key of the search and the name of its raster, to be written by `db.raster.RasterWriter`; None when
        one with the same content stands: nothing was stored.

    """
    row = conn.execute("select nextval('lode.prospect_run_prospect_run_id_seq')").fetchone()
    if row is None:
        raise RuntimeError("the sequence of searches gave no key")
    run_id = int(row[0])
    tile_table = f"prospect_score_{run_id}"
    stored = conn.execute(
        _INSERT,
        vars(new)
        | {
            "run_id": run_id,
            "tile_table": tile_table,
            "band_names": list(new.band_names),
            "parameters": Jsonb(dict(new.parameters)),
            "figures": Jsonb(dict(new.figures)),
            "versions": Jsonb(dict(new.versions)),
        },
    ).fetchone()
    return None if stored is None else (run_id, tile_table)


def insert_cells(
    conn: Connection[Any], run_id: int, parts: Iterable[CellRows], *, are_scored: bool = False
) -> int:
    """Store the cells of a search in the caller's transaction; returns how many.

    The server stores a part while the next one is made: give an iterator over parts of some 10,000 cells.
    All have ``scores`` where ``are_scored``, and none otherwise.
    """
    stored = 0
    columns = SQL(columns_of(are_scored=are_scored))
    statement = SQL("copy lode.prospect ({}) from stdin with (format binary)").format(columns)
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        for part in parts:
            copy.write(part.encode(run_id))
            stored += len(part)
        copy.write(TRAILER)
    return stored


def insert_reasons(conn: Connection[Any], run_id: int, reasons: Iterable[NewReason]) -> int:
    """Store why cells of a search score, in the caller's transaction; returns how many rows."""
    stored = 0
    statement = (
        "copy lode.prospect_reason (prospect_run_id, row_px, col_px, place, kind, name, value, unit,"
        " expected, deviations, share) from stdin"
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for reason in reasons:
            copy.write_row((run_id, *vars(reason).values()))
            stored += 1
    return stored


def insert_targets(conn: Connection[Any], run_id: int, targets: Sequence[NewTarget]) -> None:
    """Store the targets of a search in the caller's transaction."""
    rows = []
    for target in targets:
        values = vars(target) | {
            "geometry": ewkb_hex(target.geometry),
            "evidence": Jsonb([dict(item) for item in target.evidence]),
        }
        rows.append((run_id, *values.values()))
    with conn.cursor() as cursor:
        cursor.executemany(_INSERT_TARGET, rows)


def withdraw_search(conn: Connection[Any], run_id: int, reason: str) -> None:
    """Take a search out of maps and lists; its cells stay for whoever wants to know why.

    Raises:
        UsageError: no such search, withdrawn already, no reason or one that is not a line of text.

    """
    said = reason.strip()
    if not said or len(said.encode()) > REASON_BYTES or not said.isprintable():
        raise UsageError(
            f"reason {reason!r}: give 1 to {REASON_BYTES} bytes of printable characters on one line, so that "
            "whoever meets the withdrawn search learns why"
        )
    if withdraw_searches(conn, [run_id], said):
        return
    row = conn.execute(
        "select withdrawn_at, withdrawn_by, withdrawn_reason from lode.prospect_run"
        " where prospect_run_id = %s",
        (run_id,),
    ).fetchone()
    if row is None:
        raise UsageError(f"there is no search {run_id}; `lode prospect list --all` shows those there are")
    raise UsageError(
        f"search {run_id} was withdrawn on {row[0]:%Y-%m-%d %H:%M} by {row[1]} ({row[2]}) already"
    )


def withdraw_searches(conn: Connection[Any], run_ids: Sequence[int], reason: str) -> list[int]:
    """Withdraw those of some searches that stand, in the caller's transaction; returns their keys."""
    rows = conn.execute(
        "update lode.prospect_run set withdrawn_at = now(), withdrawn_by = session_user,"
        " withdrawn_reason = %s where prospect_run_id = any(%s) and withdrawn_at is null"
        " returning prospect_run_id",
        (reason, list(run_ids)),
    ).fetchall()
    return sorted(int(run_id) for (run_id,) in rows)


def searches_report(conn: Connection[Any], *, with_all: bool = False) -> Report:
    """The searches from ``lode_api.prospect_history``, by key; only those that stand by default."""
    return read_report(
        conn,
        "select ogc_fid as search, model, ground, status, score_kind as score, threshold, cell_m, cells,"
        " targets, published_at::timestamp(0) as published_at, published_by, withdrawn_reason"
        " from lode_api.prospect_history where %s or status = 'published' order by ogc_fid",
        (with_all,),
    )


def targets_report(conn: Connection[Any], run_id: int | None, limit: int) -> tuple[int, Report]:
    """The first targets of a search from ``lode_api.prospect_target``, and which search it is.

    Names of columns are short, so that a terminal shows them whole: ``fault_m`` is the distance to a fault.

    Args:
        conn: connection.
        run_id: the search; None: the one that was published last, of those that stand.
        limit: how many targets.

    Raises:
        UsageError: no such search, one that was withdrawn or superseded, or none at all.

    """
    row = conn.execute(
        "select ogc_fid, status, withdrawn_reason, ground, score_kind from lode_api.prospect_history"
        " where ogc_fid = %(run)s or %(run)s::integer is null and status = 'published'"
        " order by published_at desc, ogc_fid desc limit 1",
        {"run": run_id},
    ).fetchone()
    if row is None and run_id is None:
        raise UsageError("no search stands: make one with `lode prospect apply`")
    if row is None:
        raise UsageError(f"there is no search {run_id}; `lode prospect list --all` shows those there are")
    found, status, reason, ground, score_kind = row
    if status == "superseded":
        raise UsageError(
            f"search {found} is of an earlier version of scene {ground}: its targets are not shown any more; "
            "search the version that counts with `lode prospect apply`"
        )
    if status != "published":
        raise UsageError(f"search {found} was withdrawn ({reason}): its targets are not shown any more")
    report = read_report(
        conn,
        "select rank, mean_probability, highest_probability, area_m2, cells, fault_distance_m as fault_m,"
        " pluton_distance_m as pluton_m, deposit_distance_m as deposit_m, nearest_deposit,"
        " split_part(evidence, '; ', 1) as evidence,"
        " round(st_y(st_pointonsurface(geom))::numeric, 5) as latitude,"
        " round(st_x(st_pointonsurface(geom))::numeric, 5) as longitude"
        " from lode_api.prospect_target where prospect_run_id = %s order by rank limit %s",
        (found, limit),
    )
    # Prospectivity is no probability, and is not called so.
    columns = report.columns
    if score_kind == PROSPECTIVITY:
        columns = tuple(name.replace("probability", "score") for name in columns)
    return int(found), Report(columns, report.rows)
