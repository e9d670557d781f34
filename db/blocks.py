"""Blocks of a run: who computes which strip of a large scene, and what they leave for its publication.

Every block is computed under a token of its own attempt. What a worker stages is refused when its block was
given to another one meanwhile, or the run has ended; the run's own token then decides who publishes.

Whoever locks several rows of a run takes them in one order: the run, its blocks, what they staged, its jobs.
The run's row is locked for moments, by a lock that goes together with those of foreign keys (``for no key
update``): several blocks are staged side by side, and the run may be cancelled meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from uuid import UUID

from psycopg import Connection

from db import runs
from db.errors import SupersededError
from db.locks import end_sessions, waiting_in_parts

PENDING = ("requested", "running")
"""States of a run that may still be published."""

LODE_VERSION = version("lode")
"""Version of Lode that this process runs: a newer one may be installed over its files meanwhile."""


@dataclass(frozen=True)
class Block:
    """A strip of a scene: rows ``first_row_px`` to ``first_row_px + row_count_px``.

    ``status``: waiting, running or staged; ``lode_version``: of Lode, that computes or computed it.
    """

    run_id: int
    block: int
    first_row_px: int
    row_count_px: int
    status: str
    lode_version: str | None

    @property
    def is_usable(self) -> bool:
        """Whether it is staged, by the very version that would publish it: no run is made by two."""
        return self.status == "staged" and self.lode_version == LODE_VERSION


@dataclass(frozen=True)
class BlockClaim:
    """The right to compute and stage one attempt of a block."""

    run_id: int
    block: int
    attempt: int
    token: UUID


@dataclass(frozen=True)
class StagedRows:
    """Some rows of a block.

    Attributes:
        row_px: the first of them, in the scene.
        class_map: uint8 (rows, width).
        probability: uint8 (classes, rows, width).

    """

    row_px: int
    class_map: memoryview
    probability: memoryview


def blocks_of(conn: Connection[Any], run_id: int) -> list[Block]:
    """The blocks of a run, from the top."""
    rows = conn.execute(
        "select run_id, block, first_row_px, row_count_px, status, lode_version from lode.run_block"
        " where run_id = %s order by block",
        (run_id,),
    )
    return [Block(*row) for row in rows]


def claim_block(
    conn: Connection[Any], run_id: int, block: int, *, worker: str, most_attempts: int
) -> BlockClaim:
    """Start a new attempt of a block; the run counts as running from its first block on.

    Args:
        conn: connection; the caller commits, before the work begins.
        run_id: the run.
        block: number of the block.
        worker: who computes it: host, process and device.
        most_attempts: a block that was started so often fails its run, which is committed here.

    Raises:
        SupersededError: it is staged, its run waits for nothing any more, or its attempts are used up.

    """
    status = _run_status(conn, run_id)
    row = conn.execute(
        "select status, attempt from lode.run_block where run_id = %s and block = %s", (run_id, block)
    ).fetchone()
    if status not in PENDING or row is None or row[0] == "staged":
        state = status or "gone" if row is None or status not in PENDING else "waiting for other blocks"
        raise SupersededError(f"block {block} of run {run_id} is not needed: the run is {state}")
    if row[1] >= most_attempts:
        reason = f"block {block} was started {row[1]} times, and no worker came to its end"
        runs.used_up(conn, run_id, reason)
        conn.commit()
        raise SupersededError(f"run {run_id} failed: {reason}")
    conn.execute(
        "update lode.run set status = 'running', token = gen_random_uuid(), started_at = clock_timestamp(),"
        " finished_at = null where run_id = %s and status = 'requested'",
        (run_id,),
    )
    claimed = conn.execute(
        "update lode.run_block set status = 'running', attempt = attempt + 1, token = gen_random_uuid(),"
        " worker = %s, lode_version = %s, stage = 'starting', done = 0, total = 0,"
        " started_at = clock_timestamp(), updated_at = clock_timestamp()"
        " where run_id = %s and block = %s returning attempt, token",
        (worker, LODE_VERSION, run_id, block),
    ).fetchone()
    if claimed is None:
        raise SupersededError(f"block {block} of run {run_id} is gone")
    # An attempt that was given up may still hold what it staged: its process was stopped in the middle.
    end_sessions(conn, staging_name(run_id, block))
    return BlockClaim(run_id, block, *claimed)


def staging_name(run_id: int, block: int) -> str:
    """Name of the connection that stages a block, by which the next attempt finds and ends it."""
    return f"lode infer (stage {run_id}.{block})"


def begin_staging(conn: Connection[Any], claim: BlockClaim) -> bool:
    """See that a block may still be staged, and remove what an older attempt left.

    So nothing that others see is locked while the parts are sent: whoever cancels the run waits for nothing,
    and ``finish_block`` may wait for them.

    Args:
        conn: connection; the caller commits, before the parts are sent.
        claim: the attempt.

    Returns:
        True: send the parts. False: this attempt has staged them; the answer to its commit was lost.

    Raises:
        SupersededError: the block was given to another worker, or the run has ended: roll back.

    """
    status = _run_status(conn, claim.run_id)
    row = conn.execute(
        "select status from lode.run_block where run_id = %s and block = %s and token = %s"
        " and status in ('running', 'staged')",
        (claim.run_id, claim.block, claim.token),
    ).fetchone()
    if status not in PENDING or row is None:
        raise _may_not_stage(claim, status)
    if row[0] == "staged":
        return False
    conn.execute("delete from lode.run_stage where run_id = %s and block = %s", (claim.run_id, claim.block))
    return True


def keep_run(conn: Connection[Any], claim: BlockClaim) -> None:
    """Let nobody delete the run to the end of the transaction; locks nothing that anybody else takes.

    Raises:
        SupersededError: it was deleted.

    """
    row = conn.execute("select from lode.run where run_id = %s for key share", (claim.run_id,)).fetchone()
    if row is None:
        raise _may_not_stage(claim, None)


def stage_rows(
    conn: Connection[Any], claim: BlockClaim, row_px: int, class_map: bytes, probability: bytes
) -> None:
    """Leave rows of a block for publication.

    Args:
        conn: connection, in the transaction that ``finish_block`` ends.
        claim: the attempt.
        row_px: the first of the rows, in the scene.
        class_map: uint8 (rows, width).
        probability: uint8 (classes, rows, width).

    """
    conn.execute(
        "insert into lode.run_stage (run_id, block, row_px, class_map, probability)"
        " values (%s, %s, %s, %b, %b) on conflict (run_id, block, row_px)"
        " do update set class_map = excluded.class_map, probability = excluded.probability",
        (claim.run_id, claim.block, row_px, class_map, probability),
    )


def finish_block(conn: Connection[Any], claim: BlockClaim) -> bool:
    """Mark a block as staged; when it was the last, the job that publishes is put into the queue.

    Returns:
        Whether it was the last.

    Raises:
        SupersededError: the block was given to another worker, or the run has ended: roll back.

    """
    status = _run_status(conn, claim.run_id)
    row = None
    if status in PENDING:
        row = conn.execute(
            "update lode.run_block set status = 'staged', stage = null, updated_at = clock_timestamp()"
            " where run_id = %s and block = %s and token = %s and status in ('running', 'staged')"
            " returning block",
            (claim.run_id, claim.block, claim.token),
        ).fetchone()
    if row is None:
        raise _may_not_stage(claim, status)
    last = conn.execute("select lode_api.block_finished(%s)", (claim.run_id,)).fetchone()
    return last is not None and bool(last[0])


def release_block(conn: Connection[Any], claim: BlockClaim) -> None:
    """Give an attempt back; nothing when the block was given to another worker."""
    conn.execute(
        "update lode.run_block set status = 'waiting', attempt = attempt - 1, stage = null"
        " where run_id = %s and block = %s and token = %s and status = 'running'",
        (claim.run_id, claim.block, claim.token),
    )


def fail_block(conn: Connection[Any], claim: BlockClaim, reason: str, *, is_final: bool = True) -> None:
    """Record why an attempt failed; nothing when the block was given to another worker.

    Args:
        conn: connection; the caller commits.
        claim: the attempt.
        reason: why.
        is_final: the whole run fails; otherwise the block waits for its next attempt.

    """
    _run_status(conn, claim.run_id)
    row = conn.execute(
        "update lode.run_block set status = 'waiting', stage = null"
        " where run_id = %s and block = %s and token = %s and status = 'running' returning block",
        (claim.run_id, claim.block, claim.token),
    ).fetchone()
    if row is None:
        return
    conn.execute(
        "update lode.run set error = %s, status = case when %s then 'failed' else status end,"
        " finished_at = case when %s then clock_timestamp() end"
        " where run_id = %s and status in ('requested', 'running')",
        (f"block {claim.block}: {reason}", is_final, is_final, claim.run_id),
    )


def staged_rows(conn: Connection[Any], run_id: int, block: int) -> Iterator[StagedRows]:
    """What a block left, from the top, part by part."""
    parts = conn.execute(
        "select row_px from lode.run_stage where run_id = %s and block = %s order by row_px", (run_id, block)
    ).fetchall()
    for (row_px,) in parts:
        row = conn.execute(
            "select class_map, probability from lode.run_stage"
            " where run_id = %s and block = %s and row_px = %s",
            (run_id, block, row_px),
            binary=True,
        ).fetchone()
        if row is None:
            raise SupersededError(f"run {run_id} was published or cancelled meanwhile")
        yield StagedRows(row_px, memoryview(row[0]), memoryview(row[1]))


def note_progress(
    conn: Connection[Any], run_id: int, block: int | None, stage: str, done: int, total: int, worker: str
) -> None:
    """Record how far a worker is, for ``lode_api.queue``; a whole run is noted at its first block."""
    conn.execute(
        "update lode.run_block set stage = %s, done = %s, total = %s, updated_at = clock_timestamp(),"
        " worker = %s, started_at = coalesce(started_at, clock_timestamp()) where run_id = %s and block = %s",
        (stage, done, total, worker, run_id, block or 0),
    )


def clear_stage(conn: Connection[Any], run_id: int) -> None:
    """Remove what was staged, in the transaction that publishes it."""
    conn.execute("delete from lode.run_stage where run_id = %s", (run_id,))
    conn.execute("update lode.run_block set stage = null where run_id = %s", (run_id,))


def _may_not_stage(claim: BlockClaim, status: str | None) -> SupersededError:
    why = "it was given to another worker" if status in PENDING else f"the run is {status or 'gone'}"
    return SupersededError(
        f"attempt {claim.attempt} of block {claim.block} of run {claim.run_id} may no longer stage: "
        f"{why}; nothing was stored"
    )


def _run_status(conn: Connection[Any], run_id: int) -> str | None:
    """Status of a run; its row is locked to the end of the transaction, always before those of its blocks."""
    with waiting_in_parts(conn):
        row = conn.execute(
            "select status from lode.run where run_id = %s for no key update", (run_id,)
        ).fetchone()
    return None if row is None else str(row[0])
