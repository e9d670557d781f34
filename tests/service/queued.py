"""Jobs of runs in the queue without a worker's process: asked for, fetched, ended and reaped by hand."""

from __future__ import annotations

import asyncio
from typing import Any

from procrastinate.jobs import Job, Status
from psycopg import Connection

from db.queue.connector import PatientConnector
from db.queue.jobs import OwnJobs
from db.queue.workers import reap_jobs

SILENT_S = 0.5
FETCH = "select id from lode_queue.procrastinate_fetch_job_v2(array['inference']::varchar[], %s)"
JOBS = "select status::text, priority, worker_id from lode_queue.procrastinate_jobs order by id"


def request(conn: Connection[Any], product: str = "a", priority: int = 0) -> int:
    row = conn.execute(
        "select lode_api.request_run(s.scene_id, m.model_id, false, %s) from lode.scene s, lode.model m"
        " where s.product = %s",
        (priority, product),
    ).fetchone()
    conn.commit()
    assert row is not None
    return int(row[0])


def fetch(conn: Connection[Any], worker: int) -> int:
    row = conn.execute(FETCH, (worker,)).fetchone()
    conn.commit()
    assert row is not None
    assert row[0] is not None
    return int(row[0])


def reap(conn: Connection[Any], silent_s: float = SILENT_S) -> int | None:
    """Reap, and sweep whenever the last sweep was."""
    conn.execute("update lode.sweep set swept_at = '-infinity'")
    found = reap_jobs(conn, silent_s)
    conn.commit()
    return found


def ended(url: str, job: int, worker: int, *, retried: bool = False) -> None:
    """What a worker says at the end of a job that it fetched once."""
    stale = Job(
        id=job,
        queue="inference",
        lock=None,
        queueing_lock=None,
        task_name="interpret_run",
        attempts=0,
        worker_id=worker,
    )

    async def say() -> None:
        connector = PatientConnector(url, application_name="the test")
        await connector.open_async()
        try:
            jobs = OwnJobs(connector)
            if retried:
                await jobs.retry_job(stale)
            else:
                await jobs.finish_job(stale, Status.SUCCEEDED, delete_job=False)
        finally:
            await connector.close_async()

    asyncio.run(say())
