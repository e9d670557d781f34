"""The database is restarted, its sessions are ended, it has no connection left: work goes on where it was."""

from __future__ import annotations

import random
import time

import pytest

from db.embedded import Cluster
from tests.faults.ground import UNHURRIED_S, Ground
from tests.faults.servers import no_connection_left, restart, terminate
from tests.service.workers import wait_for

SCENES = 3


def restarted(ground: Ground, cluster: Cluster, point: str, mode: str) -> None:
    runs = ground.request(SCENES)
    worker = ground.worker(hold_at=point, silent_s=UNHURRIED_S)
    worker.held()
    restart(cluster, mode)
    worker.let_go()
    ground.expect(SCENES)
    assert worker.is_alive()
    assert [ground.attempts(run) for run in runs] == [(1, [1, 1])] * SCENES


def test_a_crash_of_the_server_while_it_is_published(ground: Ground, cluster: Cluster) -> None:
    restarted(ground, cluster, "publish.writing", "immediate")


@pytest.mark.long
@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.parametrize("point", ["infer.windows", "stage.before_commit", "publish.before_commit"])
def test_a_restart_at_each_step(ground: Ground, cluster: Cluster, point: str, mode: str) -> None:
    restarted(ground, cluster, point, mode)


@pytest.mark.long
def test_an_outage_longer_than_the_silence_of_the_dead(ground: Ground, cluster: Cluster) -> None:
    # Nobody could say that they live: nobody is taken for dead when the server is back.
    runs = ground.request(SCENES)
    workers = [ground.worker(hold_at="publish.writing"), ground.worker(hold_at="publish.writing")]
    for each in workers:
        each.held()
    cluster.stop()
    time.sleep(8)
    cluster.ensure_running()
    time.sleep(3)
    for each in workers:
        each.let_go()
    ground.expect(SCENES)
    assert [ground.attempts(run) for run in runs] == [(1, [1, 1])] * SCENES


@pytest.mark.long
def test_sessions_are_ended_again_and_again(ground: Ground) -> None:
    runs = ground.request(12)
    workers = [ground.worker(), ground.worker()]
    rng, ended = random.Random(7), 0
    wait_for(lambda: ground.value("select count(*) from lode.run where status = 'running'") > 0, "they begin")
    begun = time.monotonic()
    while time.monotonic() - begun < 25:
        ended += terminate(ground.url, 0.7)
        time.sleep(rng.uniform(0.2, 1.5))
    assert ended > 20
    ground.expect(12)
    assert all(each.is_alive() for each in workers)
    assert max(ground.attempts(run)[0] for run in runs) <= 2


@pytest.mark.long
def test_no_connection_left(ground: Ground) -> None:
    runs = ground.request(SCENES)
    worker = ground.worker(hold_at="stage.after_commit", silent_s=UNHURRIED_S)
    worker.held()
    with ground.watcher() as watcher, no_connection_left(ground.url):
        worker.let_go()
        stages = "select count(*) from lode.run_block where stage = 'waiting for the database'"
        wait_for(lambda: watcher.execute(stages).fetchone() != (0,), "it waits for a connection", 90)
        time.sleep(3)
    ground.expect(SCENES)
    assert worker.is_alive()
    assert [ground.attempts(run) for run in runs] == [(1, [1, 1])] * SCENES
