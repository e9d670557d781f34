"""What befalls a worker itself, and that it goes on: its connection, its chores, its engine, its end."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
import pytest
from procrastinate import PsycopgConnector

from db.connection import connect
from db.embedded import Cluster
from service import protocol, retries
from service import worker as worker_module
from service.aside import Aside
from service.job_runner import JobRunner
from service.metrics import WorkerMetrics
from service.worker import Worker
from tests.service.conftest import SIDE_PX
from tests.service.district import NOTHING, left_behind, split_district
from tests.service.worker_here import (
    add_bug,
    add_scan,
    counted,
    is_done,
    job,
    spoil,
    until,
    work_here,
)
from tests.service.workers import WorkerProcess, held, request, running


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh database, which engines find as well."""
    monkeypatch.setenv("LODE_DATABASE_URL", database_url)
    return database_url


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, no engine starts; pauses are short."""
    place, flag = spoil(tmp_path, "'LODE_ENGINE_PARENT' in os.environ", "os._exit(7)")
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.setattr(worker_module, "_UNWELL_PAUSE_S", 0.5)
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 6.0)
    flag.unlink()
    return flag


def test_a_connection_that_breaks_while_it_is_made_ends_no_worker(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's own errors come out there, not those of the queue's library."""
    todo: list[Exception] = [
        psycopg.errors.AdminShutdown("terminating connection due to administrator command"),
        psycopg_pool.PoolTimeout("pool initialization incomplete after 10.0 sec"),
    ]
    real = PsycopgConnector.open_async
    tried: list[float] = []

    async def open_async(self: PsycopgConnector, pool: Any = None) -> None:
        tried.append(time.monotonic())
        if todo:
            raise todo.pop(0)
        await real(self, pool)

    monkeypatch.setattr(PsycopgConnector, "open_async", open_async)
    number = add_scan(url, tmp_path / "paused")
    work_here(url)
    assert job(url, number) == ("succeeded", 1)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
    assert len(pauses) == 2
    assert min(pauses) > 0.4


def test_a_schedule_that_breaks_is_begun_again(url: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def schedule(at: str) -> int:
        asked.append(at)
        if len(asked) < 3:
            raise ZeroDivisionError("a bug")
        return 0

    async def during(_worker: Worker) -> None:
        await until(lambda: len(asked) == 3, "the schedule is followed again")
        number = add_scan(url, tmp_path / "paused")
        await until(is_done(url, number), "the worker works")

    work_here(url, during, schedule=schedule)
    assert set(asked) == {url}


def test_an_engine_that_broke_at_a_job_does_not_do_the_next(url: str, tmp_path: Path) -> None:
    metrics = WorkerMetrics("here")

    async def run() -> None:
        aside = Aside(url, "the test", lambda: None)
        runner = JobRunner("cpu", interprets=False, aside=aside, metrics=metrics)
        try:
            await runner.start()
            engine = runner._engine._process
            assert engine is not None
            refused = await runner.do("no_such_task", {}, lambda: False)
            assert refused.end == protocol.REFUSED
            assert engine.returncode is None  # that is no reason to end it
            broken = await runner.do("scan_source", {}, lambda: False)
            assert (broken.end, broken.reason) == (protocol.BROKEN, "KeyError: 'ingest_source_id'")
            assert engine.returncode is not None
            assert (await runner.do("no_such_task", {}, lambda: False)).end == protocol.REFUSED
            successor = runner._engine._process
            assert successor is not None
            assert successor.pid != engine.pid
        finally:
            await runner.end()
            aside.close()

    asyncio.run(run())
    assert counted(metrics, "lode_worker_engine_restarts_total") == 1


def test_a_bug_leaves_the_worker_at_work(url: str, tmp_path: Path) -> None:
    async def during(_worker: Worker) -> None:
        broken = add_bug(url)
        await until(lambda: job(url, broken)[1] == 1, "the bug is met")
        number = add_scan(url, tmp_path / "paused")
        await until(is_done(url, number), "the next job")
        assert job(url, broken)[0] in ("todo", "doing")  # it is tried again later

    metrics = work_here(url, during)
    assert counted(metrics, "lode_worker_engine_restarts_total") >= 1


def test_an_engine_that_does_not_start_again_costs_a_job_nothing(
    url: str, tmp_path: Path, no_engine: Path
) -> None:
    """The job waits a while, the worker pauses, and goes on when the engine starts."""

    async def during(worker: Worker) -> None:
        await until(lambda: worker._queue_worker is not None, "it takes jobs")
        no_engine.touch()
        await worker._runner.end()
        number = add_scan(url, tmp_path / "paused")
        await until(lambda: job(url, number)[1] >= 1, "the job is put back")
        with connect(url) as conn:
            later = conn.execute(
                "select j.scheduled_at >= max(e.at) + interval '0.9 s' from lode_queue.procrastinate_jobs j"
                " join lode_queue.procrastinate_events e on e.job_id = j.id"
                " where e.type = 'deferred_for_retry' group by j.id"
            ).fetchall()
        assert later == [(True,)]  # after the moment when it was put back
        said = "the engine does not start: the engine ended with code 7"
        await until(lambda: worker._runner.ailing == said, "it knows why")
        no_engine.unlink()
        await until(is_done(url, number), "it works again")

    metrics = work_here(url, during)
    ended = "lode_worker_jobs_total"
    assert counted(metrics, ended, task="scan_source", outcome="failed") == 0
    assert counted(metrics, ended, task="scan_source", outcome="released") >= 1


def test_a_queue_is_drained_once_the_engine_starts(url: str, tmp_path: Path, no_engine: Path) -> None:
    number = add_scan(url, tmp_path / "paused")
    no_engine.touch()
    tried: list[str] = []
    real = JobRunner.start

    async def start(self: JobRunner) -> None:
        if len(tried) == 2:
            no_engine.unlink()
        tried.append(job(url, number)[0])
        await real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobRunner, "start", start)
        work_here(url, drains=True)
    assert tried[:3] == ["todo"] * 3
    assert job(url, number) == ("succeeded", 1)


