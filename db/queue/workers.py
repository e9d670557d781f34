"""What workers write about themselves, and what they do for all: reaping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.types.json import Jsonb

from db.blocks import BlockClaim, release_block
from db.runs import Claim, end_publishing, release_run


def register_worker(
    conn: Connection[Any],
    worker_id: int,
    *,
    host: str,
    process_id: int,
    device: str,
    queues: Sequence[str],
    versions: Mapping[str, str],
    silent_s: float,
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
        silent_s: after how many seconds without a heartbeat it counts as dead.

    """
    conn.execute(
        "insert into lode.worker (worker_id, host, process_id, device, queues, versions, silent_s)"
        " values (%s, %s, %s, %s, %s, %s, %s) on conflict (worker_id) do nothing",
        (worker_id, host, process_id, device, list(queues), Jsonb(dict(versions)), silent_s),
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


def note_death(conn: Connection[Any], run_id: int, reason: str) -> None:
    """Record why an attempt at a run, or a block of it, ended that could not say so itself."""
    conn.execute(
        "update lode.run set error = %s where run_id = %s and status in ('requested', 'running')",
        (reason, run_id),
    )


def token_of(conn: Connection[Any], run_id: int, block: int | None) -> UUID | None:
    """The token of the attempt at a run, or a block of it, that runs; None: nobody is at it."""
    if block is None:
        query = "select token from lode.run where run_id = %s and status = 'running'"
    else:
        query = "select token from lode.run_block where run_id = %s and block = %s and status = 'running'"
    row = conn.execute(query.encode(), (run_id,) if block is None else (run_id, block)).fetchone()
    return None if row is None else row[0]


def give_back(conn: Connection[Any], run_id: int, block: int | None, token: UUID) -> None:
    """Give back the attempt of an engine that was ended in the middle of it, unless there is a newer one."""
    if block is None:
        claim = Claim(run_id, 0, token)
        end_publishing(conn, claim)
        release_run(conn, claim)
    else:
        release_block(conn, BlockClaim(run_id, block, 0, token))
