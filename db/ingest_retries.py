"""Items of a source that begin anew because somebody asks for it, and those that somebody is at."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.ingest_items import IS_HELD
from db.ingest_runs import ask_waiting
from db.ingest_sources import source_by_id


def begun_items(conn: Connection[Any], source_id: int) -> list[tuple[int, str, bool]]:
    """Items of a source whose ingest was begun: key, key in the source, whether a process is at it."""
    rows = conn.execute(
        f"select i.ingest_item_id, i.item_key, {IS_HELD} from lode.ingest_item i"  # noqa: S608 - constants
        " where i.ingest_source_id = %s and i.status in ('fetching', 'fetched') order by 1",
        (source_id,),
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def retry_failed(conn: Connection[Any], source_id: int) -> int:
    """Let the items begin anew that failed; how many.

    Of those whose scene is stored only the interpretation is asked for, as the source says now. What is
    refused again stays failed, and is not counted.
    """
    done = conn.execute(
        "update lode.ingest_item set status = 'found', attempt = 0, error = null"
        " where ingest_source_id = %s and status = 'failed' and scene_id is null",
        (source_id,),
    )
    stored = conn.execute(
        "update lode.ingest_item set status = 'ingested', run_id = null, awaits_quota = true, error = null"
        " where ingest_source_id = %s and status = 'failed' and scene_id is not null"
        " returning ingest_item_id",
        (source_id,),
    ).fetchall()
    ask_waiting(conn, source_by_id(conn, source_id))
    refused = conn.execute(
        "select from lode.ingest_item where ingest_item_id = any(%s) and status = 'failed'",
        ([item_id for (item_id,) in stored],),
    )
    return done.rowcount + len(stored) - refused.rowcount


def retry_left(conn: Connection[Any], source_id: int) -> int:
    """Let the items begin anew that were begun by a process that is gone; how many."""
    done = conn.execute(
        "update lode.ingest_item i set status = 'found', attempt = 0"  # noqa: S608 - constants
        f" where i.ingest_source_id = %s and i.status in ('fetching', 'fetched') and not {IS_HELD}",
        (source_id,),
    )
    return done.rowcount
