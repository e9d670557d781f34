"""Whose jobs are given to others, whose are not, and what the reaper leaves alone."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from db import blocks, campaigns, runs
from db.connection import connect
from db.queue.workers import give_back, register_worker, token_of
from tests.db.queue_rows import add_worker
from tests.service.queued import JOBS, fetch, reap, request


def asked_by_hand(conn: Connection[Any]) -> int:
    """A run that `lode infer` or a campaign asked for: nothing of it is in the queue."""
    row = conn.execute("select scene_id, model_id from lode.scene, lode.model limit 1").fetchone()
    assert row is not None
    run_id = runs.request_interpretation(conn, *row).run_id
    conn.commit()
    return run_id


def server_started(conn: Connection[Any], ago: str) -> None:
    """Let the reaper, which looks in the schema ``lode`` first, take the server for started so long ago."""
    conn.execute(
        "create or replace function lode.pg_postmaster_start_time() returns timestamptz language sql"
        f" return clock_timestamp() - interval '{ago}'"
    )


def registered(conn: Connection[Any], *, silent_s: float, ago_s: float) -> int:
    """A worker as it registers itself, last heard of so many seconds ago."""
    row = conn.execute("insert into lode_queue.procrastinate_workers default values returning id").fetchone()
    assert row is not None
    register_worker(
        conn,
        row[0],
        host="north",
        process_id=1,
        device="cpu",
        queues=("inference",),
        versions={},
        silent_s=silent_s,
    )
    conn.execute(
        "update lode_queue.procrastinate_workers"
        " set last_heartbeat = now() - make_interval(secs => %s) where id = %s",
        (ago_s, row[0]),
    )
    conn.commit()
    return int(row[0])


def test_a_row_that_somebody_holds_keeps_nobody_waiting(
    catalogue: Connection[Any], database_url: str
) -> None:
    run_id = request(catalogue)
    other = request(catalogue, "b")
    for _ in range(2):
        fetch(catalogue, add_worker(catalogue, silent_s=3600))
    catalogue.execute("set lock_timeout = '3s'")
    with connect(database_url) as holder:
        holder.execute("select from lode.run where run_id = %s for update", (run_id,))
        assert reap(catalogue) == 2
    rows = catalogue.execute(JOBS).fetchall()
    assert [status for status, *_ in rows] == ["failed", "failed", "todo", "todo"]
    told = dict(catalogue.execute("select run_id, error from lode.run").fetchall())
    assert told == {run_id: None, other: "its worker was not heard of any more"}


def test_what_somebody_clears_up_keeps_nobody_waiting(catalogue: Connection[Any], database_url: str) -> None:
    """Rows of a run that is asked for anew, or cancelled: whoever does it may wait for the reaper."""
    run_id = request(catalogue)
    claim = blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
    blocks.stage_rows(catalogue, claim, 0, b"\0", b"\0")
    blocks.finish_block(catalogue, claim)
    catalogue.execute("update lode.run set status = 'failed'")
    catalogue.commit()
    catalogue.execute("set lock_timeout = '3s'")
    with connect(database_url) as holder:
        holder.execute("select from lode.run for update")
        holder.execute("select from lode.run_block for update")
        holder.execute("select from lode.run_stage for update")
        assert reap(catalogue) == 0
        assert blocks.blocks_of(catalogue, run_id)[0].status == "staged"
        catalogue.commit()
    reap(catalogue)
    assert catalogue.execute("select count(*) from lode.run_stage").fetchone() == (0,)
    assert blocks.blocks_of(catalogue, run_id)[0].status == "waiting"


def test_what_is_asked_for_again_keeps_what_was_staged(catalogue: Connection[Any], database_url: str) -> None:
    """Whoever asks holds the run's row only; nothing of it is swept by what it was before."""
    run_id = request(catalogue)
    claim = blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
    blocks.stage_rows(catalogue, claim, 0, b"\0", b"\0")
    blocks.finish_block(catalogue, claim)
    catalogue.execute("update lode.run set status = 'failed'")
    catalogue.commit()
    with connect(database_url) as asking:
        asking.execute("update lode.run set status = 'requested'")
        reap(catalogue)
    assert catalogue.execute("select count(*) from lode.run_stage").fetchone() == (1,)
    assert blocks.blocks_of(catalogue, run_id)[0].status == "staged"


def test_an_impatient_worker_does_not_take_the_others_for_dead(catalogue: Connection[Any]) -> None:
    workers = [
        registered(catalogue, silent_s=60, ago_s=30),
        registered(catalogue, silent_s=5, ago_s=30),
        registered(catalogue, silent_s=25, ago_s=3),
    ]
    for product in ("a", "b"):
        request(catalogue, product)
    patient, dead = fetch(catalogue, workers[0]), fetch(catalogue, workers[1])
    assert reap(catalogue) == 1
    rows = catalogue.execute(
        "select id, status::text from lode_queue.procrastinate_jobs where id in (%s, %s) order by id",
        (patient, dead),
    ).fetchall()
    assert rows == [(patient, "doing"), (dead, "failed")]
    left = catalogue.execute("select worker_id from lode.worker order by 1").fetchall()
    assert left == [(workers[0],), (workers[2],)]
    assert reap(catalogue, 40) == 0  # and a patient one does not by the other's word


