"""Attempts at runs: begun under a token, given back, failed, published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection
from psycopg.types.json import Jsonb

from db.errors import SupersededError, UsageError
from db.locks import end_sessions, waiting_in_parts
from db.runs.rows import Run, run_by_id

RUN_LOCK = 0x10DE0002
"""First key of the advisory lock a worker holds on its run (the second is the run's key)."""


@dataclass(frozen=True)
class Claim:
    """The right to compute and publish one attempt of a run."""

    run_id: int
    attempt: int
    token: UUID


def hold(conn: Connection[Any], run_id: int) -> bool:
    """Hold the run for as long as the connection lives; False: another one does. The caller commits."""
    row = conn.execute("select pg_try_advisory_lock(%s, %s)", (RUN_LOCK, run_id)).fetchone()
    return row is not None and bool(row[0])


def is_heard(conn: Connection[Any]) -> bool:
    """Whether the server still answers on this connection, which then holds what it held."""
    try:
        conn.execute("select")
        conn.commit()
    except psycopg.OperationalError:
        return False
    return True


@contextmanager
def working_on(conn: Connection[Any], run_id: int) -> Iterator[None]:
    """Hold the run for this connection; a worker that dies loses its hold with its connection.

    Raises:
        UsageError: another worker is at it.

    """
    if not hold(conn, run_id):
        raise UsageError(
            f"run {run_id} is being computed by another worker; wait for it, or stop that worker"
        )
    try:
        yield
    finally:
        if not conn.closed:
            conn.rollback()
            conn.execute("select pg_advisory_unlock(%s, %s)", (RUN_LOCK, run_id))
            conn.commit()


def claim_run(
    conn: Connection[Any],
    run_id: int,
    *,
    device: str,
    versions: Mapping[str, str],
    most_attempts: int | None = None,
) -> Claim:
    """Start a new attempt under a new token; an older attempt's token is worthless from now on.

    Args:
        conn: connection; the caller commits, before the work begins.
        run_id: the run.
        device: what will compute it.
        versions: of the software that will.
        most_attempts: a run that was started so often fails here, which is committed: whoever began it never
            came to an end. None: a person starts it, as often as they like.

    Raises:
        SupersededError: it is published, cancelled or withdrawn, or its attempts are used up.

    """
    run = _locked(conn, run_id)
    is_pending = run.status in ("requested", "running")
    if most_attempts is not None and is_pending and run.attempt >= most_attempts:
        used_up(conn, run_id, f"it was started {run.attempt} times, and no worker came to its end")
        conn.commit()
        raise SupersededError(f"run {run_id} was started {run.attempt} times and failed")
    token = uuid4()
    row = conn.execute(
        "update lode.run set status = 'running', is_current = false, attempt = attempt + 1, token = %s,"
        " started_at = clock_timestamp(), finished_at = null, device = %s, versions = %s, error = null"
        " where run_id = %s and (status in ('requested', 'running') or %s and status = 'failed')"
        " returning attempt",
        (token, device, Jsonb(dict(versions)), run_id, most_attempts is None),
    ).fetchone()
    if row is None:
        raise SupersededError(f"run {run_id} is {run.status}; it cannot be started again")
    return Claim(run_id, row[0], token)


def used_up(conn: Connection[Any], run_id: int, reason: str) -> None:
    """Fail a run whose attempts, or those of one of its blocks, are used up."""
    conn.execute(
        "update lode.run set status = 'failed', finished_at = clock_timestamp(),"
        " error = concat_ws('; the last reason given: ', %s::text, error) where run_id = %s"
        " and status in ('requested', 'running')",
        (reason, run_id),
    )


def fail_run(conn: Connection[Any], claim: Claim, reason: str, *, is_final: bool = True) -> None:
    """Record why an attempt failed; says nothing when a newer attempt has begun.

    Args:
        conn: connection; the caller commits.
        claim: the attempt.
        reason: why.
        is_final: the run has failed; otherwise it waits for its next attempt.

    """
    conn.execute(
        "update lode.run set status = %s, finished_at = clock_timestamp(), error = %s"
        " where run_id = %s and token = %s and status = 'running'",
        ("failed" if is_final else "requested", reason, claim.run_id, claim.token),
    )


def release_run(conn: Connection[Any], claim: Claim, *, only_queued: bool = False) -> bool:
    """Give an attempt back: the run waits as before it; nothing happens when a newer one has begun.

    Args:
        conn: connection; the caller commits.
        claim: the attempt.
        only_queued: nothing happens either when nobody put the run into the queue.

    Returns:
        Whether it was given back.

    """
    row = conn.execute(
        "update lode.run set status = 'requested', attempt = attempt - 1, started_at = null"
        " where run_id = %s and token = %s and status = 'running' and (queued_at is not null or not %s)"
        " returning run_id",
        (claim.run_id, claim.token, only_queued),
    ).fetchone()
    return row is not None


def publishing_name(claim: Claim) -> str:
    """Name of the connection that publishes an attempt, by which it is found and ended."""
    return f"lode infer (publishing {claim.run_id}, {claim.token.hex[:12]})"


def end_publishing(conn: Connection[Any], claim: Claim) -> None:
    """End the server's session of an attempt whose process was ended; what it committed stays.

    It holds the run's row as long as it waits for others or derives areas. That of another attempt is left
    alone: its process may live, and has the right to publish.
    """
    end_sessions(conn, publishing_name(claim))


def hold_for_publication(conn: Connection[Any], claim: Claim) -> bool:
    """Lock the run's row until the end of the transaction and check the token.

    Returns:
        True: publish. False: this attempt has published already; the answer to its commit was lost.

    Raises:
        SupersededError: the token is no longer valid; nothing may be published under it.

    """
    with waiting_in_parts(conn):
        row = conn.execute(
            "select status, token from lode.run where run_id = %s for no key update", (claim.run_id,)
        ).fetchone()
    if row is not None and row[1] == claim.token:
        if row[0] == "running":
            return True
        if row[0] == "published":
            return False
    state = "gone" if row is None else row[0]
    given = " and was given to another worker" if state in ("running", "published") else ""
    raise SupersededError(
        f"attempt {claim.attempt} of run {claim.run_id} may no longer publish: the run is {state}{given}; "
        "nothing was stored"
    )


def mark_published(conn: Connection[Any], claim: Claim, *, figures: Mapping[str, Any]) -> None:
    """Mark the attempt as published."""
    conn.execute(
        "update lode.run set status = 'published', finished_at = clock_timestamp(), figures = %s"
        " where run_id = %s",
        (Jsonb(dict(figures)), claim.run_id),
    )


def _locked(conn: Connection[Any], run_id: int) -> Run:
    with waiting_in_parts(conn):
        conn.execute("select from lode.run where run_id = %s for no key update", (run_id,))
    return run_by_id(conn, run_id)
