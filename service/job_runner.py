"""Jobs in the engine: started, followed, stopped, and what its death in the middle of one means."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from db.blocks import note_progress
from db.ingest_items import release_item, token_of_item
from db.queue.workers import give_back, note_death, token_of
from service import logs, protocol
from service.aside import Aside
from service.engine_process import EngineDiedError, EngineProcess
from service.metrics import WorkerMetrics
from service.outcomes import Outcome

PROGRESS_EVERY_S = 2.0
RELEASE_S = 10.0
"""How long a job has to stop between two windows, before its engine is killed."""

MOST_UNWELL = 2
"""Different jobs in a row that this machine was in the way of: then it is the worker, and not the job."""
_LONGEST_PAUSE_S, _LONGEST_UNWELL_PAUSE_S = 60.0, 10.0

COUNTED_AS = {
    protocol.DONE: "done",
    protocol.SUPERSEDED: "superseded",
    protocol.RELEASED: "released",
    protocol.UNWELL: "released",
    protocol.CANCELLED: "cancelled",
}
"""What a job's end is called in the metrics; everything else has failed."""


@dataclass
class _Attempt:
    """What a job works on, and the token of its attempt once it is known."""

    run_id: int | None
    block: int | None
    item_id: int | None
    token: UUID | None = None


class JobRunner:
    """The engine of a worker, and the one job that it does.

    Args:
        device: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        interprets: it will do inference, and says at once what it computes on.
        aside: for progress.
        metrics: counts windows, memory and engines.

    Attributes:
        ailing: why no job can be done now: the engine does not start, or this machine (a disk, the GPU) was
            in the way of several jobs; None: they can, as far as it knows.
        longest_pause_s: of a worker that is ailing; where its engine starts, other jobs may still fit.

    """

    def __init__(self, device: str | None, *, interprets: bool, aside: Aside, metrics: WorkerMetrics) -> None:
        self.ailing: str | None = None
        self.longest_pause_s = _LONGEST_PAUSE_S
        self._unwell: set[str] = set()
        """Jobs that this machine was in the way of since one was done."""
        self._aside = aside
        self._metrics = metrics
        self._releasing = False
        self._ending: asyncio.Task[None] | None = None
        self._engine = EngineProcess(
            {
                **({"LODE_DEVICE": device} if device else {}),
                **({"LODE_ENGINE_LOADS_TORCH": "1"} if interprets else {}),
            },
            on_memory=metrics.gpu_memory,
        )

    @property
    def device(self) -> str:
        """What the engine computes on, in its own words."""
        return self._engine.device

    @property
    def versions(self) -> dict[str, str]:
        """Of its software."""
        return self._engine.versions

    async def start(self) -> None:
        """Start the engine, if it does not run.

        Raises:
            EngineDiedError: it ended at once, or said nothing.

        """
        self.ailing = None
        if not self._engine.is_running:
            await self._start_engine()

    async def _start_engine(self) -> None:
        try:
            await self._engine.start()
        except EngineDiedError as error:
            self.ailing, self.longest_pause_s = f"the engine does not start: {error}", _LONGEST_PAUSE_S
            raise

    async def end(self) -> None:
        """End the engine, whatever it does."""
        if self._ending is not None:
            self._ending.cancel()
        await self._engine.kill()

    def release(self) -> None:
        """Have the job stop between two windows, or its engine ended, and given back in either case."""
        if not self._releasing:
            self._releasing = True
            self._ending = asyncio.create_task(self._end_job())

    async def _end_job(self) -> None:
        self._engine.ask_to_stop("release")
        await asyncio.sleep(RELEASE_S)
        self._engine.end_process()

    async def do(self, task: str, args: dict[str, Any], is_cancelled: Callable[[], bool]) -> Outcome:
        """Have the engine do a job.

        Args:
            task: its name.
            args: its arguments.
            is_cancelled: asked when this coroutine is cancelled: nobody wants the job any more; otherwise it
                is given back.

        """
        note = _Attempt(args.get("run_id"), args.get("block"), args.get("ingest_item_id"))
        try:
            if not self._engine.is_running:
                self._metrics.engine_restarted()
                try:
                    await self._start_engine()
                except EngineDiedError as error:
                    return Outcome(protocol.UNWELL, str(error))  # the job is not to blame
            outcome = await self._engine.execute(task, args, self._pass_on(note))
        except EngineDiedError as error:
            return await self._after_death(note, str(error))
        except asyncio.CancelledError:
            nobody_wants_it = is_cancelled()
            self._engine.ask_to_stop("cancel" if nobody_wants_it else "release")
            try:
                return await self._engine.end_of_job(RELEASE_S)
            except EngineDiedError as error:
                died = await self._after_death(note, str(error), gives_back=not nobody_wants_it)
                return Outcome(protocol.CANCELLED, died.reason) if nobody_wants_it else died
        if outcome.is_spoilt:
            # A device that once failed fails every job that follows, until its process has ended.
            await self._engine.kill()
        if outcome.end == protocol.DONE:
            self._unwell.clear()
        if outcome.end == protocol.UNWELL:
            self._note_unwell(json.dumps([task, args], sort_keys=True), outcome.reason)
            if note.run_id is not None:
                run_id, reason = note.run_id, outcome.reason
                await self._aside.do(lambda conn: note_death(conn, run_id, reason))
        return outcome

    def _note_unwell(self, job: str, reason: str) -> None:
        """Take note that this machine was in the way of a job; others go on until it is more than one."""
        logs.logger(__name__).error("this machine is in the way", reason=reason)
        self._unwell.add(job)
        if len(self._unwell) >= MOST_UNWELL:
            self.ailing, self.longest_pause_s = reason, _LONGEST_UNWELL_PAUSE_S

    async def _after_death(self, note: _Attempt, reason: str, *, gives_back: bool = False) -> Outcome:
        """What an engine's death in the middle of a job makes of it: given back, if it was ended for that."""
        await self._engine.kill()
        run_id, block, item_id, token = note.run_id, note.block, note.item_id, note.token
        if self._releasing or gives_back:
            if run_id is not None and token is not None:
                await self._aside.do(lambda conn: give_back(conn, run_id, block, token))
            if item_id is not None and token is not None:
                await self._aside.do(lambda conn: release_item(conn, item_id, token))
            return Outcome(protocol.RELEASED, reason)
        if run_id is not None:
            await self._aside.do(lambda conn: note_death(conn, run_id, reason))
        return Outcome(protocol.BROKEN, reason)

    def _pass_on(self, note: _Attempt) -> Callable[[str, int, int], Coroutine[Any, Any, None]]:
        """Progress of a run goes into the database, every two seconds and at each new stage."""
        run_id, block, item_id = note.run_id, note.block, note.item_id
        who = f"{socket.gethostname()}, process {os.getpid()}, {self._engine.device}"
        noted_stage, noted_at, counted = "", 0.0, 0

        async def pass_on(stage: str, done: int, total: int) -> None:
            nonlocal noted_stage, noted_at, counted
            now = time.monotonic()
            if stage == "classifying":
                self._metrics.windows(max(done - counted, 0))
                counted = done
            if item_id is not None and note.token is None:
                note.token = await self._aside.do(lambda conn: token_of_item(conn, item_id))
            if run_id is None or (stage == noted_stage and now - noted_at < PROGRESS_EVERY_S):
                return
            noted_stage, noted_at = stage, now
            await self._aside.do(lambda conn: note_progress(conn, run_id, block, stage, done, total, who))
            if note.token is None:
                note.token = await self._aside.do(lambda conn: token_of(conn, run_id, block))

        return pass_on
