"""Reports of what came from sources: which items a report tells of, and under which name, all in SQL.

The name is written down before the report is: whoever goes on after a crash finds it and knows whether the
folder of that name is the one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.errors import RetryError

REPORT_LOCK = 0x10DE0007
"""First key of the advisory lock of whoever writes reports of a source (the second is the source's key)."""


@dataclass(frozen=True)
class Batch:
    """What one report tells of.

    Attributes:
        name: folder, YYYY-MM-DD-N.
        item_ids: the items.
        years: years of their scenes, ascending.
        mine_codes: mines that their scenes meet, by code.

    """

    name: str
    item_ids: tuple[int, ...]
    years: tuple[int, ...]
    mine_codes: tuple[str, ...]


@contextmanager
def reporting_on(conn: Connection[Any], source_id: int) -> Iterator[None]:
    """Hold a source's reports for this connection, which is in autocommit mode.

    Raises:
        RetryError: another worker is at it.

    """
    row = conn.execute("select pg_try_advisory_lock(%s, %s)", (REPORT_LOCK, source_id)).fetchone()
    if row is None or not row[0]:
        raise RetryError(f"source {source_id}: another worker writes its report")
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("select pg_advisory_unlock(%s, %s)", (REPORT_LOCK, source_id))


def open_batch(conn: Connection[Any], source_id: int, taken: frozenset[str] = frozenset()) -> Batch | None:
    """What the next report tells of: the one that was begun, else all that was published since the last one.

    Args:
        conn: connection inside a transaction, which the caller commits before it writes.
        source_id: the source.
        taken: names that are not free.

    Returns:
        The batch; None where there is nothing to report.

    """
    begun = conn.execute(
        "select min(report) from lode.ingest_item where ingest_source_id = %s and status = 'published'"
        " and report is not null and scene_id is not null",
        (source_id,),
    ).fetchone()
    name = begun[0] if begun is not None else None
    if name is None:
        name = _free_name(conn, source_id, taken)
        conn.execute(
            "update lode.ingest_item set report = %s where ingest_source_id = %s and status = 'published'"
            " and scene_id is not null",
            (name, source_id),
        )
    return _batch(conn, source_id, name)


def rename_batch(conn: Connection[Any], source_id: int, batch: Batch, taken: frozenset[str]) -> Batch:
    """Give a batch another name: somebody else's folder has its."""
    name = _free_name(conn, source_id, taken | {batch.name})
    conn.execute(
        "update lode.ingest_item set report = %s where ingest_item_id = any(%s)", (name, list(batch.item_ids))
    )
    return Batch(name, batch.item_ids, batch.years, batch.mine_codes)


def _free_name(conn: Connection[Any], source_id: int, taken: frozenset[str]) -> str:
    row = conn.execute("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD')").fetchone()
    day = row[0] if row is not None else ""
    used = {
        name
        for (name,) in conn.execute(
            "select distinct report from lode.ingest_item where ingest_source_id = %s and report like %s",
            (source_id, f"{day}-%"),
        )
    }
    number = 1
    while f"{day}-{number}" in used | taken:
        number += 1
    return f"{day}-{number}"


def _batch(conn: Connection[Any], source_id: int, name: str) -> Batch | None:
    rows = conn.execute(
        "select i.ingest_item_id, extract(year from c.acquired_on)::integer from lode.ingest_item i"
        " join lode.scene c on c.scene_id = i.scene_id where i.ingest_source_id = %s and i.report = %s"
        " and i.status = 'published' order by 1",
        (source_id, name),
    ).fetchall()
    if not rows:
        return None
    codes = conn.execute(
        "select m.code from lode.mine m where exists (select from lode.ingest_item i"
        " join lode.scene c on c.scene_id = i.scene_id where i.ingest_item_id = any(%s)"
        ' and st_intersects(c.footprint, m.boundary)) order by m.code collate "C"',
        ([row[0] for row in rows],),
    ).fetchall()
    return Batch(
        name,
        tuple(row[0] for row in rows),
        tuple(sorted({row[1] for row in rows})),
        tuple(code for (code,) in codes),
    )


def pairs_of_years(conn: Connection[Any], years: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of years with known change in which one of these years takes part, ascending."""
    rows = conn.execute(
        "select distinct from_year, to_year from lode_api.change_by_mine_year"
        " where from_year = any(%(years)s) or to_year = any(%(years)s) order by 1, 2",
        {"years": list(years)},
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def mark_reported(conn: Connection[Any], batch: Batch) -> int:
    """Write down that the report is complete; how many items it tells of."""
    done = conn.execute(
        "update lode.ingest_item set status = 'reported', reported_at = clock_timestamp()"
        " where ingest_item_id = any(%s) and status = 'published'",
        (list(batch.item_ids),),
    )
    return done.rowcount
