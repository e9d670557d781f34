"""Ask for runs, and take requests back: by the functions of ``lode_api`` that users call as well."""

from __future__ import annotations

from typing import Any

from psycopg import Connection, Error, errors
from psycopg.sql import SQL, Identifier, Placeholder

from db.connection import describe
from db.errors import UsageError
from db.runs.rows import Run, run_by_id

_REFUSALS = (
    errors.NoDataFound,
    errors.InvalidParameterValue,
    errors.CheckViolation,
    errors.ConfigurationLimitExceeded,
    errors.InsufficientPrivilege,
)


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
