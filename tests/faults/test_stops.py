"""SIGSTOP until the job was given to another and done by it, then SIGCONT: the sleeper changes nothing."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults.ground import FaultyWorker, Ground
from tests.service.workers import wait_for


def registered(ground: Ground, worker: FaultyWorker) -> int:
    """How often a worker is among those that take jobs."""
    return int(
        ground.value(
            "select count(*) from lode.worker w join lode_queue.procrastinate_workers p on p.id = w.worker_id"
            " where w.process_id = %s",
            worker.pid,
        )
    )


def sleeps_through(ground: Ground, point: str, refusal: str) -> None:
    (first,) = ground.request(1)
    sleeper = ground.worker(hold_at=point)
    sleeper.held()
    sleeper.signal(signal.SIGSTOP)
    other = ground.worker()
    wait_for(lambda: ground.status(first) == "published", "the other one publishes", 150)
    ground.stop([other])
    content = ground.rows("select * from lode.landcover order by landcover_id")
    sleeper.let_go()
    sleeper.signal(signal.SIGCONT)
    wait_for(lambda: any(refusal in event.get("reason", "") for event in sleeper.ended_jobs()), refusal)
    assert ground.rows("select * from lode.landcover order by landcover_id") == content
    ground.request(3)
    ground.expect(3)
    assert registered(ground, sleeper) == 1
    assert sleeper.is_alive()
    run, blocks = ground.attempts(first)
    assert run + sum(blocks) == 3 + 1


def test_what_a_sleeper_computed_is_not_staged(ground: Ground) -> None:
    sleeps_through(ground, "infer.windows", "may no longer stage: the run is published; nothing was stored")


@pytest.mark.long
def test_what_a_sleeper_wrote_is_not_published(ground: Ground) -> None:
    # Its transaction holds the run until the server ends it, a minute later.
    sleeps_through(
        ground,
        "publish.before_commit",
        "may no longer publish: the run is published and was given to another",
    )


@pytest.mark.long
def test_a_parent_that_sleeps_while_its_engine_works_on(ground: Ground) -> None:
    (first,) = ground.request(1)
    worker = ground.worker(hold_at="publish.writing")
    worker.held()
    worker.signal(signal.SIGSTOP, group=False)
    worker.let_go()
    wait_for(lambda: ground.status(first) == "published", "its engine publishes")
    other = ground.worker()
    wait_for(lambda: not registered(ground, worker), "it is given up")
    wait_for(lambda: len(other.ended_jobs()) == 1, "another gets its job")
    assert other.ended_jobs()[0]["end"] == "superseded"
    ground.stop([other])
    worker.signal(signal.SIGCONT, group=False)
    ground.request(3)
    ground.expect(3)
    assert registered(ground, worker) == 1
    assert ground.attempts(first) == (1, [1, 1])


@pytest.mark.long
def test_an_engine_that_sleeps_is_replaced(ground: Ground) -> None:
    runs = ground.request(3)
    worker = ground.worker(hold_at="publish.writing", environment={"LODE_ENGINE_SILENCE_S": "8"})
    engine = worker.held()
    os.kill(engine, signal.SIGSTOP)
    worker.let_go()
    said = "the engine hung and was killed"
    wait_for(lambda: any(event.get("reason") == said for event in worker.ended_jobs()), said, 120)
    ground.expect(3)
    assert worker.engine() != engine
    assert sorted(ground.attempts(run)[0] for run in runs) == [1, 1, 2]


@pytest.mark.long
def test_an_engine_that_sleeps_in_its_transaction_goes_on(ground: Ground) -> None:
    runs = ground.request(3)
    worker = ground.worker(hold_at="publish.before_commit")
    engine = worker.held()
    os.kill(engine, signal.SIGSTOP)
    publishing = (
        "select count(*) from pg_stat_activity"
        " where application_name like 'lode infer (publishing %%' and datname = current_database()"
    )
    wait_for(lambda: ground.value(publishing) == 0, "the server ends its transaction", 90)
    worker.let_go()
    os.kill(engine, signal.SIGCONT)
    ground.expect(3)
    assert worker.engine() == engine
    assert [ground.attempts(run)[0] for run in runs] == [1, 1, 1]
