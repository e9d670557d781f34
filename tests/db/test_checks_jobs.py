"""What `lode db check` says of jobs that nobody takes, and of failed ones whose work was done since."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db import runs
from db.checks.result import CheckResult, Limits, run_check
from db.checks.work import CHECKS
from tests.catalogue_rows import add_model, add_scene
from tests.db.queue_rows import add_job, add_worker
from tests.grids import cells


def said(conn: Connection[Any], title: str) -> CheckResult:
    [check] = [check for check in CHECKS if title in check.title]
    return run_check(conn, check, Limits())


@pytest.fixture
def stocked(conn: Connection[Any]) -> Connection[Any]:
    """A database with run 1, which runs."""
    scene = add_scene(conn, "one", date(2022, 6, 1), cells("xx", "x"))
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
    runs.claim_run(conn, run.run_id, device="drawn", versions={})
    conn.commit()
    return conn


def test_jobs_that_nobody_takes_are_told_after_an_hour(stocked: Connection[Any]) -> None:
    """Where no worker is left nobody else tells: neither their metrics nor their logs."""
    title = "waits for long"
    job = add_job(stocked, "todo", ago_s=3500, run_id=1)
    assert said(stocked, title).faults == []
    stocked.execute(
        "update lode_queue.procrastinate_events set at = now() - interval '61 minutes' where job_id = %s",
        (job,),
    )
    assert said(stocked, title).faults == [
        "queue inference: 1 jobs wait, the first of them for 61 min, and no worker that lives takes from it"
    ]
    add_worker(stocked, silent_s=70)
    assert len(said(stocked, title).faults) == 1
    add_worker(stocked)
    result = said(stocked, title)
    assert (result.faults, result.warnings) == ([], []), "a living worker may be busy with others for a day"


def reaped(conn: Connection[Any], lock: str, **keys: int) -> tuple[int, int]:
    """A job whose worker went silent, and the one that has its work now."""
    job = add_job(conn, "doing", worker=add_worker(conn, silent_s=300), ago_s=300, **keys)
    conn.execute("update lode_queue.procrastinate_jobs set queueing_lock = %s where id = %s", (lock, job))
    assert conn.execute("select lode_api.reap_jobs(0.001)").fetchone() is not None
    row = conn.execute(
        "select id from lode_queue.procrastinate_jobs where queueing_lock = %s and id > %s", (lock, job)
    ).fetchone()
    assert row is not None
    return job, int(row[0])


def test_a_job_of_a_silent_worker_is_told_until_its_work_is_done(stocked: Connection[Any]) -> None:
    title = "failed lately"
    job, follower = reaped(stocked, "run 1", run_id=1)
    [line] = said(stocked, title).warnings
    assert line.startswith(f"job {job} (interpret_run of run 1) failed 20")
    assert line.endswith(": its worker was not heard of any more")
    for change in (
        "update lode.run set status = 'published'",
        "update lode.run set status = 'cancelled'",
        f"update lode_queue.procrastinate_jobs set status = 'succeeded' where id = {follower}",
    ):
        with stocked.transaction(force_rollback=True):
            stocked.execute(change)
            assert said(stocked, title).warnings == [], change


def test_a_job_of_a_block_that_is_staged_and_a_scan_done_since_are_not_told(
    stocked: Connection[Any],
) -> None:
    title = "failed lately"
    add_job(stocked, "failed", task="interpret_block", run_id=1, block=0)
    row = stocked.execute(
        "insert into lode.ingest_source (name, kind, location) values ('s2', 'folder', '/srv')"
        " returning ingest_source_id"
    ).fetchone()
    assert row is not None
    add_job(stocked, "failed", ago_s=60, queue="ingest", task="scan_source", ingest_source_id=row[0])
    block, scan = said(stocked, title).warnings
    assert block.endswith(": its worker was not heard of any more, or its log has the reason")
    assert "scan_source" in scan
    stocked.execute("update lode.run_block set status = 'staged', token = gen_random_uuid() where block = 0")
    stocked.execute("update lode.ingest_source set last_scan_at = now()")
    assert said(stocked, title).warnings == []
