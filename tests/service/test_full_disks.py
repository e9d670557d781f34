"""A disk of a worker's machine without room: its own ailment, no fault of its jobs or of the server."""

from __future__ import annotations

import asyncio
import errno
import itertools
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from db.connection import connect
from db.embedded import Cluster
from db.errors import RetryError, UsageError
from db.local_disk import LocalDiskError
from inference.blocks import Work
from service import protocol, retries
from service.engine_process import EngineDiedError, EngineProcess
from service.job_runner import JobRunner
from service.metrics import WorkerMetrics
from service.outcomes import Outcome, carry_out
from service.retries import JobFailedError, RetryPolicy
from service.worker import Worker
from tests.service.conftest import SIDE_PX
from tests.service.district import split_district
from tests.service.test_engine import job as a_job
from tests.service.worker_here import spoil, until, work_here
from tests.service.workers import WorkerProcess, all_are, request, running, wait_for
from tests.support import rows

NOTHING_NOW = "this worker can do nothing now"


def test_a_worker_without_room_for_its_maps_fails_no_run(
    cluster: Cluster, district: str, tmp_path: Path
) -> None:
    full = "f = os.fstatvfs; full = type('Full', (), {'f_bavail': 0, 'f_frsize': 1})"
    deed = f"{full}; os.fstatvfs = lambda fd: full if os.path.exists({str(tmp_path / 'flag')!r}) else f(fd)"
    place, flag = spoil(tmp_path, "True", deed)
    with split_district(cluster, district, None, SIDE_PX) as url:
        runs = request(url, "s000", "s001")
        worker = WorkerProcess(url, tmp_path, "--drain", environment={"PYTHONPATH": str(place)})

        first: list[dict[str, Any]] = []  # what it logs until it has said so twice

        def has_said_so_twice() -> bool:
            logged = worker.events()
            ends = [number for number, event in enumerate(logged) if event["event"] == NOTHING_NOW]
            if len(ends) >= 2:
                first[:] = logged[: ends[1] + 1]
            return len(ends) >= 2

        def events(name: str) -> list[dict[str, Any]]:
            return [event for event in first if event["event"] == name]

        kept = "select status, attempt, error like '%has no room for%' from lode.run"
        with running(worker):
            wait_for(has_said_so_twice, "it says so")
            said = events(NOTHING_NOW)
            assert {event["level"] for event in said} == {"error"}
            assert all("has no room for" in event["reason"] for event in said)
            wait_for(
                lambda: rows(url, kept) == [("requested", 0, True)] * len(runs), "nothing is counted", 30
            )
            assert len(events("job ended")) == 3  # the first stops nothing: another job may fit
            assert {event["end"] for event in events("job ended")} == {"unwell"}
            assert len(events("this machine is in the way")) == 3
            flag.unlink()
            wait_for(all_are(url, len(runs), "published"), "there is room again", 200)
            assert worker.wait() == 0
        at = [datetime.fromisoformat(event["timestamp"]) for event in said]
        assert [(later - earlier).total_seconds() > 1.9 for earlier, later in itertools.pairwise(at)] == [
            True
        ]


@pytest.mark.parametrize(
    ("needed", "free", "total", "error"),
    [
        ("1 kB", 1 << 30, 1 << 30, None),
        ("1 PB", 1 << 30, 1 << 60, LocalDiskError),
        ("1 PB", 1 << 30, 1 << 40, RetryError),  # it never fits: another attempt would not either
        ("1 kB", 99, 1 << 30, LocalDiskError),
    ],
)
def test_a_disk_that_is_full_now_is_told_from_one_that_is_too_small(
    monkeypatch: pytest.MonkeyPatch, needed: str, free: int, total: int, error: type[RetryError] | None
) -> None:
    width = 10 if needed == "1 kB" else 1 << 44
    scene = SimpleNamespace(grid=SimpleNamespace(width_px=width))
    model = SimpleNamespace(class_codes=tuple(range(8)))
    work = Work(plan=cast(Any, None), scene=cast(Any, scene), model=cast(Any, model), blocks=[])
    usage = SimpleNamespace(free=free, total=total)
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: usage)
    if error is None:
        assert work.maps(5, 10).class_map.shape == (10, 10)
        return
    with pytest.raises(error) as caught:
        work.maps(5, 10)
    assert type(caught.value) is error


@pytest.mark.parametrize(("total", "error"), [(999, RetryError), (1000, LocalDiskError)])
def test_a_disk_too_small_for_maps_and_outline_is_no_disk_that_is_full_now(
    monkeypatch: pytest.MonkeyPatch, total: int, error: type[RetryError]
) -> None:
    """The maps alone still fit into the smaller one, as small as they are here."""
    scene = SimpleNamespace(grid=SimpleNamespace(width_px=10))
    model = SimpleNamespace(class_codes=tuple(range(8)))
    work = Work(plan=cast(Any, None), scene=cast(Any, scene), model=cast(Any, model), blocks=[])
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=99, total=total))
    with pytest.raises(error) as caught:
        work.maps(0, 10)
    assert type(caught.value) is error
    assert (carry_out(lambda: cast(Any, work.maps(0, 10))).end == protocol.UNWELL) is (total == 1000)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), protocol.UNWELL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), protocol.UNWELL),
        (OSError(errno.EROFS, "Read-only file system"), protocol.UNWELL),
        (LocalDiskError("no room for maps"), protocol.UNWELL),
        (OSError(errno.EACCES, "Permission denied"), protocol.BROKEN),
        (psycopg.errors.DiskFull("could not extend file"), protocol.TRANSIENT),
        (RetryError("later"), protocol.TRANSIENT),
        (UsageError("refused"), protocol.REFUSED),
    ],
)
@pytest.mark.parametrize("wrapped", [None, RetryError, UsageError])
def test_a_full_disk_of_this_machine_is_told_from_one_of_the_server(
    error: Exception, end: str, wrapped: type[UsageError] | None
) -> None:
    def work() -> dict[str, Any]:
        if wrapped is None:
            raise error
        raise wrapped("x") from error

    found = carry_out(work).end
    if wrapped is UsageError:  # what was refused is refused: a folder named for one source may be full
        assert found == protocol.REFUSED
    elif wrapped is RetryError:
        assert found == (protocol.UNWELL if end == protocol.UNWELL else protocol.TRANSIENT)
    else:
        assert found == end


