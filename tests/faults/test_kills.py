"""SIGKILL of a worker, of its parent process alone and of its engine alone, at each step of its work."""

from __future__ import annotations

import pytest

from tests.faults.ground import Ground
from tests.faults.strikes import strike
from tests.service.workers import wait_for

SCENES = 3

POINTS = (
    "infer.windows",
    "stage.before_commit",
    "stage.after_commit",
    "publish.writing",
    "publish.before_commit",
    "publish.after_commit",
    "job.before_done",
)
COMMITTED = ("stage.after_commit", "publish.after_commit", "job.before_done")
"""Points at which the work is done already, and is not done again."""

HELD_S = 15.0
"""Silence of the dead where others are held and wait for their turn: they are not to be taken for dead."""

PUBLISHING = """
    select count(*) from lode_queue.procrastinate_jobs where status = 'doing' and task_name = 'interpret_run'
"""


def test_three_workers_are_killed_at_three_points(ground: Ground) -> None:
    """The first two take a publication each before the third worker comes: it finds only the third scene."""
    runs = ground.request(SCENES)
    points = ("publish.before_commit", "publish.after_commit")
    doomed = [ground.worker(hold_at=point, silent_s=HELD_S) for point in points]
    wait_for(lambda: ground.value(PUBLISHING) == len(doomed), "both publish", 150)
    strike(engine_less := ground.worker(hold_at="infer.windows", silent_s=HELD_S), "engine")
    strike(doomed[0], "group")  # the other one publishes after it
    strike(doomed[1], "parent")
    ground.expect(SCENES)
    assert engine_less.is_alive()
    assert sorted(ground.attempts(run)[0] for run in runs) == [1, 1, 2]
    assert sorted(attempt for run in runs for attempt in ground.attempts(run)[1]) == [1, 1, 1, 1, 1, 2]


@pytest.mark.long
@pytest.mark.parametrize("victim", ["group", "parent", "engine"])
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_point(ground: Ground, point: str, victim: str) -> None:
    runs = ground.request(SCENES)
    worker = ground.worker(hold_at=point)
    strike(worker, victim)
    published = ground.value("select count(*) from lode.run where status = 'published'")
    rows = ground.value("select count(*) from lode.landcover")
    assert (published, rows > 0) == ((1, True) if point == "publish.after_commit" else (0, False))
    if victim != "engine":
        ground.worker()
    ground.expect(SCENES)
    attempts = [ground.attempts(run) for run in runs]
    again = sum(run - 1 for run, _ in attempts) + sum(block - 1 for _, blocks in attempts for block in blocks)
    assert again == (0 if point in COMMITTED else 1)
    assert victim != "engine" or worker.is_alive()
