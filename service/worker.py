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
import psycopg
from procrastinate import exceptions
from procrastinate.job_context import AbortReason, JobContext
from procrastinate.worker import Worker as QueueWorker
from psycopg import Connection

from db.connection import connect, describe, is_transient
from db.errors import RetryError, UsageError
from db.queue.connector import PatientConnector
from db.queue.jobs import OwnJobs, pending_jobs
from db.queue.workers import forget_worker, reap_jobs, register_worker
from db.watch import require_current
from service import logs, protocol
from service.aside import Aside, end_all
from service.engine import TASKS
from service.engine_process import EngineDiedError
from service.job_runner import COUNTED_AS, JobRunner
from service.metrics import WorkerMetrics
from service.retries import JobFailedError, RetryPolicy

NAME = "lode worker"

HEARTBEAT_S = 10.0
SILENT_S = 60.0
"""A worker that was not heard of for so long counts as dead: its jobs are given to others."""
REAP_EVERY_S = 10.0
SCHEDULE_EVERY_S = 15.0
POLL_S = 5.0
VERSION_CHECK_S = 10

_FIRST_PAUSE_S, _UNWELL_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 4.0, 60.0

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
    queues: tuple[str, ...]
    device: str | None = None
    grace_s: float = 30.0
    silent_s: float = SILENT_S
    drains: bool = False