@pytest.mark.parametrize("attempts", [0, 3, 100])
def test_a_job_whose_worker_was_unwell_is_never_given_up(attempts: int) -> None:
    before = time.time()
    decision = RetryPolicy().get_retry_decision(
        exception=JobFailedError(protocol.UNWELL, "full"), job=a_job(attempts)
    )
    after = time.time()
    assert decision is not None
    assert decision.retry_at is not None
    longest_s = min(10 * 2**attempts, 600)
    due = decision.retry_at.timestamp()
    assert longest_s / 2 - 1 <= due - before
    assert due - after <= longest_s + 1


class PretendedEngine:
    """Jobs end as they are called; it starts while ``starts`` is set."""

    device, versions, is_running, starts = "CPU", {"lode": "0"}, True, True

    async def start(self) -> None:
        if not self.starts:
            raise EngineDiedError("the engine ended with code 7")

    async def execute(self, task: str, _args: Mapping[str, Any], _pass_on: object) -> Outcome:
        return Outcome(task, "no room" if task == protocol.UNWELL else "")


def runner_of(engine: PretendedEngine) -> JobRunner:
    aside = SimpleNamespace(do=None)
    runner = JobRunner("cpu", interprets=False, aside=cast(Any, aside), metrics=WorkerMetrics("here"))
    runner._engine = cast(Any, engine)
    return runner


@pytest.mark.parametrize(
    ("jobs", "is_ailing"),
    [
        ([("unwell", 1)], False),
        ([("unwell", 1), ("unwell", 1), ("unwell", 1)], False),
        ([("unwell", 1), ("unwell", 2)], True),
        ([("unwell", 1), ("refused", 3), ("unwell", 2)], True),
        ([("unwell", 1), ("done", 3), ("unwell", 2)], False),
    ],
)
def test_a_worker_is_ailing_when_two_different_jobs_in_a_row_had_no_room(
    jobs: list[tuple[str, int]], is_ailing: bool
) -> None:
    async def run() -> JobRunner:
        runner = runner_of(PretendedEngine())
        await runner.start()
        for end, number in jobs:
            assert runner.ailing is None
            assert (await runner.do(end, {"number": number}, lambda: False)).end == end
        return runner

    runner = asyncio.run(run())
    assert (runner.ailing == "no room") is is_ailing
    assert (runner.longest_pause_s == 10) is is_ailing


def test_a_worker_whose_engine_does_not_start_is_ailing_at_once() -> None:
    async def run() -> JobRunner:
        engine = PretendedEngine()
        runner = runner_of(engine)
        for number in (1, 2):
            await runner.do("unwell", {"number": number}, lambda: False)
        assert runner.longest_pause_s == 10
        engine.is_running = engine.starts = False
        assert (await runner.do("done", {}, lambda: False)).end == protocol.UNWELL
        return runner

    runner = asyncio.run(run())
    assert runner.ailing == "the engine does not start: the engine ended with code 7"
    assert runner.longest_pause_s == 60


def test_a_worker_pauses_for_a_disk_only_for_seconds(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten jobs, of which the eighth is done and the others have no room."""
    pauses: list[float] = []
    tried: list[int] = []

    async def sleep(_worker: Worker, seconds: float) -> None:
        if len(pauses) < 7:
            pauses.append(seconds)
        else:  # it is about to be stopped
            await asyncio.sleep(0.05)

    async def execute(_engine: object, _task: str, args: dict[str, Any], _pass_on: object) -> Outcome:
        tried.append(args["number"])
        return Outcome(protocol.DONE if args["number"] == 8 else protocol.UNWELL)

    async def during(_worker: Worker) -> None:
        await until(lambda: len(pauses) == 7, "it pauses")

    monkeypatch.setenv("LODE_DATABASE_URL", database_url)
    monkeypatch.setattr(Worker, "_sleep", sleep)
    monkeypatch.setattr(EngineProcess, "execute", execute)
    monkeypatch.setattr(retries, "_FIRST_PAUSE_S", 500.0)
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    with connect(database_url) as conn:
        for number in range(1, 11):
            args = f'{{"number": {number}}}'
            conn.execute("select lode_api.enqueue('ingest', 'scan_source', %s, null, 0, now())", (args,))
    work_here(database_url, during)
    assert tried == list(range(1, 11))
    assert pauses == [4, 8, 10, 10, 10, 10, 4]
