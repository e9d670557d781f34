"""Two workers on one scene, two that ingest the same, readers beside them: nobody deadlocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from affine import Affine

from db.connection import connect
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.faults.ground import Ground
from tests.ingest_files import write_tiff
from tests.service.district import NORTH, PIXEL_M, WEST, published, scene_pixels
from tests.service.workers import wait_for

SCENES = 3


def two_jobs(ground: Ground, run_id: int) -> None:
    """Put the work of a run into the queue a second time, past the rule that forbids it."""
    ground.rows(
        "select lode_api.enqueue('inference', 'interpret_run', jsonb_build_object('run_id', %s::integer),"
        " format('again %%s', %s::integer), 5)",
        run_id,
        run_id,
    )


@pytest.mark.long
def test_two_workers_compute_the_same_scenes(ground: Ground) -> None:
    runs = ground.request(SCENES)
    for run in runs:
        two_jobs(ground, run)
    workers = [ground.worker(), ground.worker()]
    ground.expect(SCENES)
    ends = [event["end"] for each in workers for event in each.ended_jobs()]
    assert set(ends) == {"done", "superseded"}


@pytest.mark.long
@pytest.mark.parametrize("point", ["publish.writing", "publish.before_commit"])
def test_another_begins_while_one_publishes(ground: Ground, point: str) -> None:
    (run,) = ground.request(1)
    first = ground.worker(hold_at=point)
    first.held()
    two_jobs(ground, run)
    second = ground.worker()
    waiting = (
        "select count(*) from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
    wait_for(lambda: ground.value(waiting) > 0, "the second waits for the first", 150)
    first.let_go()
    wait_for(lambda: bool(second.ended_jobs()), "the second is told", 120)
    assert second.ended_jobs()[0]["end"] == "superseded"
    ground.request(SCENES)
    ground.expect(SCENES)
    assert ground.attempts(run) == (1, [1, 1])


@pytest.mark.long
def test_ingests_beside_readers(ground: Ground, tmp_path: Path) -> None:
    ground.request(SCENES)
    ground.worker()
    files = [
        write_tiff(
            tmp_path / f"new{number}.tif",
            scene_pixels(50 + number, 64),
            nodata=0,
            transform=Affine(PIXEL_M, 0, WEST + number * 700, 0, -PIXEL_M, NORTH - 90_000),
        )
        for number in range(4)
    ]
    troubles: list[BaseException] = []
    is_over = threading.Event()

    def guarded(action: Callable[[], None]) -> threading.Thread:
        def act() -> None:
            try:
                action()
            except BaseException as error:
                troubles.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def ingest() -> None:
        for path in files:
            with connect(ground.url) as conn:
                statement = Statement(sensor="gf2_pms", acquired_on=date(2022, 7, 1), product=path.stem)
                ingest_scene(conn, source_file(path), statement)

    def read() -> None:
        while not is_over.is_set():
            published(ground.url)
            ground.rows("select * from lode_api.scene_catalogue")
            ground.rows("select * from lode_api.queue")

    readers = [guarded(read), guarded(read)]
    writers = [guarded(ingest), guarded(ingest)]
    for each in writers:
        each.join(100)
    ground.expect(SCENES)
    is_over.set()
    for each in readers:
        each.join(30)
    assert troubles == []
    once = "select product, version, count(*) from lode.scene where product ~ '^new' group by 1, 2 order by 1"
    assert ground.rows(once) == [(path.stem, 1, 1) for path in files]
