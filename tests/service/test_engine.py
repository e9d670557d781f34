"""The engine as its worker sees it: a real process that is asked, stopped, killed and left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from procrastinate.jobs import Job

from service import protocol
from service.engine_process import EngineDiedError, EngineProcess
from service.outcomes import Outcome
from service.retries import JobFailedError, RetryPolicy
from tests.support import REPOSITORY


async def nothing(_stage: str, _done: int, _total: int) -> None:
    pass


def with_engine(
    url: str, use: Callable[[EngineProcess], Awaitable[Outcome | None]], **options: float
) -> Outcome | None:
    """Start an engine, use it, and end it."""

    async def run() -> Outcome | None:
        engine = EngineProcess({"LODE_DATABASE_URL": url}, **options)
        try:
            await engine.start()
            return await use(engine)
        finally:
            await engine.kill()
            assert not engine.is_running

    return asyncio.run(run())


def engine_pid(engine: EngineProcess) -> int:
    assert engine._process is not None
    return engine._process.pid


def is_alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:  # it is gone
        return False


def test_it_says_what_it_is_and_refuses_what_it_does_not_know(database_url: str) -> None:
    async def use(engine: EngineProcess) -> Outcome:
        assert engine.versions["lode"]
        first = await engine.execute("no_such_task", {}, nothing)
        second = await engine.execute("interpret_run", {"run_id": "1"}, nothing)
        assert second == Outcome("refused", "the job's argument run_id is '1': a key is a whole number", {})
        return first

    outcome = with_engine(database_url, use)
    assert outcome is not None
    assert outcome.end == protocol.REFUSED
    assert outcome.reason == "this version of Lode knows no task 'no_such_task': upgrade this worker"


def test_its_death_is_told_with_its_cause(database_url: str) -> None:
    async def use(engine: EngineProcess) -> None:
        os.kill(engine_pid(engine), signal.SIGKILL)
        with pytest.raises(EngineDiedError, match=r"ended by SIGKILL \(the system does that"):
            await engine.execute("interpret_run", {"run_id": 1}, nothing)
        await engine.start()  # and a new one works
        assert (await engine.execute("no_such_task", {}, nothing)).end == protocol.REFUSED

    with_engine(database_url, use)


def test_one_that_gives_no_sign_of_life_is_killed(database_url: str) -> None:
    async def use(engine: EngineProcess) -> None:
        os.kill(engine_pid(engine), signal.SIGSTOP)
        with pytest.raises(EngineDiedError, match="the engine hung and was killed"):
            await engine.execute("interpret_run", {"run_id": 1}, nothing)

    with_engine(database_url, use, silence_s=1.0)


def test_it_dies_with_its_worker(database_url: str) -> None:
    program = (
        "import asyncio, os, signal\n"
        "from service.engine_process import EngineProcess\n"
        "async def main():\n"
        "    engine = EngineProcess({})\n"
        "    await engine.start()\n"
        "    print(engine._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env={**os.environ, "LODE_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    engine = int(ended.stdout)
    deadline = time.monotonic() + 20
    while is_alive(engine):
        assert time.monotonic() < deadline, "the engine outlives its worker"
        time.sleep(0.02)


def job(attempts: int) -> Job:
    return Job(
        id=1, queue="inference", lock=None, queueing_lock=None, task_name="interpret_run", attempts=attempts
    )


@pytest.mark.parametrize(
    ("end", "attempts", "shortest_s", "longest_s"),
    [
        (protocol.RELEASED, 40, 0, 0),
        (protocol.TRANSIENT, 0, 5, 10),
        (protocol.TRANSIENT, 3, 40, 80),
        (protocol.BROKEN, 8, 300, 600),
    ],
)
def test_what_may_yet_work_is_tried_again_after_a_growing_pause(
    end: str, attempts: int, shortest_s: float, longest_s: float
) -> None:
    before = time.time()
    decision = RetryPolicy().get_retry_decision(exception=JobFailedError(end, ""), job=job(attempts))
    after = time.time()
    assert decision is not None
    assert decision.retry_at is not None
    due = decision.retry_at.timestamp()
    assert shortest_s - 1 <= due - before
    assert due - after <= longest_s + 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (JobFailedError(protocol.REFUSED, "bad bands"), 0),
        (JobFailedError(protocol.TRANSIENT, "away"), 29),
        (JobFailedError(protocol.BROKEN, "bug"), 29),
    ],
)
def test_what_cannot_work_or_was_tried_too_often_is_not(error: Exception, attempts: int) -> None:
    assert RetryPolicy().get_retry_decision(exception=error, job=job(attempts)) is None
