"""What a worker takes for another version of the database, before each job, and what it does not."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from db.errors import RetryError, UsageError
from service import protocol
from service import worker as worker_module
from service.metrics import WorkerMetrics
from service.retries import JobFailedError
from service.worker import Worker, WorkerOptions


def raising(error: Exception) -> Any:
    def fail(*_arguments: object, **_named: object) -> Any:
        raise error

    return fail


def checked(monkeypatch: pytest.MonkeyPatch, connecting: Exception | None, looking: Exception) -> Worker:
    """A worker whose connection, or else whose look at the version, failed so; raises what its check does."""
    conn = nullcontext(SimpleNamespace(execute=lambda _statement: None))
    connect = raising(connecting) if connecting is not None else lambda *_arguments, **_named: conn
    monkeypatch.setattr(worker_module, "connect", connect)
    monkeypatch.setattr(worker_module, "require_current", raising(looking))

    async def check() -> Worker:
        worker = Worker(
            WorkerOptions(url="postgresql://x/y", queues=("ingest",), device="cpu"),
            WorkerMetrics("here"),
            lambda _url: 0,
        )
        made.append(worker)
        await worker._check_version()
        return worker

    made: list[Worker] = []
    try:
        return asyncio.run(check())
    except JobFailedError as error:
        error.add_note(f"stays: {made[0]._unfit is None and not made[0]._stopping.is_set()}")
        raise


@pytest.mark.parametrize(
    ("connecting", "looking"),
    [
        (RetryError("Network is unreachable"), UsageError("never asked")),
        (None, psycopg.OperationalError("SSL SYSCALL error: EOF detected")),
        (None, psycopg.errors.QueryCanceled("statement timeout")),
        (None, psycopg.errors.AdminShutdown("terminating")),
    ],
)
def test_a_database_that_is_away_is_left_to_the_job(
    monkeypatch: pytest.MonkeyPatch, connecting: Exception | None, looking: Exception
) -> None:
    worker = checked(monkeypatch, connecting, looking)
    assert worker._unfit is None
    assert not worker._stopping.is_set()


def test_a_refused_login_costs_no_job_and_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobFailedError, match="refused the login") as caught:
        checked(monkeypatch, UsageError("refused the login"), UsageError("never asked"))
    assert caught.value.end == protocol.UNWELL
    assert caught.value.__notes__ == ["stays: True"]


def test_a_database_of_another_version_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobFailedError, match="the schema is newer") as caught:
        checked(monkeypatch, None, UsageError("the schema is newer"))
    assert caught.value.end == protocol.RELEASED
    assert caught.value.__notes__ == ["stays: False"]
