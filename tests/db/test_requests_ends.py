"""What a second request meets, priorities of jobs, and the order in which rows of a run are locked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import date
from typing import Any

import pytest
from psycopg import Connection, OperationalError, errors
from psycopg.conninfo import make_conninfo

from db import blocks, runs
from db.blocks import BlockClaim
from db.connection import connect, is_transient
from db.errors import SupersededError
from inference.beat import no_beat
from inference.blocks import _stage
from inference.maps import Maps
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.db.queue_rows import add_worker
from tests.grids import cells
from tests.support import await_waiting

GROUND = "xxxx\nxxxx"
FETCH = (
    "select id, task_name::text, priority"
    " from lode_queue.procrastinate_fetch_job_v2(array['inference', 'ingest', 'report']::varchar[], %s)"
)
WAITING = (
    "select task_name::text, priority from lode_queue.procrastinate_jobs where status = 'todo' order by id"
)


@pytest.fixture
def catalogue(conn: Connection[Any]) -> Connection[Any]:
    """Two scenes of a year over a mine, and two networks."""
    for model in ("net", "other"):
        add_model(conn, model)
    for product, day in (("a", date(2022, 6, 1)), ("b", date(2022, 7, 1))):
        add_scene(conn, product, day, cells(GROUND, "x"))
    add_mine(conn, "M1", cells("x", "x"))
    conn.commit()
    return conn


def ask(conn: Connection[Any], statement: str, *arguments: object) -> Any:
    row = conn.execute(statement.encode(), arguments or None).fetchone()
    assert row is not None
    return row[0]


def request(conn: Connection[Any], scene: str, *, becomes_current: bool = False) -> int:
    return int(ask(conn, "select lode_api.request_inference(%s, 'net', %s)", scene, becomes_current))


def publish(conn: Connection[Any], scene: str, model: str, *, current: bool = True) -> int:
    scene_id = ask(conn, "select scene_id from lode.scene where product = %s", scene)
    model_id = ask(conn, "select model_id from lode.model where name = %s", model)
    return publish_drawing(conn, scene_id, model_id, 2022, "pd", current=current)


def split(conn: Connection[Any]) -> None:
    """Let the scene a have two blocks from now on."""
    conn.execute("update lode.scene set width_px = 1000, height_px = 100 where product = 'a'")
    conn.execute("select set_config('lode.block_px', '48000', false)")


def test_a_published_run_that_is_asked_to_become_current_does(catalogue: Connection[Any]) -> None:
    older = publish(catalogue, "a", "net")
    newer = publish(catalogue, "a", "other")
    catalogue.commit()
    current = "select run_id from lode.run where is_current"
    assert ask(catalogue, current) == newer
    assert request(catalogue, "a") == older  # asked without: nothing changes
    assert ask(catalogue, current) == newer
    assert request(catalogue, "a", becomes_current=True) == older
    assert catalogue.execute(current).fetchall() == [(older,)]
    owned = "select owned_area_m2 > 0 from lode.observation where run_id = %s"
    assert (ask(catalogue, owned, older), ask(catalogue, owned, newer)) == (True, None)
    assert catalogue.execute(WAITING).fetchall() == []


def test_a_run_that_waits_and_is_asked_to_become_current_will(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    assert request(catalogue, "a", becomes_current=True) == run_id
    assert ask(catalogue, "select becomes_current from lode.run where run_id = %s", run_id)
    assert len(catalogue.execute(WAITING).fetchall()) == 1


def test_a_mine_leaves_out_what_was_withdrawn(catalogue: Connection[Any]) -> None:
    withdrawn = publish(catalogue, "a", "net")
    runs.withdraw_run(catalogue, withdrawn, "clouds")
    catalogue.commit()
    told: list[str] = []
    catalogue.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    (asked,) = runs.request_mine(catalogue, "M1", 2022, "net")
    assert runs.run_by_id(catalogue, asked).scene_id != runs.run_by_id(catalogue, withdrawn).scene_id
    assert told == ["scene a was interpreted by that network and withdrawn: it is left out"]
    assert runs.run_by_id(catalogue, withdrawn).status == "withdrawn"
    runs.withdraw_run(catalogue, publish(catalogue, "b", "net"), "clouds")
    assert runs.request_mine(catalogue, "M1", 2022, "net") == []


@pytest.mark.parametrize("end", ["waits", "failed", "cancelled", "published"])
def test_another_size_of_blocks_is_no_other_run(catalogue: Connection[Any], end: str) -> None:
    split(catalogue)
    run_id = request(catalogue, "a")
    cut = [(each.first_row_px, each.row_count_px) for each in blocks.blocks_of(catalogue, run_id)]
    assert len(cut) == 2
    if end != "waits":
        catalogue.execute("update lode.run set status = %s where run_id = %s", (end, run_id))
    catalogue.execute("select set_config('lode.block_px', '200000', false)")
    assert request(catalogue, "a") == run_id
    assert ask(catalogue, "select count(*) from lode.run") == 1
    assert [(each.first_row_px, each.row_count_px) for each in blocks.blocks_of(catalogue, run_id)] == cut


def test_bringing_in_and_reporting_go_before_interpretations(catalogue: Connection[Any]) -> None:
    catalogue.execute("select lode_api.request_run(1, 1, false, 5)")
    catalogue.execute("select lode_api.enqueue('report', 'report_source', '{}')")
    catalogue.execute("select lode_api.enqueue('ingest', 'ingest_item', '{}')")
    catalogue.execute("select lode_api.enqueue('ingest', 'scan_source', '{}', null, 20)")
    worker = add_worker(catalogue)
    fetched = [catalogue.execute(FETCH, (worker,)).fetchone() for _ in range(4)]
    assert [row and row[1:] for row in fetched] == [
        ("scan_source", 20),
        ("report_source", 10),
        ("ingest_item", 10),
        ("interpret_run", 5),
    ]


def test_cancelled_while_it_is_done_and_asked_for_at_once(catalogue: Connection[Any]) -> None:
    run_id = request(catalogue, "a")
    worker = add_worker(catalogue)
    fetched = catalogue.execute(FETCH, (worker,)).fetchone()
    stale = runs.claim_run(catalogue, run_id, device="cpu", versions={}, most_attempts=3)
    runs.cancel_run(catalogue, run_id)
    assert request(catalogue, "a") == run_id
    assert catalogue.execute(WAITING).fetchall() == [("interpret_run", 0)]
    with pytest.raises(SupersededError, match="the run is requested; nothing was stored"):
        runs.hold_for_publication(catalogue, stale)
    runs.release_run(catalogue, stale)
    assert runs.run_by_id(catalogue, run_id).attempt == 0
    assert request(catalogue, "a") == run_id  # the job that was told to stop is not taken for its own
    assert len(catalogue.execute(WAITING).fetchall()) == 1
    again = catalogue.execute(FETCH, (worker,)).fetchone()
    assert fetched
    assert again
    assert again[0] > fetched[0]


def test_a_publication_keeps_the_priority_of_its_blocks(catalogue: Connection[Any]) -> None:
    split(catalogue)
    run_id = int(ask(catalogue, "select lode_api.request_run(1, 1, false, 7)"))
    assert catalogue.execute(WAITING).fetchall() == [("interpret_block", 7)] * 2
    for each in blocks.blocks_of(catalogue, run_id):
        claim = blocks.claim_block(catalogue, run_id, each.block, worker="w", most_attempts=3)
        blocks.finish_block(catalogue, claim)
    assert catalogue.execute(WAITING).fetchall()[2:] == [("interpret_run", 8)]


class Stager:
    """Claims a block of a run and stages it, as a worker does."""

    def __init__(self, url: str, run_id: int, number: int) -> None:
        self.url = url
        with connect(url) as conn:
            self.claim = blocks.claim_block(conn, run_id, number, worker="w", most_attempts=1000)
            self.block = blocks.blocks_of(conn, run_id)[number]
        self.maps = Maps(self.block.first_row_px, self.block.row_count_px, 1000, 8)

    def stage(self) -> bool:
        return _stage(self.url, self.claim, self.block, self.maps, no_beat)


def before_the_end(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Act when all parts of a block are sent and it is not yet marked as staged, the first time."""
    real = blocks.finish_block

    def finish(conn: Connection[Any], mine: BlockClaim) -> bool:
        patch.setattr(blocks, "finish_block", real)
        act()
        return real(conn, mine)

    patch.setattr(blocks, "finish_block", finish)


