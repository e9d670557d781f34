"""The server's session of a publication whose process was ended, and those that are left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import pytest
from psycopg import Connection, OperationalError

from db import runs
from db.connection import connect
from db.queue.workers import give_back
from db.runs import Claim
from tests.catalogue_rows import add_model, add_scene
from tests.grids import cells
from tests.role_logins import url_of
from tests.support import REPOSITORY, await_waiting

PUBLISHER = """
import sys
from uuid import UUID
from db import runs
from db.connection import connect
from db.locks import end_when_silent
claim = runs.Claim(int(sys.argv[2]), 1, UUID(sys.argv[3]))
with connect(sys.argv[1]) as conn:
    end_when_silent(conn)
    runs.hold_for_publication(conn, claim)
    conn.execute("select lode_api.lock_accounts()")
"""


@pytest.fixture
def claim(conn: Connection[Any]) -> Claim:
    """The attempt at a run that is in the queue."""
    scene = add_scene(conn, "a", date(2022, 6, 1), cells("xx", "x"))
    run_id = runs.request_inference(conn, scene, add_model(conn, "net"))
    claim = runs.claim_run(conn, run_id, device="cpu", versions={}, most_attempts=3)
    conn.commit()
    return claim


@pytest.fixture
def worker(database_url: str) -> Iterator[Connection[Any]]:
    """What a worker's login does beside the work."""
    with connect(url_of(database_url, "lode_worker")) as conn:
        conn.execute("set statement_timeout = '10s'")
        yield conn


def publishing(url: str, claim: Claim) -> Connection[Any]:
    """A session of a worker that holds the run's row to publish it."""
    conn = connect(url_of(url, "lode_worker"), application_name=runs.publishing_name(claim))
    assert runs.hold_for_publication(conn, claim)
    return conn


def state(conn: Connection[Any]) -> Any:
    return conn.execute("select status, attempt from lode.run").fetchone()


def test_it_is_ended_where_the_attempt_is_given_back(
    conn: Connection[Any], worker: Connection[Any], database_url: str, claim: Claim
) -> None:
    conn.execute("select lode_api.lock_accounts()")
    with ThreadPoolExecutor(1) as pool:
        session = publishing(database_url, claim)
        waiting = pool.submit(session.execute, "select lode_api.lock_accounts()")
        await_waiting(conn)
        give_back(worker, claim.run_id, None, claim.token)
        worker.commit()
        with pytest.raises(OperationalError, match="terminating connection"):
            waiting.result(timeout=30)
    assert state(conn) == ("requested", 0)


def test_that_of_another_attempt_is_left_alone(
    conn: Connection[Any], worker: Connection[Any], database_url: str, claim: Claim
) -> None:
    newer = runs.claim_run(conn, claim.run_id, device="cpu", versions={}, most_attempts=3)
    conn.commit()
    with publishing(database_url, newer) as session:
        give_back(worker, claim.run_id, None, claim.token)
        worker.commit()
        runs.mark_published(session, newer, figures={})
    assert state(conn) == ("published", 2)


def test_what_was_committed_stays_published(
    conn: Connection[Any], worker: Connection[Any], database_url: str, claim: Claim
) -> None:
    session = publishing(database_url, claim)
    runs.mark_published(session, claim, figures={})
    session.commit()
    give_back(worker, claim.run_id, None, claim.token)
    worker.commit()
    session.close()
    assert state(conn) == ("published", 1)


def test_that_of_a_process_that_was_killed_holds_nobody_up(
    conn: Connection[Any], worker: Connection[Any], database_url: str, claim: Claim
) -> None:
    """It waits for a lock that stays taken, and nobody knows of it but the server."""
    conn.execute("select lode_api.lock_accounts()")
    words = [url_of(database_url, "lode_worker"), str(claim.run_id), str(claim.token)]
    with subprocess.Popen([sys.executable, "-c", PUBLISHER, *words], cwd=REPOSITORY) as process:
        try:
            await_waiting(conn)
        finally:
            process.kill()
    newer = runs.claim_run(worker, claim.run_id, device="cpu", versions={}, most_attempts=3)
    assert newer.attempt == 2
