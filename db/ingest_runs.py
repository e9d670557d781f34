"""Interpretations that sources ask for, within the quota of whoever ordered them: all SQL of that."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, errors

from db.connection import describe
from db.errors import RetryError, SupersededError, UsageError
from db.ingest_sources import IngestSource

LONGEST_ERROR = 2000


def ask_waiting(conn: Connection[Any], source: IngestSource) -> tuple[int, str | None]:
    """Ask for the interpretations that waited for a quota, oldest acquisition first, as far as it goes.

    Two looks at once leave each other's items alone.

    Returns:
        How many items still wait, and why; None where none does.

    """
    source_id = source.ingest_source_id
    if source.model_id is None:
        conn.execute(
            "update lode.ingest_item set awaits_quota = false, error = null"
            " where ingest_source_id = %s and awaits_quota",
            (source_id,),
        )
        return 0, None
    rows = conn.execute(
        "select ingest_item_id, scene_id from lode.ingest_item where ingest_source_id = %s and awaits_quota"
        " and status = 'ingested' and scene_id is not null"
        " order by acquired_on nulls last, ingest_item_id for update skip locked",
        (source_id,),
    ).fetchall()
    for place, (item_id, scene_id) in enumerate(rows):
        try:
            run_id, waits = request_run(conn, source_id, scene_id, source)
        except RetryError:
            raise
        except UsageError as error:
            conn.execute(
                "update lode.ingest_item set status = 'failed', awaits_quota = false, error = %s"
                " where ingest_item_id = %s",
                (str(error)[:LONGEST_ERROR], item_id),
            )
            continue
        follow_run(conn, item_id, run_id, waits)
        if waits is not None:
            return len(rows) - place, waits
    return 0, None


def follow_run(conn: Connection[Any], item_id: int, run_id: int | None, waits: str | None) -> None:
    """Let an item go with its run, or wait for one."""
    conn.execute(
        "update lode.ingest_item set status = coalesce((select case r.status when 'published'"
        " then 'published' when 'running' then 'interpreting' end"
        " from lode.run r where r.run_id = %(run)s), 'ingested'),"
        " published_at = (select r.finished_at from lode.run r"
        "  where r.run_id = %(run)s and r.status = 'published'),"
        " run_id = %(run)s, error = %(waits)s, awaits_quota = %(waits)s::text is not null"
        " where ingest_item_id = %(item)s",
        {"run": run_id, "waits": waits, "item": item_id},
    )


def request_run(
    conn: Connection[Any], source_id: int, scene_id: int, source: IngestSource
) -> tuple[int | None, str | None]:
    """Ask for the run of a scene within the quota of whoever ordered it, and put it into the queue.

    Returns:
        Its key; None and the reason where that quota is used up.

    Raises:
        UsageError: the network was retired, or the run withdrawn.

    """
    try:
        # A savepoint: what was stored before must not go with a refusal.
        with conn.transaction():
            row = conn.execute(
                "select lode_api.ask_run(%s, %s, null, %s, s.ingest_source_id) from lode.ingest_source s"
                " where s.ingest_source_id = %s",
                (scene_id, source.model_id, source.becomes_current, source_id),
            ).fetchone()
            if row is None:
                raise SupersededError(f"source {source_id} was removed")
            conn.execute("select lode_api.put_in_queue(%s)", (row[0],))
    except errors.ConfigurationLimitExceeded as error:
        told = error.diag.message_primary or str(error)
        return None, f"waits for the next look at the source: {told}"[:LONGEST_ERROR]
    except (errors.NoDataFound, errors.InvalidParameterValue, errors.CheckViolation) as error:
        hint = error.diag.message_hint
        raise UsageError(f"{describe(error)}{'; ' if hint else ''}{hint or ''}") from error
    return int(row[0]), None
