"""SIGTERM: the job is finished within the grace or given back. Cancelling: it stops at its next window."""

from __future__ import annotations

import signal
import time

import pytest
from psycopg import errors

from tests.faults.ground import Ground
from tests.service.district import expect_nothing_left
from tests.service.workers import wait_for

SCENES = 3
RELEASE_S = 10.0
MARGIN_S = 15.0
HEARD_S = 8.0
"""Within which a worker hears that a run was cancelled, and tells its engine: it looks itself every 5 s."""


def test_cancelled_in_the_middle_then_stopped_in_the_middle(ground: Ground) -> None:
    (first,) = ground.request(1)
    worker = ground.worker("--grace", "1", hold_at="infer.windows")
    worker.held()
    ground.change("select lode_api.cancel_run(%s, 'not needed')", first)
    time.sleep(HEARD_S)
    begun = time.monotonic()
    worker.let_go()
    wait_for(lambda: len(worker.ended_jobs()) == 1, "it stops", 30)
    assert worker.ended_jobs()[0]["end"] == "cancelled"
    assert time.monotonic() - begun < RELEASE_S - 1
    assert ground.status(first) == "cancelled"
    expect_nothing_left(ground.url)
    assert ground.rows("select run_id from lode.landcover") == []

    slow = ground.worker("--grace", "1", hold_at="infer.windows")
    wait_for(lambda: ground.value("select count(*) from lode.worker") == 2, "both are registered")
    ground.stop([worker])
    runs = ground.request(SCENES)
    slow.held()
    asked = time.monotonic()
    slow.signal(signal.SIGTERM)
    time.sleep(5)  # the grace is over: it is asked to stop, and hears it at the next window
    slow.let_go()
    assert slow.wait() == 0
    assert time.monotonic() - asked < 1 + RELEASE_S + MARGIN_S
    assert slow.ended_jobs()[-1]["end"] == "released"
    assert [ground.attempts(run) for run in runs] == [(0, [0, 0])] * SCENES
    ground.worker()
    ground.expect(SCENES)
    assert [ground.attempts(run) for run in runs] == [(1, [1, 1])] * SCENES


@pytest.mark.long
def test_a_job_is_finished_within_the_grace(ground: Ground) -> None:
    ground.request(SCENES)
    worker = ground.worker("--grace", "60", hold_at="publish.before_commit")
    worker.held()
    worker.signal(signal.SIGTERM)
    time.sleep(3)
    assert worker.is_alive()
    worker.let_go()
    assert worker.wait() == 0
    assert ground.value("select count(*) from lode.run where status = 'published'") == 1
    assert ground.value("select count(*) from lode.worker") == 0
    ground.worker()
    ground.expect(SCENES)


@pytest.mark.long
def test_a_job_that_does_not_hear_is_taken_from_it(ground: Ground) -> None:
    runs = ground.request(SCENES)
    worker = ground.worker("--grace", "1", hold_at="infer.windows")
    worker.held()
    asked = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert time.monotonic() - asked < 1 + RELEASE_S + MARGIN_S
    ground.worker()
    ground.expect(SCENES)
    assert max(max(ground.attempts(run)[1]) for run in runs) <= 2


@pytest.mark.long
@pytest.mark.parametrize("point", ["stage.before_commit", "publish.writing", "publish.before_commit"])
def test_cancelled_while_it_writes(ground: Ground, point: str) -> None:
    runs = ground.request(SCENES)
    worker = ground.worker(hold_at=point)
    worker.held()
    busy = ground.value("select run_id from lode_api.queue where status = 'running'")
    with ground.watcher() as watcher:
        # Whoever writes holds the run: cancelling waits for that, and comes too late or not at all.
        watcher.execute("set lock_timeout = '2s'")
        with pytest.raises(errors.LockNotAvailable):
            watcher.execute("select lode_api.cancel_run(%s, 'not needed')", (busy,))
    worker.let_go()
    ground.expect(SCENES)
    assert [ground.status(run) for run in runs] == ["published"] * SCENES
