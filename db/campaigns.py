"""Campaigns, which interpret many scenes outside the queue: their scenes, how far runs are, what is left.

A campaign holds the advisory locks of the runs it has begun (``db.runs.working_on``). While it does, their
publication is not put into the queue, and `lode infer` leaves them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.blocks import Block, blocks_of
from db.errors import UsageError
from db.runs import run_by_id

MARK = 0x10DE0008
"""First key of the advisory lock by which actors see that they are at the database of their campaign."""

SILENT_S = 60.0
"""A worker of the queue that was not heard of for so long counts as dead, seconds."""


@dataclass(frozen=True)
class Target:
    """A scene that a campaign is to interpret, and whether the network can take it at all."""

    scene_id: int
    product: str
    is_suitable: bool


@dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
        run_id: the run.
        status: requested, running, published, failed, cancelled or withdrawn.
        is_current: it stands for its scene.
        error: why it failed or was cancelled, or its last attempt failed.
        blocks: from the top.
        busy_blocks: those that a worker of the queue computes; it lives.
        is_busy: a worker of the queue is about to publish the run.

    """

    run_id: int
    status: str
    is_current: bool
    error: str | None
    blocks: tuple[Block, ...]
    busy_blocks: frozenset[int]
    is_busy: bool


def targets(
    conn: Connection[Any], model_id: int, *, year: int | None = None, mine_code: str | None = None
) -> list[Target]:
    """The scenes that count, of a year and over a mine where these are given, by day and product.

    Suitable means what ``lode_api.suitable_model`` means by it: the network's bands are there, pixels are a
    quarter larger or smaller at most, and values are of the level it was trained on.

    Args:
        conn: connection.
        model_id: the network.
        year: of acquisition; None: any.
        mine_code: the mine whose boundary they touch; None: anywhere.

    Raises:
        UsageError: there is no such mine, or no such scene.

    """
    if mine_code is not None:
        known = conn.execute("select from lode.mine where code = %s", (mine_code,)).fetchone()
        if known is None:
            raise UsageError(f"there is no mine {mine_code!r}; lode.mine lists the codes there are")
    rows = conn.execute(
        "select s.scene_id, s.product, m.band_names <@ s.band_names"
        "   and abs(ln(s.resolution_m / m.resolution_m)) <= ln(1.25) + 1e-9"
        "   and (m.training ->> 'processing_level' is null"
        "     or m.training ->> 'processing_level' = s.processing_level)"
        " from lode.scene s cross join lode.model m"
        " where m.model_id = %(model_id)s and s.superseded_by is null"
        "   and (%(year)s::integer is null or extract(year from s.acquired_on) = %(year)s)"
        "   and (%(mine)s::text is null or exists ("
        "     select from lode.mine p where p.code = %(mine)s"
        "       and s.footprint && p.boundary and st_intersects(s.footprint, p.boundary)"
        "   ))"
        " order by s.acquired_on, s.product",
        {"model_id": model_id, "year": year, "mine": mine_code},
    ).fetchall()
    if not rows:
        where = "" if mine_code is None else f" that touches mine {mine_code}"
        when = "" if year is None else f" of {year}"
        raise UsageError(f"there is no scene{when}{where}; lode_api.scene_catalogue shows what there is")
    return [Target(*row) for row in rows]


def run_state(conn: Connection[Any], run_id: int, *, silent_s: float = SILENT_S) -> RunState:
    """How far a run is, and what of it living workers of the queue have at hand.

    Raises:
        UsageError: there is no such run any more.

    """
    run = run_by_id(conn, run_id)
    busy = conn.execute(
        "select (j.args ->> 'block')::integer from lode_queue.procrastinate_workers w"
        " join lode_queue.procrastinate_jobs j on j.worker_id = w.id and j.status = 'doing'"
        " where w.last_heartbeat > clock_timestamp() - make_interval(secs => %s)"
        " and (j.args ->> 'run_id')::integer = %s",
        (silent_s, run_id),
    ).fetchall()
    return RunState(
        run_id,
        run.status,
        run.is_current,
        run.error,
        tuple(blocks_of(conn, run_id)),
        frozenset(block for (block,) in busy if block is not None),
        any(block is None for (block,) in busy),
    )


def leave_runs(conn: Connection[Any], run_ids: Sequence[int]) -> None:
    """Let runs that are not done wait as if nobody had begun; blocks that are staged stay so.

    Those that are in the queue are left to it.
    """
    conn.execute(
        "update lode.run set status = 'requested', started_at = null"
        " where run_id = any(%s) and status = 'running' and queued_at is null",
        (list(run_ids),),
    )


def show_mark(conn: Connection[Any], number: int) -> None:
    """Mark this database, for as long as the connection lives, with a number of 31 bits."""
    conn.execute("select pg_advisory_lock(%s, %s)", (MARK, number))


def sees_mark(conn: Connection[Any], number: int) -> bool:
    """Whether this is the database that somebody marks with a number now, and no copy of it."""
    row = conn.execute(
        "select from pg_locks where locktype = 'advisory' and classid = %s and objid = %s and objsubid = 2"
        " and database = (select oid from pg_database where datname = current_database())",
        (MARK, number),
    ).fetchone()
    return row is not None
