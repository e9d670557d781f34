"""A worker: takes jobs from the queue in the database and has its engine do them.

This process only fetches, says that it lives, listens, passes progress on, reaps what dead workers left and
starts what the schedule says; it loads neither torch nor GDAL. See ``service.engine`` for the other one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import procrastinate
from procrastinate import exceptions
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.worker import Worker as QueueWorker
from psycopg import Connection

from db.blocks import note_progress
from db.connection import connect, describe, is_transient
from db.errors import RetryError, UsageError
from db.queue.connector import PatientConnector
from db.queue.workers import forget_worker, has_job, note_death, reap_jobs, register_worker
from db.watch import require_current
from service import logs, protocol
from service.engine import TASKS
from service.engine_process import EngineDiedError, EngineProcess
from service.metrics import WorkerMetrics
from service.outcomes import Outcome

QUEUES = ("inference", "ingest", "report")
NAME = "lode worker"

HEARTBEAT_S = 10.0
SILENT_S = 60.0
"""A worker that was not heard of for so long counts as dead: its jobs are given to others."""
REAP_EVERY_S = 10.0
SCHEDULE_EVERY_S = 15.0
POLL_S = 5.0
PROGRESS_EVERY_S = 2.0
RELEASE_S = 10.0
"""How long a job has to stop between two windows, before its engine is killed."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_MOST_TRIES = 10
"""Of a job; attempts of runs, blocks and items are counted, and end earlier, in their own rows."""

_COUNTED = {
    protocol.DONE: "done",
    protocol.SUPERSEDED: "superseded",
    protocol.RELEASED: "released",
    protocol.CANCELLED: "cancelled",
}
"""What a job's end is called in the metrics; everything else has failed."""

_NEVER_S = 1e9

Scheduler = Callable[[str], int]


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker is to work.

    Attributes:
        url: libpq URL of the database.
        queues: it takes work from.
        device: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        grace_s: how long a job may go on after SIGTERM before it is given back, seconds.
        silent_s: after how many seconds without a heartbeat other workers count as dead.
        drains: end when no job is left.

    """

    url: str
    queues: tuple[str, ...] = QUEUES
    device: str | None = None
    grace_s: float = 30.0
    silent_s: float = SILENT_S
    drains: bool = False


class JobFailedError(Exception):
    """A job did not come to its end.

    Attributes:
        end: why, in a word of ``service.protocol``.

    """

    def __init__(self, end: str, reason: str) -> None:
        super().__init__(reason or end)
        self.end = end


class RetryPolicy(BaseRetryStrategy):
    """What is given back goes on at once; what was in the way is tried again later; what cannot be is not."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When the job is tried again; None: never."""
        if isinstance(exception, asyncio.CancelledError):  # the worker ends
            return RetryDecision(retry_in={"seconds": 0})
        end = exception.end if isinstance(exception, JobFailedError) else protocol.BROKEN
        if end == protocol.RELEASED:
            return RetryDecision(retry_in={"seconds": 0})
        if end in (protocol.TRANSIENT, protocol.BROKEN) and job.attempts + 1 < _MOST_TRIES:
            pause_s = min(10.0 * 2**job.attempts, 600.0) * random.uniform(0.5, 1.0)  # noqa: S311
            return RetryDecision(retry_in={"seconds": int(pause_s)})
        return None


