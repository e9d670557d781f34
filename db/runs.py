"""Runs: one interpretation of one scene by one network, and the right to publish it.

A run is asked for once per scene, model and parameters. Each attempt gets a token of its own; only the
holder of the newest token may publish, so that a worker that was given up for dead cannot overwrite
what its successor did.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection, errors
from psycopg.types.json import Jsonb

from db.errors import UsageError

RUN_LOCK = 0x10DE0002
"""First key of the advisory lock a worker holds on its run (the second is the run's key)."""


@dataclass(frozen=True)
class Run:
    """A row of ``lode.run``."""

    run_id: int
    scene_id: int
    model_id: int
    status: str
    is_current: bool
    attempt: int
    error: str | None


@dataclass(frozen=True)
class Claim:
    """The right to compute and publish one attempt of a run."""

    run_id: int
    attempt: int
    token: UUID


def parameters_digest(parameters: Mapping[str, Any]) -> str:
    """SHA-256 of the parameters, independent of the order they are given in."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def request_run(conn: Connection[Any], scene_id: int, model_id: int, parameters: Mapping[str, Any]) -> Run:
    """The run of this scene, model and parameters; made when nobody asked for it before."""
    digest = parameters_digest(parameters)
    conn.execute(
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest) values (%s, %s, %s, %s)"
        " on conflict (scene_id, model_id, parameters_digest) do nothing",
        (scene_id, model_id, Jsonb(dict(parameters)), digest),
    )
    row = conn.execute(
        "select run_id from lode.run where scene_id = %s and model_id = %s and parameters_digest = %s",
        (scene_id, model_id, digest),
    ).fetchone()
    if row is None:
        raise UsageError("the run was removed while it was asked for; ask again")
    return run_by_id(conn, row[0])


def run_by_id(conn: Connection[Any], run_id: int) -> Run:
    """The run with this key.

    Raises:
        UsageError: there is none.

    """
    row = conn.execute(
        "select run_id, scene_id, model_id, status, is_current, attempt, error"
        " from lode.run where run_id = %s",
        (run_id,),
    ).fetchone()
    if row is None:
        raise UsageError(f"there is no run {run_id}; lode_api.run_history lists them")
    return Run(*row)


@contextmanager
def working_on(conn: Connection[Any], run_id: int) -> Iterator[None]:
    """Hold the run for this connection; a worker that dies loses its hold with its connection.

    Raises:
        UsageError: another worker is at it.

    """
    row = conn.execute("select pg_try_advisory_lock(%s, %s)", (RUN_LOCK, run_id)).fetchone()
    if row is None or not row[0]:
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


def claim_run(conn: Connection[Any], run_id: int, *, device: str, versions: Mapping[str, str]) -> Claim:
    """Start a new attempt under a new token; an older attempt's token is worthless from now on."""
    token = uuid4()
    row = conn.execute(
        "update lode.run set status = 'running', is_current = false, attempt = attempt + 1, token = %s,"
        " started_at = now(), finished_at = null, device = %s, versions = %s, error = null"
        " where run_id = %s and status in ('requested', 'running', 'failed') returning attempt",
        (token, device, Jsonb(dict(versions)), run_id),
    ).fetchone()
    if row is None:
        raise UsageError(f"run {run_id} is {run_by_id(conn, run_id).status}; it cannot be started again")
    return Claim(run_id, row[0], token)


def fail_run(conn: Connection[Any], claim: Claim, reason: str) -> None:
    """Record why an attempt failed; says nothing when a newer attempt has begun."""
    conn.execute(
        "update lode.run set status = 'failed', finished_at = now(), error = %s"
        " where run_id = %s and token = %s and status = 'running'",
        (reason, claim.run_id, claim.token),
    )


def hold_for_publication(conn: Connection[Any], claim: Claim) -> None:
    """Lock the run's row until the end of the transaction and check the token.

    Raises:
        UsageError: the token is no longer valid; nothing may be published under it.

    """
    row = conn.execute(
        "select status, token from lode.run where run_id = %s for update", (claim.run_id,)
    ).fetchone()
    if row is None or row[0] != "running" or row[1] != claim.token:
        state = "gone" if row is None else row[0]
        raise UsageError(
            f"attempt {claim.attempt} of run {claim.run_id} may no longer publish: the run is {state} and "
            "was given to another worker; nothing was stored"
        )


def has_current_run(conn: Connection[Any], scene_id: int) -> bool:
    """Whether some run already stands for the scene."""
    row = conn.execute("select 1 from lode.run where scene_id = %s and is_current", (scene_id,)).fetchone()
    return row is not None


def mark_published(conn: Connection[Any], claim: Claim, *, figures: Mapping[str, Any]) -> None:
    """Mark the attempt as published."""
    conn.execute(
        "update lode.run set status = 'published', finished_at = clock_timestamp(), figures = %s"
        " where run_id = %s",
        (Jsonb(dict(figures)), claim.run_id),
    )


def _hold_accounts(conn: Connection[Any], run_id: int) -> None:
    """Take the accounting lock before rows of published runs are locked, so that nobody waits in a circle.

    The row of a run that is being published is locked before, while its polygons are stored. Who deletes it
    meanwhile holds the accounting lock and waits for the row: one of the two has to give way.

    Raises:
        UsageError: that is this one.

    """
    try:
        conn.execute("select lode_api.lock_accounts()")
    except errors.DeadlockDetected as error:
        raise UsageError(
            f"run {run_id} is being deleted by somebody who waits for it; nothing was stored. If it is still "
            "there afterwards, ask for it again"
        ) from error


def set_priority(conn: Connection[Any], run_id: int, priority: int) -> None:
    """Let a run own shared ground before runs of lower priority, whatever the rule of the year map says.

    Areas follow by a trigger in the same transaction.
    """
    if run_by_id(conn, run_id).status in ("published", "withdrawn"):
        _hold_accounts(conn, run_id)
    conn.execute("update lode.run set priority = %s where run_id = %s", (priority, run_id))


def withdraw_run(conn: Connection[Any], run_id: int, reason: str) -> None:
    """Take a published run out of maps and areas; its polygons stay for whoever wants to know why.

    Areas follow by a trigger in the same transaction: other runs that saw its ground own it then.

    Raises:
        UsageError: it is not published, or no reason is given.

    """
    run = run_by_id(conn, run_id)
    if run.status != "published":
        raise UsageError(f"run {run_id} is {run.status}; only a published run can be withdrawn")
    if not reason.strip():
        raise UsageError(f"run {run_id}: say why it is withdrawn; the reason is kept with it")
    _hold_accounts(conn, run_id)
    conn.execute(
        "update lode.run set status = 'withdrawn', is_current = false, withdrawn_at = now(),"
        " withdrawn_by = session_user, withdrawn_reason = %s where run_id = %s",
        (reason.strip(), run_id),
    )


def reinstate_run(conn: Connection[Any], run_id: int) -> None:
    """Undo a withdrawal; the run is published again, and current when it is made so.

    Raises:
        UsageError: it was not withdrawn.

    """
    run = run_by_id(conn, run_id)
    if run.status != "withdrawn":
        raise UsageError(f"run {run_id} is {run.status}; only a withdrawn run can be reinstated")
    _hold_accounts(conn, run_id)
    conn.execute(
        "update lode.run set status = 'published', withdrawn_at = null, withdrawn_by = null,"
        " withdrawn_reason = null where run_id = %s",
        (run_id,),
    )


def make_current(conn: Connection[Any], run_id: int) -> bool:
    """Let a published run stand for its scene; whether that changed anything.

    Areas, change and alerts that stand on it are derived by a trigger in the same transaction.
    """
    run = run_by_id(conn, run_id)
    if run.status != "published":
        raise UsageError(f"run {run_id} is {run.status}; only a published run can become current")
    if run.is_current:
        return False
    _hold_accounts(conn, run_id)
    conn.execute("update lode.run set is_current = false where scene_id = %s and is_current", (run.scene_id,))
    conn.execute("update lode.run set is_current = true where run_id = %s", (run_id,))
    return True