def _awake_s() -> float:
    """A clock that also goes on while the machine is suspended, seconds."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


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
        self._queue_worker: QueueWorker | None = None
        self._connector: PatientConnector | None = None
        self._stopping = asyncio.Event()
        self._unfit: UsageError | None = None
        self._has_done = False
        self._awake_at = _awake_s()
        self._overslept_at = -math.inf
        self._cut_off_at = -math.inf
        self._aside = Aside(options.url, f"{NAME} (aside)", self._note_cut_off)
        self._runner = JobRunner(
            options.device, interprets="inference" in options.queues, aside=self._aside, metrics=metrics
        )

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
                begun, self._has_done = time.monotonic(), False
                is_well = await self._work_and_tell()
                if self._stopping.is_set():
                    break
                if is_well and self._options.drains:
                    left = await self._left_to_do()
                    if left is None:
                        break
                    await self._sleep(left)
                    continue
                if self._has_done or time.monotonic() - begun > 10 * _LONGEST_PAUSE_S:
                    pause_s = _FIRST_PAUSE_S
                if self._runner.ailing is not None:
                    pause_s = min(max(pause_s, _UNWELL_PAUSE_S), self._runner.longest_pause_s)
                await self._sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - nothing secret
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            await self._runner.end()
            self._aside.close()
        if self._unfit is not None:
            raise self._unfit

    async def _work_and_tell(self) -> bool:
        """Work until told to stop or something is in the way, which is logged; whether nothing was."""
        try:
            await self._work()
        except EngineDiedError:
            pass  # the runner knows
        except RetryError as error:
            self._log.warning("the database cannot be reached", reason=str(error))
            return False
        except (exceptions.ProcrastinateException, psycopg.Error, OSError) as error:
            cause = error.__cause__ or error
            if isinstance(cause, psycopg.Error) and not is_transient(cause):
                self._log.exception("the queue cannot be worked on")
            else:
                self._log.warning("the queue cannot be worked on", reason=describe(cause))
            return False
        if self._runner.ailing is not None:
            self._log.error("this worker can do nothing now", reason=self._runner.ailing)
        return self._runner.ailing is None

    async def _left_to_do(self) -> float | None:
        """Seconds until it is worth looking again while jobs are left in the queues; None: there are none."""
        pending = await self._aside.do(lambda conn: pending_jobs(conn, self._options.queues))
        if pending is None:  # not known
            return POLL_S
        if pending.jobs == 0:
            return None
        return POLL_S if pending.due_in_s is None else min(max(pending.due_in_s, 0.2), POLL_S)

    def _stop(self) -> None:
        """Take no job any more; the one there is may go on for the grace, and is given back if told again."""
        if self._stopping.is_set():
            self._runner.release()
            return
        self._stopping.set()
        if self._connector is not None:
            self._connector.hurry()
        if self._queue_worker is not None:
            self._queue_worker.stop()
        asyncio.get_running_loop().call_later(self._options.grace_s, self._runner.release)

    async def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < end:
            await asyncio.sleep(0.1)

    async def _work(self) -> None:
        """Register and work; comes back when told to stop, when nothing is left, or the queue was lost."""
        options = self._options
        await asyncio.to_thread(_require_current, options.url)
        await self._runner.start()
        connector = self._connector = PatientConnector(options.url, application_name=NAME)
        app = procrastinate.App(connector=connector)
        app.job_manager = OwnJobs(connector)
        for name in TASKS:
            app.task(name=name, pass_context=True, retry=RetryPolicy())(self._function(name))
        try:
            await app.open_async()
            await self._take_jobs(app)
        finally:
            await connector.close_async()

    async def _take_jobs(self, app: procrastinate.App) -> None:
        options = self._options
        worker = self._queue_worker = QueueWorker(
            app=app,
            queues=list(options.queues),
            name=None,
            concurrency=1,
            wait=not options.drains,
            fetch_job_polling_interval=POLL_S,
            abort_job_polling_interval=POLL_S,
            shutdown_graceful_timeout=None,  # _stop sees to it
            install_signal_handlers=False,
            update_heartbeat_interval=_NEVER_S,  # procrastinate's own ends before its last job does
            stalled_worker_timeout=_NEVER_S,  # the reaper does it; two that do it deadlock
        )
        side = [
            asyncio.create_task(self._again_and_again(chore), name=chore.__name__)
            for chore in (self._register, self._beat, self._reap, self._follow_schedule, self._keep_awake)
        ]
        try:
            if not self._stopping.is_set():
                await worker.run()
        finally:
            await end_all(side)
            self._queue_worker = None

    async def _again_and_again(self, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do a chore that never ends; whatever ends it, it is begun again: nobody would miss it for days."""
        while True:
            try:
                await chore()
            except (exceptions.ProcrastinateException, psycopg.Error, UsageError) as error:
                reason = describe(error.__cause__ or error)
                self._log.warning("a chore was interrupted", chore=chore.__name__, reason=reason)
            except Exception:
                self._log.exception("a chore broke", chore=chore.__name__)
            await asyncio.sleep(_FIRST_PAUSE_S)

    async def _worker_id(self) -> int:
        """The number procrastinate gave this worker."""
        while self._queue_worker is None or self._queue_worker.worker_id is None:
            await asyncio.sleep(0.05)
        return self._queue_worker.worker_id

    async def _register(self) -> None:
        """Say who this worker is, and take that back at the end."""
        worker_id = await self._worker_id()
        runner, options = self._runner, self._options

        def register(conn: Connection[Any]) -> bool:
            register_worker(
                conn,
                worker_id,
                host=socket.gethostname(),
                process_id=os.getpid(),
                device=runner.device,
                queues=options.queues,
                versions=runner.versions,
                silent_s=options.silent_s,
            )
            return True

        while not await self._aside.do(register):
            await asyncio.sleep(_FIRST_PAUSE_S)
        self._log.info("worker registered", worker=worker_id, device=runner.device, queues=options.queues)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.shield(self._aside.do(lambda conn: forget_worker(conn, worker_id)))

    async def _beat(self) -> None:
        """Say that this worker lives, to the end of its last job."""
        worker_id = await self._worker_id()
        while self._queue_worker is not None:
            await self._queue_worker.app.job_manager.update_heartbeat(worker_id)
            await asyncio.sleep(min(HEARTBEAT_S, self._options.silent_s / 4))

    async def _reap(self) -> None:
        while True:
            reaped = await self._aside.do(self._reaped)
            if reaped:
                self._log.warning("jobs of workers that went silent wait again", jobs=reaped)
            pause_s = min(REAP_EVERY_S, self._options.silent_s / 4)
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311

    def _reaped(self, conn: Connection[Any]) -> int | None:
        """Reap; not just after this worker was cut off or asleep: others may have been unheard as well."""
        silent_s, now = self._options.silent_s, _awake_s()
        is_waking = now - self._awake_at > silent_s
        if is_waking or now - max(self._cut_off_at, self._overslept_at) < silent_s:
            return 0
        return reap_jobs(conn, silent_s)

    async def _follow_schedule(self) -> None:
        while True:
            due = await asyncio.to_thread(self._schedule, self._options.url)
            if due:
                self._log.info("sources are due", sources=due)
            await asyncio.sleep(SCHEDULE_EVERY_S)

    async def _keep_awake(self) -> None:
        """Notice when this process was stopped for a while: others have its jobs then."""
        while True:
            await asyncio.sleep(1)
            now = _awake_s()
            if now - self._awake_at > self._options.silent_s:
                self._overslept_at = now
            self._awake_at = now

    def _note_cut_off(self) -> None:
        self._cut_off_at = _awake_s()

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
                outcome = await self._runner.do(
                    task, args, lambda: context.abort_reason() == AbortReason.USER_REQUEST
                )
                end = outcome.end
                self._has_done |= end == protocol.DONE
                if self._runner.ailing is not None and self._queue_worker is not None:
                    self._queue_worker.stop()  # a pause, and another try
            finally:
                self._metrics.job_ended(task, COUNTED_AS.get(end, "failed"), time.monotonic() - began)
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
        raise JobFailedError(outcome.end, outcome.reason)

    async def _check_version(self) -> None:
        """End when the database was upgraded meanwhile: this process still runs the older version."""
        try:
            await asyncio.to_thread(_require_current, self._options.url)
        except (RetryError, psycopg.OperationalError):
            return  # the job will find out
        except UsageError as error:  # no fault of the job's
            self._log.error("this worker cannot use the database any more", reason=str(error))
            is_unfit = isinstance(error, _UnfitError)
            if is_unfit:
                self._unfit = error
                self._stop()
            elif self._queue_worker is not None:
                self._queue_worker.stop()  # when it begins anew it is refused, and ends
            raise JobFailedError(protocol.RELEASED if is_unfit else protocol.UNWELL, str(error)) from error


class _UnfitError(UsageError):
    """The database is of another version than this worker."""


def _require_current(url: str) -> None:
    """Refuse a database of another version; an upgrade may have come since the worker started."""
    with connect(url, application_name=NAME) as conn:
        # An upgrade holds locks for as long as it takes; nobody waits for it at SIGTERM.
        conn.execute(f"set statement_timeout = '{VERSION_CHECK_S}s'")
        try:
            require_current(conn)
        except psycopg.errors.QueryCanceled as error:
            raise RetryError("an upgrade is under way, or something else holds the catalogue") from error
        except UsageError as error:
            raise _UnfitError(str(error)) from error


async def run_worker(options: WorkerOptions, metrics: WorkerMetrics, schedule: Scheduler) -> None:
    """Run a worker in this process until it is told to stop."""
    with contextlib.suppress(asyncio.CancelledError):
        await Worker(options, metrics, schedule).run()
