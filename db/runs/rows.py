"""Runs as they stand in the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.errors import UsageError


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


def has_current_run(conn: Connection[Any], scene_id: int) -> bool:
    """Whether some run already stands for the scene."""
    row = conn.execute("select 1 from lode.run where scene_id = %s and is_current", (scene_id,)).fetchone()
    return row is not None
