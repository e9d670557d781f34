"""What workers write about themselves, and what they do for all: reaping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb


def register_worker(
    conn: Connection[Any],
    worker_id: int,
    *,
    host: str,
    process_id: int,
    device: str,
    queues: Sequence[str],
    versions: Mapping[str, str],
) -> None:
    """Say who a worker is that procrastinate has given a number.

    Args:
        conn: connection; the caller commits.
        worker_id: that number.
        host: name of its machine.
        process_id: of its process there.
        device: what it computes on.
        queues: it takes work from.
        versions: of its software.

    """
    conn.execute(
        "insert into lode.worker (worker_id, host, process_id, device, queues, versions)"
        " values (%s, %s, %s, %s, %s, %s)",
        (worker_id, host, process_id, device, list(queues), Jsonb(dict(versions))),
    )


def forget_worker(conn: Connection[Any], worker_id: int) -> None:
    """Take a worker out that ended."""
    conn.execute("delete from lode.worker where worker_id = %s", (worker_id,))


def reap_jobs(conn: Connection[Any], silent_s: float) -> int | None:
    """Give the jobs of workers that went silent to others, and sweep; the caller commits.

    Args:
        conn: connection.
        silent_s: seconds since the last heartbeat after which a worker counts as dead.

    Returns:
        How many jobs were put into the queue again; None: another worker is at it.

    """
    row = conn.execute("select lode_api.reap_jobs(%s)", (silent_s,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def has_job(conn: Connection[Any], job_id: int) -> bool:
    """Whether a job is still that of the worker that took it; false: it was given to another."""
    row = conn.execute("select status from lode_queue.procrastinate_jobs where id = %s", (job_id,)).fetchone()
    return row is not None and row[0] == "doing"


def note_death(conn: Connection[Any], run_id: int, reason: str) -> None:
    """Record why an attempt at a run, or a block of it, ended that could not say so itself."""
    conn.execute(
        "update lode.run set error = %s where run_id = %s and status in ('requested', 'running')",
        (reason, run_id),
    )


def run_label(conn: Connection[Any], run_id: int) -> tuple[str, str] | None:
    """Product and network of a run, for logs; None when it is gone."""
    row = conn.execute(
        "select s.product, m.name from lode.run r join lode.scene s on s.scene_id = r.scene_id"
        " join lode.model m on m.model_id = r.model_id where r.run_id = %s",
        (run_id,),
    ).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))
