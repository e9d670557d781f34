"""Rows of the queue for tests that begin after a worker: jobs, workers alive or silent."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb


def add_worker(
    conn: Connection[Any],
    *,
    silent_s: float = 0,
    queues: tuple[str, ...] = ("inference",),
    device: str = "cpu",
) -> int:
    """A worker that was last heard of so many seconds ago."""
    row = conn.execute(
        "insert into lode_queue.procrastinate_workers (last_heartbeat)"
        " values (now() - make_interval(secs => %s)) returning id",
        (silent_s,),
    ).fetchone()
    assert row is not None
    conn.execute(
        "insert into lode.worker (worker_id, host, process_id, device, queues, versions)"
        " values (%s, 'north', 4711, %s, %s, '{}')",
        (row[0], device, list(queues)),
    )
    return int(row[0])


def add_job(
    conn: Connection[Any],
    status: str = "todo",
    *,
    queue: str = "inference",
    task: str = "interpret_run",
    worker: int | None = None,
    ago_s: float = 0,
    **keys: int,
) -> int:
    """A job whose last event was so many seconds ago."""
    row = conn.execute(
        "insert into lode_queue.procrastinate_jobs (queue_name, task_name, args) values (%s, %s, %s)"
        " returning id",
        (queue, task, Jsonb(keys)),
    ).fetchone()
    assert row is not None
    job = int(row[0])
    for step in {"todo": [], "doing": ["doing"], "failed": ["doing", "failed"]}[status]:
        conn.execute(
            "update lode_queue.procrastinate_jobs set status = %s, worker_id = %s where id = %s",
            (step, worker, job),
        )
    conn.execute(
        "update lode_queue.procrastinate_events set at = now() - make_interval(secs => %s) where job_id = %s",
        (ago_s, job),
    )
    return job
