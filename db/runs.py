"""Runs: one interpretation of one scene by one network, and the right to publish it.

A run is asked for once per scene, model and parameters. Each attempt gets a token of its own; only the
holder of the newest token may publish, so that a worker that was given up for dead cannot overwrite
what its successor did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection, Error, errors
from psycopg.sql import SQL, Identifier, Placeholder
from psycopg.types.json import Jsonb

from db.connection import describe
from db.errors import SupersededError, UsageError

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


@dataclass(frozen=True)
class RunPlan:
    """What a run is to do, as it was asked for.

    Attributes:
        run_id, scene_id, model_id: keys.
        status: requested, running, published, failed, cancelled or withdrawn.
        becomes_current: it stands for its scene when it is published, even if another run does.
        overlap_px: pixels shared by neighbouring windows.
        tile_px: edge of a window, pixels.
        max_segment_m: longest stretch of outline without a vertex, m.
        min_patch_m2: smallest patch of each class, m2, by class code.
        block_px: least size of a block, pixels.

    """

    run_id: int
    scene_id: int
    model_id: int
    status: str
    becomes_current: bool
    overlap_px: int
    tile_px: int
    max_segment_m: float
    min_patch_m2: dict[int, float]
    block_px: int


def request_interpretation(
    conn: Connection[Any],
    scene_id: int,
    model_id: int,
    *,
    overlap_px: int | None = None,
    becomes_current: bool = False,
) -> Run:
    """The run of this scene, network and settings with its blocks; made when nobody asked for it before.

    Nothing is put into the queue. A run that failed or was cancelled begins anew.

    Args:
        conn: connection; the caller commits.
        scene_id: the scene.
        model_id: the network.
        overlap_px: pixels shared by neighbouring windows; None: a quarter of the window.
        becomes_current: it shall stand for its scene when it is published, even if another run does.

    Raises:
        UsageError: the network is retired or for another task, the run was withdrawn, or the overlap does
            not fit the windows.

    """
    return run_by_id(conn, _asked(conn, "ask_run", (scene_id, model_id, overlap_px, becomes_current)))


def request_inference(
    conn: Connection[Any], scene_id: int, model_id: int, *, becomes_current: bool = False, priority: int = 0
) -> int:
    """Ask for a run within the quota of this login, and put it into the queue; its key.

    Raises:
        UsageError: as ``request_interpretation``, or the quota is used up.

    """
    return _asked(conn, "request_run", (scene_id, model_id, becomes_current, priority))


def request_scene(conn: Connection[Any], product: str, model: str, *, becomes_current: bool = False) -> int:
    """Ask that a network interprets a scene, both by name; the key of the run in the queue.

    Raises:
        UsageError: unknown scene or network, or as ``request_inference``.

    """
    return _asked(conn, "request_inference", (product, model, becomes_current))


def request_mine(conn: Connection[Any], mine_code: str, year: int, model: str | None = None) -> list[int]:
    """Ask that all scenes of a year over a mine are interpreted; the keys of the runs in the queue.

    Raises:
        UsageError: unknown mine or network, no scene, no network that fits, or the quota is used up.

    """
    try:
        rows = conn.execute("select lode_api.request_mine(%s, %s, %s)", (mine_code, year, model)).fetchall()
    except _REFUSALS as error:
        raise _refused(error) from error
    return [int(run_id) for (run_id,) in rows]


def cancel_run(conn: Connection[Any], run_id: int, reason: str | None = None) -> None:
    """Take a run back that waits or runs; nothing of it is published from now on.

    Raises:
        UsageError: there is none, it has ended, or another login asked for it.

    """
    try:
        conn.execute("select lode_api.cancel_run(%s, %s)", (run_id, reason))
    except _REFUSALS as error:
        raise _refused(error) from error


_REFUSALS = (
    errors.NoDataFound,
    errors.InvalidParameterValue,
    errors.CheckViolation,
    errors.ConfigurationLimitExceeded,
    errors.InsufficientPrivilege,
)


def _asked(conn: Connection[Any], function: str, arguments: tuple[object, ...]) -> int:
    call = SQL("select lode_api.{}({})").format(
        Identifier(function), SQL(", ").join(Placeholder() * len(arguments))
    )
    try:
        row = conn.execute(call, arguments).fetchone()
    except _REFUSALS as error:
        raise _refused(error) from error
    if row is None:
        raise RuntimeError(f"lode_api.{function} returned nothing")
    return int(row[0])


def _refused(error: Error) -> UsageError:
    hint = error.diag.message_hint
    return UsageError(f"{describe(error)}{'; ' if hint else ''}{hint or ''}")


def run_plan(conn: Connection[Any], run_id: int) -> RunPlan:
    """What a run is to do.

    Raises:
        UsageError: there is none.

    """
    row = conn.execute(
        "select scene_id, model_id, status, becomes_current, parameters from lode.run where run_id = %s",
        (run_id,),
    ).fetchone()
    if row is None:
        raise UsageError(f"there is no run {run_id}; lode_api.run_history lists them")
    scene_id, model_id, status, becomes_current, parameters = row
    return RunPlan(
        run_id=run_id,
        scene_id=scene_id,
        model_id=model_id,
        status=status,
        becomes_current=becomes_current,
        overlap_px=int(parameters["overlap_px"]),
        tile_px=int(parameters["tile_px"]),
        max_segment_m=float(parameters["max_segment_m"]),
        min_patch_m2={int(code): float(area) for code, area in parameters["min_patch_m2"].items()},
        block_px=int(parameters["block_px"]),
    )


def worker_of(conn: Connection[Any], run_id: int) -> str | None:
    """The worker that computes a run or a block of it for the queue; None when none does."""
    row = conn.execute(
        "select worker from lode_api.queue where run_id = %s and status = 'running' and heartbeat_s < 60"
        " order by ogc_fid limit 1",
        (run_id,),
    ).fetchone()
    return None if row is None else str(row[0])


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


def release_run(conn: Connection[Any], claim: Claim) -> None:
    """Give an attempt back: the run waits as before it; nothing happens when a newer one has begun."""
    conn.execute(
        "update lode.run set status = 'requested', attempt = attempt - 1, started_at = null"
        " where run_id = %s and token = %s and status = 'running'",
        (claim.run_id, claim.token),
    )


def hold_for_publication(conn: Connection[Any], claim: Claim) -> bool:
    """Lock the run's row until the end of the transaction and check the token.

    Returns:
        True: publish. False: this attempt has published already; the answer to its commit was lost.

    Raises:
        SupersededError: the token is no longer valid; nothing may be published under it.

    """
    row = conn.execute(
        "select status, token from lode.run where run_id = %s for update", (claim.run_id,)
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


def _locked(conn: Connection[Any], run_id: int) -> Run:
    conn.execute("select from lode.run where run_id = %s for update", (run_id,))
    return run_by_id(conn, run_id)


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