def cancel(url: str, run_id: int) -> None:
    with connect(url) as conn:
        conn.execute("set lock_timeout = '3s'")
        runs.cancel_run(conn, run_id)


@pytest.mark.parametrize("before", ["nothing", "all of it", "rows of another attempt"])
def test_a_run_is_cancelled_at_once_while_a_block_is_staged(
    catalogue: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Also when there are rows of the block already, as when the answer to a commit was lost."""
    split(catalogue)
    run_id = request(catalogue, "a")
    catalogue.commit()
    stager = Stager(database_url, run_id, 0)
    if before != "nothing":
        stager.stage()
    if before == "rows of another attempt":
        catalogue.execute("update lode.run_block set status = 'running' where block = 0")
        catalogue.commit()
    before_the_end(monkeypatch, lambda: cancel(database_url, run_id))
    with pytest.raises(SupersededError, match="the run is cancelled; nothing was stored"):
        stager.stage()
    assert runs.run_by_id(catalogue, run_id).status == "cancelled"
    assert ask(catalogue, "select count(*) from lode.run_stage") == 0
    with pytest.raises(SupersededError, match="the run is cancelled; nothing was stored"):
        stager.stage()


def test_two_blocks_of_a_run_are_staged_side_by_side(
    catalogue: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.locks.ROW_WAIT_S", 1)
    split(catalogue)
    run_id = request(catalogue, "a")
    catalogue.commit()
    ended: list[bool] = []
    before_the_end(monkeypatch, lambda: ended.append(Stager(database_url, run_id, 1).stage()))
    assert Stager(database_url, run_id, 0).stage()
    assert ended == [False]
    assert [each.status for each in blocks.blocks_of(catalogue, run_id)] == ["staged", "staged"]


def test_whoever_cancels_waits_for_a_block_that_is_being_marked(
    catalogue: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(catalogue)
    run_id = request(catalogue, "a")
    catalogue.commit()
    with ThreadPoolExecutor(1) as pool:
        cancelled: list[Future[None]] = []

        def reached(point: str) -> None:
            if point == "stage.before_commit":
                cancelled.append(pool.submit(cancel, database_url, run_id))
                await_waiting(catalogue)

        monkeypatch.setattr("inference.blocks.reached", reached)
        assert not Stager(database_url, run_id, 0).stage()
        cancelled[0].result(30)
    assert runs.run_by_id(catalogue, run_id).status == "cancelled"
    assert ask(catalogue, "select count(*) from lode.run_stage") == 0


def test_nobody_waits_in_a_circle(catalogue: Connection[Any], database_url: str) -> None:
    """Two stage, and stage again, while a third cancels, asks anew and sweeps."""
    split(catalogue)
    run_id = request(catalogue, "a")
    catalogue.commit()
    url = make_conninfo(database_url, options="-c deadlock_timeout=20ms -c lock_timeout=20s")

    is_over = threading.Event()

    def stage(number: int) -> None:
        while not is_over.is_set():
            with suppress(SupersededError):
                stager = Stager(url, run_id, number)
                stager.stage()
                stager.stage()

    def disturb() -> None:
        for _ in range(15):
            with connect(url) as conn:
                runs.cancel_run(conn, run_id)
            with connect(url) as conn:
                conn.execute("update lode.sweep set swept_at = '-infinity'")
                conn.execute("select lode_api.reap_jobs(0.01)")
            with connect(url) as conn:
                request(conn, "a")

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(stage, 0), pool.submit(stage, 1), pool.submit(disturb)]
        wait(working, 60, FIRST_COMPLETED)
        is_over.set()
        for each in working:
            each.result(60)
    runs.cancel_run(catalogue, run_id)
    request(catalogue, "a")
    catalogue.commit()
    for number in (0, 1):
        Stager(database_url, run_id, number).stage()
    assert [each.status for each in blocks.blocks_of(catalogue, run_id)] == ["staged", "staged"]


def test_the_next_attempt_ends_one_that_was_stopped_in_the_middle(
    catalogue: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.locks.ROW_WAIT_S", 1)
    split(catalogue)
    run_id = request(catalogue, "a")
    catalogue.commit()
    stale = Stager(database_url, run_id, 0)
    with connect(database_url, application_name=blocks.staging_name(run_id, 0)) as stopped:
        blocks.stage_rows(stopped, stale.claim, 0, b"", b"")
        fresh = Stager(make_conninfo(database_url, options="-c lock_timeout=3s"), run_id, 0)
        fresh.stage()
        with pytest.raises(OperationalError, match="terminating connection"):
            stopped.execute("select")
    assert [each.status for each in blocks.blocks_of(catalogue, run_id)] == ["staged", "waiting"]


def test_who_waits_for_a_run_in_vain_may_try_again(
    catalogue: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = request(catalogue, "a")
    block = blocks.claim_block(catalogue, run_id, 0, worker="w", most_attempts=3)
    run = runs.claim_run(catalogue, run_id, device="cpu", versions={})
    assert ask(catalogue, "select current_setting('lock_timeout')") == "0"  # what follows waits for longer
    catalogue.commit()
    monkeypatch.setattr("db.locks.ROW_WAIT_S", 0.1)
    calls: list[Callable[[Connection[Any]], object]] = [
        lambda conn: blocks.claim_block(conn, run_id, 0, worker="w", most_attempts=3),
        lambda conn: blocks.begin_staging(conn, block),
        lambda conn: blocks.finish_block(conn, block),
        lambda conn: runs.claim_run(conn, run_id, device="cpu", versions={}),
        lambda conn: runs.hold_for_publication(conn, run),
    ]
    with connect(database_url) as publishing:
        assert runs.hold_for_publication(publishing, run)
        for call in calls:
            with connect(database_url) as conn:
                conn.execute("set statement_timeout = '5s'")
                with pytest.raises(errors.LockNotAvailable) as caught:
                    call(conn)
                conn.rollback()
            assert is_transient(caught.value)
        assert ask(publishing, "select current_setting('lock_timeout')") == "0"