def test_a_queue_is_drained_of_what_is_due_later(url: str, tmp_path: Path) -> None:
    number = add_scan(url, tmp_path / "paused", delay_s=2.5)
    work_here(url, drains=True)
    assert job(url, number) == ("succeeded", 1)


def test_a_locked_catalogue_does_not_keep_a_worker_from_ending(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "VERSION_CHECK_S", 2)
    waits = "select count(*) from pg_locks where not granted and relation = 'lode.alembic_version'::regclass"
    asked: list[float] = []
    with connect(url) as upgrade, connect(url, autocommit=True) as watcher:
        upgrade.execute("lock lode.alembic_version in access exclusive mode")

        def is_waiting() -> bool:
            return watcher.execute(waits).fetchone() == (1,)

        async def during(_worker: Worker) -> None:
            try:
                await until(is_waiting, "it waits for the upgrade")
                asked.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGTERM)
                await until(lambda: not is_waiting(), "it gives up", 20)
            finally:
                upgrade.rollback()

        work_here(url, during)
    assert time.monotonic() - asked[0] < 2 + 5 + 15


def test_a_worker_that_is_to_end_is_heard_of_while_its_last_job_runs(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = "job.before_done"
    monkeypatch.setenv("LODE_HOLD_AT", point)
    monkeypatch.setenv("LODE_HOLD_FOLDER", str(tmp_path))
    number = add_scan(url, tmp_path / "paused")

    def heartbeat() -> Any:
        with connect(url) as conn:
            (row,) = conn.execute("select last_heartbeat from lode_queue.procrastinate_workers").fetchall()
            return row[0]

    def is_later(before: Any) -> bool:
        return bool(heartbeat() > before)

    async def during(_worker: Worker) -> None:
        await until(lambda: any(tmp_path.glob(f"{point}.*")), "the engine works")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)  # the handler runs
        for _ in range(2):
            before = heartbeat()
            await until(partial(is_later, before), "another heartbeat", 30)
        assert job(url, number)[0] == "doing"
        next(tmp_path.glob(f"{point}.*")).unlink()

    work_here(url, during, silent_s=12.0, grace_s=90.0)
    assert job(url, number) == ("succeeded", 1)
    with connect(url) as conn:
        assert conn.execute("select count(*) from lode_queue.procrastinate_workers").fetchone() == (0,)


def test_a_release_that_had_to_be_forced_costs_no_attempt(
    cluster: Cluster, district: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = "infer.windows"
    with split_district(cluster, district, None, SIDE_PX) as url:
        (run_id,) = request(url, "s000")
        monkeypatch.setenv("LODE_DATABASE_URL", url)
        monkeypatch.setenv("LODE_HOLD_AT", point)
        monkeypatch.setenv("LODE_HOLD_FOLDER", str(tmp_path))
        monkeypatch.setattr("service.job_runner.RELEASE_S", 0.3)

        def state() -> tuple[Any, ...] | None:
            with connect(url) as conn:
                return conn.execute(
                    "select r.status, r.attempt, b.stage from lode.run r"
                    " join lode.run_block b on b.run_id = r.run_id and r.run_id = %s",
                    (run_id,),
                ).fetchone()

        async def during(worker: Worker) -> None:
            await until(lambda: any(tmp_path.glob(f"{point}.*")), "the engine is stuck in a window")
            await until(lambda: state() == ("running", 1, "classifying"), "its progress is known")
            for _ in range(2):  # the second time: now
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.1)
            await until(lambda: not worker._runner._engine.is_running, "its engine is ended", 10)

        work_here(url, during, queues=("inference",), grace_s=60.0)
        found = state()
        assert found is not None
        assert found[:2] == ("requested", 0)
        with connect(url) as conn:
            waiting = conn.execute("select status::text from lode_queue.procrastinate_jobs").fetchall()
        assert waiting == [("todo",)]


def test_a_run_cancelled_and_asked_for_at_once_is_published_once(
    cluster: Cluster, district: str, tmp_path: Path
) -> None:
    point = "infer.windows"
    with split_district(cluster, district, None, SIDE_PX) as url:
        (run_id,) = request(url, "s000")
        hold = {"LODE_HOLD_AT": point, "LODE_HOLD_FOLDER": str(tmp_path)}
        worker = WorkerProcess(url, tmp_path, "--drain", environment=hold)
        with running(worker):
            pid = held(tmp_path, point)
            with connect(url) as conn:
                conn.execute("select lode_api.cancel_run(%s)", (run_id,))
            assert request(url, "s000") == [run_id]
            (tmp_path / f"{point}.{pid}").unlink()
            assert worker.wait() == 0
        ends = [event["end"] for event in worker.events() if event["event"] == "job ended"]
        assert ends[-1] == "done"
        assert ends.count("done") == 1
        assert len(ends) == 2
        with connect(url) as conn:
            told = conn.execute(
                "select status, attempt from lode.run where run_id = %s", (run_id,)
            ).fetchall()
            assert told == [("published", 1)]
            assert left_behind(conn) == NOTHING