def test_who_computed_by_hand_and_died_is_told_to_have_failed(
    catalogue: Connection[Any], database_url: str
) -> None:
    run_id = asked_by_hand(catalogue)
    runs.claim_run(catalogue, run_id, device="cpu", versions={})
    catalogue.execute("update lode.run set started_at = now() - interval '6 minutes'")
    server_started(catalogue, "1 hour")
    catalogue.commit()
    with connect(database_url) as alive, runs.working_on(alive, run_id):
        reap(catalogue)
        assert runs.run_by_id(catalogue, run_id).status == "running"
        catalogue.commit()
    server_started(catalogue, "4 minutes")
    reap(catalogue)
    assert runs.run_by_id(catalogue, run_id).status == "running"  # it lost its lock, and may take it again
    server_started(catalogue, "1 hour")
    reap(catalogue)
    run = runs.run_by_id(catalogue, run_id)
    assert (run.status, run.error) == (
        "failed",
        "the process that computed it ended without a word: ask for it again",
    )
    assert request(catalogue, "a") == run_id
    assert runs.run_by_id(catalogue, run_id).status == "requested"


def test_an_attempt_whose_engine_was_ended_for_it_is_given_back(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue)
    for _ in range(5):  # more often than a run may be started
        runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
        token = token_of(catalogue, run_id, None)
        assert token is not None
        give_back(catalogue, run_id, None, token)
        assert token_of(catalogue, run_id, None) is None
    run = runs.run_by_id(catalogue, run_id)
    assert (run.status, run.attempt) == ("requested", 0)
    runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    give_back(catalogue, run_id, None, token)  # an old one: another attempt has begun
    run = runs.run_by_id(catalogue, run_id)
    assert (run.status, run.attempt) == ("running", 1)
    for _ in range(5):
        blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
        token = token_of(catalogue, run_id, 0)
        assert token is not None
        give_back(catalogue, run_id, 0, token)
        assert token_of(catalogue, run_id, 0) is None


@pytest.mark.parametrize("block_px", [None, 100])
def test_a_run_that_lost_its_jobs_keeps_its_priority(
    catalogue: Connection[Any], block_px: int | None
) -> None:
    if block_px is not None:
        catalogue.execute("update lode.scene set width_px = 100, height_px = 100")
        catalogue.execute("select set_config('lode.block_px', %s, false)", (str(block_px),))
    request(catalogue, "a", priority=7)
    request(catalogue, "b")
    priority = (
        "select args ->> 'run_id', min(priority), max(priority), count(*)"
        " from lode_queue.procrastinate_jobs where status = 'todo' group by 1 order by 1"
    )
    before = catalogue.execute(priority).fetchall()
    assert [row[1:3] for row in before] == [(7, 7), (0, 0)]
    catalogue.execute("update lode_queue.procrastinate_jobs set status = 'failed'")
    catalogue.execute("update lode.run set queued_at = now() - interval '2 minutes'")
    catalogue.commit()
    assert reap(catalogue) == sum(row[3] for row in before)
    assert catalogue.execute(priority).fetchall() == before


@pytest.mark.parametrize("end", ["left", "published"])
def test_who_asks_for_a_run_that_is_computed_by_hand_is_not_forgotten(
    catalogue: Connection[Any], database_url: str, end: str
) -> None:
    run_id = asked_by_hand(catalogue)
    with connect(database_url) as other, runs.working_on(other, run_id):
        runs.claim_run(catalogue, run_id, device="cpu", versions={})
        assert request(catalogue) == run_id
        catalogue.execute("update lode.run set queued_at = queued_at - interval '2 minutes'")
        assert reap(catalogue) == 0
        if end == "published":
            catalogue.execute("update lode.run set status = 'published'")
        campaigns.leave_runs(catalogue, [run_id])
        catalogue.commit()
    assert [reap(catalogue), reap(catalogue)] == [1 if end == "left" else 0, 0]
    assert len(catalogue.execute(JOBS).fetchall()) == (1 if end == "left" else 0)


def test_what_a_campaign_computes_is_not_put_into_the_queue_by_itself(
    catalogue: Connection[Any], database_url: str
) -> None:
    """Also when its last block is staged while its hold of the run is lost, as in a restart of the server."""
    run_id = asked_by_hand(catalogue)
    for is_held in (True, False):
        claim = blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
        with connect(database_url) as other:
            assert not is_held or runs.hold(other, run_id)
            assert blocks.finish_block(catalogue, claim)
        assert catalogue.execute("select queued_at from lode.run").fetchone() == (None,)
        catalogue.execute("update lode.run_block set status = 'waiting'")
        catalogue.commit()
    assert reap(catalogue) == 0
    assert catalogue.execute(JOBS).fetchall() == []
