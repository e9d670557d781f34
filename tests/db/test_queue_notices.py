"""Whoever may connect may notify workers: nothing they say ends a worker, or a job that nobody cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import procrastinate
import pytest
from procrastinate.jobs import Notification

from db.connection import connect
from db.queue.connector import PatientConnector
from db.role_logins import add_login, remove_login
from tests.catalogue_rows import add_mine
from tests.grids import cells
from tests.role_logins import login

STRANGER = "stranger_to_the_queue"
CHANNELS = ("procrastinate_any_queue_v1", "procrastinate_queue_v1#inference")


@pytest.fixture
def strange(database_url: str) -> Iterator[str]:
    """URL of a database with a login that owns a mine and may do nothing else."""
    with connect(database_url) as conn:
        add_mine(conn, "M1", cells("x", "x"))
        add_login(conn, STRANGER, "owner", mines=["M1"])
        conn.commit()
    yield database_url
    with connect(database_url) as conn:
        remove_login(conn, STRANGER)
        conn.commit()


def heard(url: str, tell: Callable[[], None]) -> list[Notification]:
    """What reaches a worker of what is told while it listens; an error that would end it is raised."""
    found: list[Notification] = []
    last = {"type": "job_inserted", "job_id": 0}

    async def note(*, channel: str, notification: Notification) -> None:
        found.append(notification)

    async def listen() -> None:
        connector = PatientConnector(url, application_name="the test")
        async with procrastinate.App(connector=connector).open_async() as app:
            listener = asyncio.create_task(
                app.job_manager.listen_for_jobs(on_notification=note, queues=["inference"])
            )
            try:
                while not found:  # until it listens
                    await asyncio.to_thread(notify, url, "lode_worker", [json.dumps(last)])
                    done, _waiting = await asyncio.wait([listener], timeout=0.2)
                    assert not done or listener.result() is None
                found.clear()
                await asyncio.to_thread(tell)
                async with asyncio.timeout(30):
                    while len(found) < 1 or found[-1]["job_id"] != END:
                        assert not listener.done(), listener.exception()
                        await asyncio.sleep(0.05)
            finally:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)

    asyncio.run(listen())
    return found[:-1]


END = 4711
"""Job that was cancelled indeed, with which what is told ends."""


def notify(url: str, role: str, payloads: list[str]) -> None:
    with login(url, role) as conn:
        for payload in payloads:
            for channel in CHANNELS:
                conn.execute("select pg_notify(%s, %s)", (channel, payload))


def cancelled(url: str) -> None:
    with connect(url, autocommit=True) as conn:
        conn.execute(
            "insert into lode_queue.procrastinate_jobs (id, task_name, queue_name, status, abort_requested)"
            " overriding system value values (%s, 't', 'inference', 'doing', true),"
            " (12, 't', 'inference', 'doing', false) on conflict do nothing",
            (END,),
        )


def said(job: Any) -> str:
    return json.dumps({"type": "abort_job_requested", "job_id": job})


def test_nothing_a_stranger_says_ends_a_worker_or_its_job(strange: str) -> None:
    cancelled(strange)
    nonsense = [
        *("x", "", "null", "[]", "7", "{}", '{"type": 1}', '{"type": "job_inserted"}'),
        *("[" * 7000, "9" * 7000),
        *(said(job) for job in (None, "12", 1.5, True, -1, 10**30, {"a": 1}, 12)),
        said(END),
    ]
    found = heard(strange, lambda: notify(strange, STRANGER, nonsense))
    assert [each for each in found if each["type"] != "job_inserted" and each["job_id"] != END] == []
    assert len(found) >= len(nonsense) - 1


def test_a_worker_is_still_told_at_once(strange: str) -> None:
    def tell() -> None:
        with login(strange, "lode_worker") as worker:
            worker.execute("select lode_api.enqueue('inference', 't', '{}', 'k')")
        cancelled(strange)
        with connect(strange, autocommit=True) as conn:  # by the trigger of the queue, not by hand
            conn.execute(
                "update lode_queue.procrastinate_jobs set abort_requested = false where id = %s", (END,)
            )
            conn.execute(
                "update lode_queue.procrastinate_jobs set abort_requested = true where id = %s", (END,)
            )

    assert {each["type"] for each in heard(strange, tell)} == {"job_inserted"}