class Worker:
    """One worker with its engine.

    Args:
        options: how it is to work.
        metrics: counts what it does.
        schedule: enqueues what is due; takes the URL, returns how many.

    """

    def __init__(self, options: WorkerOptions, metrics: WorkerMetrics, schedule: Scheduler) -> None:
        self._options = options
        self._metrics = metrics
        self._schedule = schedule
        self._log = logs.logger(__name__)
        self._engine = EngineProcess(
            {
                **({"LODE_DEVICE": options.device} if options.device else {}),
                **({"LODE_ENGINE_LOADS_TORCH": "1"} if "inference" in options.queues else {}),
            },
            on_memory=metrics.gpu_memory,
        )
        self._queue_worker: QueueWorker | None = None
        self._connector: PatientConnector | None = None
        self._stopping = asyncio.Event()
        self._unfit: UsageError | None = None
        self._awake_at = time.monotonic()
        self._overslept_at = 0.0
        self._cut_off_at = -math.inf
        self._side: Connection[Any] | None = None
        self._side_lock = asyncio.Lock()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, or with ``drains`` until the queue is empty.

        Raises:
            UsageError: the database is of another version of Lode, or became so.

        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._stopping.is_set():
                begun = time.monotonic()
                try:
                    await self._work()
                except EngineDiedError as error:
                    self._log.error("the engine does not start", reason=str(error))
                except RetryError as error:
                    self._log.warning("the database cannot be reached", reason=str(error))
                except (exceptions.ProcrastinateException, OSError) as error:
                    self._log.warning("the queue cannot be worked on", reason=_reason(error))
                else:
                    if self._options.drains:
                        return
                if self._stopping.is_set():
                    break
                if time.monotonic() - begun > 10 * _LONGEST_PAUSE_S:
                    pause_s = _FIRST_PAUSE_S
                await self._sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - nothing secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            await self._engine.kill()
            if self._side is not None:
                self._side.close()
        if self._unfit is not None:
            raise self._unfit

    def _stop(self) -> None:
        if self._stopping.is_set():  # told twice
            self._engine.ask_to_stop("release")
            return
        self._stopping.set()
        if self._connector is not None:
            self._connector.hurry()
        if self._queue_worker is not None:
            self._queue_worker.shutdown_graceful_timeout = self._options.grace_s
            self._queue_worker.stop()

    async def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < end:
            await asyncio.sleep(0.1)

    async def _work(self) -> None:
        """Register and work; comes back when told to stop, or when the queue was lost."""
        options = self._options
        await asyncio.to_thread(_require_current, options.url)
        if not self._engine.is_running:
            await self._engine.start()
        self._connector = PatientConnector(options.url, application_name=NAME)
        app = procrastinate.App(connector=self._connector)
        for name in TASKS:
            app.task(name=name, pass_context=True, retry=RetryPolicy())(self._function(name))
        async with app.open_async():
            worker = self._queue_worker = QueueWorker(
                app=app,
                queues=list(options.queues),
                name=None,
                concurrency=1,
                wait=not options.drains,
                fetch_job_polling_interval=POLL_S,
                abort_job_polling_interval=POLL_S,
                shutdown_graceful_timeout=None,
                install_signal_handlers=False,
                update_heartbeat_interval=min(HEARTBEAT_S, options.silent_s / 4),
                stalled_worker_timeout=_NEVER_S,  # the reaper does it; two that do it deadlock
            )
            side = [
                asyncio.create_task(self._register(worker), name="register"),
                asyncio.create_task(self._reap(), name="reap"),
                asyncio.create_task(self._follow_schedule(), name="schedule"),
                asyncio.create_task(self._keep_awake(), name="awake"),
            ]
            try:
                if not self._stopping.is_set():
                    await worker.run()
            finally:
                for task in side:
                    task.cancel()
                await asyncio.gather(*side, return_exceptions=True)
                self._queue_worker = None

    async def _register(self, worker: QueueWorker) -> None:
        while worker.worker_id is None:
            await asyncio.sleep(0.05)
        worker_id = worker.worker_id
        engine, options = self._engine, self._options
        await self._aside(
            lambda conn: register_worker(
                conn,
                worker_id,
                host=socket.gethostname(),
                process_id=os.getpid(),
                device=engine.device,
                queues=options.queues,
                versions=engine.versions,
            )
        )
        self._log.info("worker registered", worker=worker_id, device=engine.device, queues=options.queues)
        try:
            await asyncio.Event().wait()
        finally:
            await self._aside(lambda conn: forget_worker(conn, worker_id))

    async def _reap(self) -> None:
        while True:
            reaped = await self._aside(self._reaped)
            if reaped:
                self._log.warning("jobs of workers that went silent wait again", jobs=reaped)
            pause_s = min(REAP_EVERY_S, self._options.silent_s / 4)
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311

    def _reaped(self, conn: Connection[Any]) -> int | None:
        """Reap; not just after this worker was cut off or asleep: others may have been unheard as well."""
        silent_s = self._options.silent_s
        seen_at = max(self._cut_off_at, self._overslept_at)
        if time.monotonic() - seen_at < silent_s or self._overslept(math.inf):
            return 0
        return reap_jobs(conn, silent_s)

    async def _follow_schedule(self) -> None:
        while True:
            try:
                due = await asyncio.to_thread(self._schedule, self._options.url)
                if due:
                    self._log.info("sources are due", sources=due)
            except UsageError as error:
                self._log.warning("the schedule cannot be followed", reason=str(error))
            except Exception as error:
                if not is_transient(error):
                    raise
                self._log.warning("the schedule cannot be followed", reason=describe(error))
            await asyncio.sleep(SCHEDULE_EVERY_S)

    async def _keep_awake(self) -> None:
        """Notice when this process was stopped for a while: others have its jobs then."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            if now - self._awake_at > self._options.silent_s:
                self._overslept_at = now
            self._awake_at = now

    def _overslept(self, began: float) -> bool:
        """Whether this process was stopped since a moment for so long that it was taken for dead."""
        is_fresh = time.monotonic() - self._awake_at > self._options.silent_s
        return is_fresh or self._overslept_at > began

    async def _aside(self, action: Callable[[Connection[Any]], Any]) -> Any:
        """Do something small on a connection of its own, in a thread; trouble is logged, and it is left."""
        async with self._side_lock:
            return await asyncio.to_thread(self._do_aside, action)

    def _do_aside(self, action: Callable[[Connection[Any]], Any]) -> Any:
        try:
            if self._side is None or self._side.closed:
                self._side = connect(self._options.url, application_name=f"{NAME} (aside)")
                self._side.execute("set statement_timeout = '30s'")
                self._side.commit()
            with self._side.transaction():
                result = action(self._side)
        except Exception as error:
            self._cut_off_at = time.monotonic()
            if self._side is not None:
                self._side.close()
            if not (isinstance(error, UsageError) or is_transient(error)):
                self._log.exception("beside the work")
            else:
                self._log.warning("beside the work", reason=describe(error))
            return None
        return result

    def _function(self, name: str) -> Callable[..., Coroutine[Any, Any, dict[str, Any]]]:
        async def do(context: JobContext, **args: Any) -> dict[str, Any]:
            return await self._do(name, context, args)

        return do

    async def _do(self, task: str, context: JobContext, args: dict[str, Any]) -> dict[str, Any]:
        """Have the engine do a job, and translate how it ended into what procrastinate is to do."""
        began = time.monotonic()
        await self._check_version()
        known = {key: value for key, value in args.items() if key != "reaped"}
        with logs.bound(job=context.job.id, task=task, **known):
            self._metrics.job_started(task)
            end = protocol.BROKEN
            try:
                outcome = await self._in_engine(task, context, args)
                end = outcome.end
            finally:
                self._metrics.job_ended(task, _COUNTED.get(end, "failed"), time.monotonic() - began)
            self._log.info(
                "job ended",
                end=outcome.end,
                seconds=round(time.monotonic() - began, 3),
                **({"reason": outcome.reason} if outcome.reason else {}),
                **({"result": outcome.result} if outcome.result else {}),
            )
        if outcome.end == protocol.CANCELLED:
            raise exceptions.JobAborted
        if outcome.end in (protocol.DONE, protocol.SUPERSEDED):
            return outcome.result
        job_id = context.job.id
        has_it = None
        if job_id is not None and not self._stopping.is_set():
            has_it = await self._aside(lambda conn: has_job(conn, job_id))
        if self._overslept(began) or has_it is False:
            # procrastinate would put a job that was reaped into the queue again, beside its successor
            raise JobFailedError(protocol.REFUSED, "this worker went silent: its job was given to another")
        raise JobFailedError(outcome.end, outcome.reason)

    async def _check_version(self) -> None:
        """End when the database was upgraded meanwhile: this process still runs the older version."""
        try:
            await asyncio.to_thread(_require_current, self._options.url)
        except RetryError:
            return  # the job will find out
        except UsageError as error:
            self._unfit = error
            self._log.error("this version does not fit the database any more", reason=str(error))
            self._stop()
            raise JobFailedError(protocol.RELEASED, str(error)) from error

    async def _in_engine(self, task: str, context: JobContext, args: dict[str, Any]) -> Outcome:
        try:
            if not self._engine.is_running:
                self._metrics.engine_restarted()
                await self._engine.start()
            return await self._engine.execute(task, args, self._pass_on(args))
        except EngineDiedError as error:
            await self._engine.kill()
            run_id, reason = args.get("run_id"), str(error)
            if run_id is not None:
                await self._aside(lambda conn: note_death(conn, run_id, reason))
            return Outcome(protocol.BROKEN, reason)
        except asyncio.CancelledError:
            is_cancelled = context.abort_reason() == AbortReason.USER_REQUEST
            self._engine.ask_to_stop("cancel" if is_cancelled else "release")
            try:
                outcome = await self._engine.end_of_job(RELEASE_S)
            except EngineDiedError as error:
                await self._engine.kill()
                outcome = Outcome(protocol.CANCELLED if is_cancelled else protocol.RELEASED, str(error))
            return outcome

    def _pass_on(self, args: dict[str, Any]) -> Callable[[str, int, int], Coroutine[Any, Any, None]]:
        """Progress of a run goes into the database, every two seconds and at each new stage."""
        run_id, block = args.get("run_id"), args.get("block")
        who = f"{socket.gethostname()}, process {os.getpid()}, {self._engine.device}"
        noted_stage, noted_at, counted = "", 0.0, 0

        async def pass_on(stage: str, done: int, total: int) -> None:
            nonlocal noted_stage, noted_at, counted
            now = time.monotonic()
            if stage == "classifying":
                self._metrics.windows(max(done - counted, 0))
                counted = done
            if run_id is None or (stage == noted_stage and now - noted_at < PROGRESS_EVERY_S):
                return
            noted_stage, noted_at = stage, now
            await self._aside(lambda conn: note_progress(conn, run_id, block, stage, done, total, who))

        return pass_on


def _require_current(url: str) -> None:
    """Refuse a database of another version; an upgrade may have come since the worker started."""
    with connect(url, application_name=NAME) as conn:
        require_current(conn)


def _reason(error: BaseException) -> str:
    return describe(error.__cause__ or error)


async def run_worker(options: WorkerOptions, metrics: WorkerMetrics, schedule: Scheduler) -> None:
    """Run a worker in this process until it is told to stop."""
    with contextlib.suppress(asyncio.CancelledError):
        await Worker(options, metrics, schedule).run()
