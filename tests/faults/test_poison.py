"""Scenes that cannot be interpreted: one that kills whoever tries, one that the network refuses."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.faults.ground import FaultyWorker, Ground
from tests.service.workers import request, wait_for

SCENES = 3
AT_WORK = (
    "select w.process_id from lode_queue.procrastinate_jobs j join lode.worker w on w.worker_id = j.worker_id"
    " join lode.run_block b on b.run_id = %s and b.status = 'running'"
    " where j.status = 'doing' and (j.args ->> 'run_id')::integer = b.run_id and b.block = 0"
    " and (j.args ->> 'block')::integer = b.block and b.attempt > %s"
)


def kill_at_work(ground: Ground, run_id: int, *, whole: bool) -> int:
    """Kill whoever works on the first block of a run, at each attempt, until it has failed; how often."""
    kills, deadline = 0, time.monotonic() + 400
    while (status := ground.status(run_id)) != "failed":
        assert status in ("requested", "running")
        assert time.monotonic() < deadline, "the poisonous run does not fail"
        for (pid,) in ground.rows(AT_WORK, run_id, kills):
            worker = next(each for each in ground.workers if each.pid == pid)
            victim = worker.engine()
            if victim is None:
                continue
            kills += 1
            if whole:
                worker.end()
                ground.worker()  # as systemd does
            else:
                os.kill(victim, signal.SIGKILL)
        time.sleep(0.02)
    return kills


@pytest.mark.long
@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (False, "the engine was ended by SIGKILL (the system does that when memory is short)"),
        (True, "its worker was not heard of any more"),
    ],
)
def test_a_scene_that_kills_its_worker_fails_in_the_end(ground: Ground, whole: bool, reason: str) -> None:
    others = ground.request(SCENES)
    (poison,) = ground.request(1, first=SCENES)
    scene = ground.value("select scene_id from lode.run where run_id = %s", poison)
    with ground.watcher() as holder, holder.transaction():
        # Whoever comes to its pixels waits there: no attempt goes on between the look and the kill.
        holder.execute(f"lock table lode_raster.scene_{scene} in access exclusive mode".encode())
        workers = [ground.worker(), ground.worker()]
        assert kill_at_work(ground, poison, whole=whole) == 3
    told = ground.value("select error from lode_api.run_history where ogc_fid = %s", poison)
    assert (
        told == f"block 0 was started 3 times, and no worker came to its end; the last reason given: {reason}"
    )
    assert ground.attempts(poison)[1][0] == 3
    ground.expect(SCENES)
    assert [ground.status(run) for run in others] == ["published"] * SCENES
    assert whole or all(each.is_alive() for each in workers)


def refused(ground: Ground, worker: FaultyWorker) -> None:
    """A scene with other bands than the network's: fails at once, and the worker goes on."""
    ground.change("update lode.scene set band_names = '{pan,green,red,nir}' where product = 'fields'")
    (run,) = request(ground.url, "fields")
    wait_for(lambda: ground.status(run) == "failed", "it is refused", 150)
    time.sleep(1)
    jobs = "select count(*) from lode_api.queue where run_id = %s"
    wait_for(lambda: ground.value(jobs, run) == 0, "none of its jobs is tried again", 60)
    told = ground.value("select error from lode_api.run_history where ogc_fid = %s", run)
    assert "pan,green,red,nir" in told.replace(" ", "")
    assert ground.attempts(run)[0] + sum(ground.attempts(run)[1]) == 1
    assert worker.is_alive()


@pytest.mark.long
def test_a_scene_the_network_refuses(ground: Ground) -> None:
    worker = ground.worker()
    refused(ground, worker)
    ground.request(SCENES)
    ground.expect(SCENES)
    assert worker.is_alive()
