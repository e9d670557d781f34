"""How a worker ends its jobs: what of them stays, and what comes of those that it puts back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import Connection

from db.checks import run_checks
from db.connection import connect
from db.queue.workers import reap_jobs
from tests.db.queue_rows import add_job, add_worker
from tests.service.queued import JOBS, SILENT_S, ended, fetch, reap, request
from tests.support import await_waiting

SCAN = "select lode_api.enqueue('ingest', 'scan_source', '{}', 'scan of source 1')"


def touched(conn: Connection[Any]) -> int:
    """How many jobs this session has changed so far, what is not committed included."""
    row = conn.execute(
        "select n_tup_upd from pg_stat_xact_user_tables"
        " where relid = 'lode_queue.procrastinate_jobs'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("retried", [False, True])
def test_who_was_taken_for_dead_ends_no_job_of_another(
    catalogue: Connection[Any], database_url: str, retried: bool
) -> None:
    request(catalogue)
    stale = add_worker(catalogue, silent_s=3600)
    job = fetch(catalogue, stale)
    assert reap(catalogue) == 1
    fresh = add_worker(catalogue)
    again = fetch(catalogue, fresh)
    after = [("failed", 0, None), ("doing", 0, fresh)]
    assert catalogue.execute(JOBS).fetchall() == after
    catalogue.commit()
    ended(database_url, job, stale, retried=retried)
    ended(database_url, again, stale, retried=retried)  # the very row of its successor
    assert catalogue.execute(JOBS).fetchall() == after
    catalogue.commit()
    ended(database_url, again, fresh, retried=retried)
    status = catalogue.execute(JOBS).fetchall()[1][0]
    assert status == ("todo" if retried else "succeeded")


def test_what_has_ended_refers_to_no_worker(catalogue: Connection[Any], database_url: str) -> None:
    """Otherwise the end of a worker touches all that it ever did."""
    worker = add_worker(catalogue)
    for product, retried in (("a", False), ("b", True)):
        request(catalogue, product)
        job = fetch(catalogue, worker)
        if retried:  # what was cancelled meanwhile is not put back
            catalogue.execute(
                "update lode_queue.procrastinate_jobs set abort_requested = true where id = %s", (job,)
            )
        catalogue.commit()
        ended(database_url, job, worker, retried=retried)
    assert catalogue.execute(JOBS).fetchall() == [("succeeded", 0, None), ("failed", 0, None)]
    before = touched(catalogue)
    catalogue.execute("select lode_queue.procrastinate_unregister_worker_v1(%s)", (worker,))
    assert touched(catalogue) == before


def test_what_ended_with_its_worker_is_gone_through_in_portions(catalogue: Connection[Any]) -> None:
    """As earlier versions left it: one statement for all of it took longer than a worker may wait."""
    dead = add_worker(catalogue, silent_s=3600)
    request(catalogue)
    fetch(catalogue, dead)
    catalogue.execute("set local session_replication_role = replica")
    catalogue.execute(
        "insert into lode_queue.procrastinate_jobs (queue_name, task_name, status, worker_id)"
        " select 'inference', 'interpret_run', 'succeeded', %s from generate_series(1, 21000)",
        (dead,),
    )
    catalogue.commit()
    found = []
    for _ in range(4):
        before = touched(catalogue)
        reaped = reap_jobs(catalogue, SILENT_S)
        row = catalogue.execute(
            "select (select count(*) from lode_queue.procrastinate_jobs where worker_id = %s),"
            " (select count(*) from lode_queue.procrastinate_workers)",
            (dead,),
        ).fetchone()
        found.append((reaped, touched(catalogue) - before, row))
        catalogue.commit()
    assert found == [
        (1, 10_001, (11_000, 1)),  # its job is somebody else's at once
        (0, 10_000, (1_000, 1)),
        (0, 1_000, (0, 0)),
        (0, 0, (0, 0)),
    ]


@pytest.mark.parametrize("is_late", [False, True])
def test_a_job_put_back_beside_one_that_waits_gives_way_to_it(
    conn: Connection[Any], database_url: str, is_late: bool
) -> None:
    """Also where the other one is committed meanwhile; else it would run for ever, done by nobody."""
    conn.execute(SCAN)
    worker = add_worker(conn, queues=("ingest",))
    conn.execute("update lode_queue.procrastinate_jobs set status = 'doing', worker_id = %s", (worker,))
    conn.commit()
    with connect(database_url) as other, ThreadPoolExecutor(1) as pool:
        other.execute(SCAN)
        if not is_late:
            other.commit()
        ending = pool.submit(ended, database_url, 1, worker, retried=True)
        if is_late:
            await_waiting(conn)
        other.commit()
        ending.result(30)
    assert conn.execute(JOBS).fetchall() == [("failed", 10, None), ("todo", 10, None)]


def test_a_job_whose_worker_went_on_to_another_is_stuck(conn: Connection[Any]) -> None:
    worker = add_worker(conn)
    left = add_job(conn, "doing", worker=worker, ago_s=600, run_id=1)
    add_job(conn, "doing", worker=worker, ago_s=300, run_id=2)
    add_job(conn, "doing", worker=add_worker(conn), ago_s=600, run_id=3)
    [told] = [result for result in run_checks(conn) if result.title == "No job is stuck"]
    assert told.faults == [
        f"job {left} (interpret_run in queue inference) is stuck: its worker lives, and went on to another"
        " job: stop that worker, and its jobs are given to others"
    ]
