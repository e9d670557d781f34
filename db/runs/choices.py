"""Which published run stands for its scene, and which owns shared ground."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, errors

from db.errors import UsageError
from db.runs.rows import Run, has_current_run, run_by_id, run_plan


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
    _require(conn, run_id, "published", "be withdrawn")
    if not reason.strip():
        raise UsageError(f"run {run_id}: say why it is withdrawn; the reason is kept with it")
    _hold_accounts(conn, run_id)
    _require(conn, run_id, "published", "be withdrawn")
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
    _require(conn, run_id, "withdrawn", "be reinstated")
    _hold_accounts(conn, run_id)
    _require(conn, run_id, "withdrawn", "be reinstated")
    conn.execute(
        "update lode.run set status = 'published', withdrawn_at = null, withdrawn_by = null,"
        " withdrawn_reason = null where run_id = %s",
        (run_id,),
    )


def make_current(conn: Connection[Any], run_id: int) -> bool:
    """Let a published run stand for its scene; whether that changed anything.

    Areas, change and alerts that stand on it are derived by a trigger in the same transaction.

    Raises:
        UsageError: it is not published.

    """
    if _require(conn, run_id, "published", "become current").is_current:
        return False
    _hold_accounts(conn, run_id)
    run = _require(conn, run_id, "published", "become current")
    conn.execute("update lode.run set is_current = false where scene_id = %s and is_current", (run.scene_id,))
    conn.execute("update lode.run set is_current = true where run_id = %s", (run_id,))
    return True


def stand_for_scene(conn: Connection[Any], run_id: int) -> bool:
    """Let a run that is being published stand for its scene, if that was asked for or no other run does.

    Whether another run does is asked under the accounting lock: of two that are published at the same time,
    the first is seen by the second. Where one is seen before, nobody waits for that lock.

    Args:
        conn: connection, in the transaction that publishes the run and so holds its row.
        run_id: the run; it is marked as published.

    Returns:
        Whether it stands for its scene.

    """
    plan = run_plan(conn, run_id)  # anew: somebody may have wanted it since the attempt began
    if not plan.becomes_current:
        if has_current_run(conn, plan.scene_id):
            return False
        _hold_accounts(conn, run_id)
        if has_current_run(conn, plan.scene_id):
            return False
    return make_current(conn, run_id)


def _require(conn: Connection[Any], run_id: int, status: str, choice: str) -> Run:
    """The run, if its state allows a choice: asked before the accounting lock is waited for, and under it.

    Raises:
        UsageError: it is in another state.

    """
    run = run_by_id(conn, run_id)
    if run.status != status:
        raise UsageError(f"run {run_id} is {run.status}; only a {status} run can {choice}")
    return run


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
