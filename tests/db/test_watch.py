"""What `lode status --watch` is told, and that a worker refuses the database of another version."""

from __future__ import annotations

from datetime import date
from io import StringIO
from typing import Any

import pytest
from psycopg import Connection
from rich.console import Console

from db import runs
from db.errors import UsageError
from db.upgrade import upgrade
from db.watch import JobCount, require_current, take_snapshot
from db.watch_screen import screen_of
from tests.catalogue_rows import add_model, add_scene
from tests.db.queue_rows import add_job, add_worker
from tests.grids import cells


@pytest.fixture
def busy(conn: Connection[Any]) -> Connection[Any]:
    """Run 1 runs in a worker's hands, run 2 waits, run 3 failed."""
    model = add_model(conn, "net")
    for product in ("one", "two", "three"):
        scene = add_scene(conn, product, date(2022, 6, 1), cells("xx", "x"))
        runs.request_interpretation(conn, scene, model)
    worker = add_worker(conn, device="cuda:1")
    runs.claim_run(conn, 1, device="drawn", versions={})
    add_job(conn, "doing", worker=worker, run_id=1)
    add_job(conn, "todo", ago_s=50, run_id=2)
    conn.execute(
        "update lode.run_block set status = 'running', attempt = 2, token = gen_random_uuid(), worker = 'w',"
        " stage = 'classifying', done = 3, total = 9, started_at = now() where run_id = 1"
    )
    conn.execute(
        "update lode.run set status = 'failed', finished_at = now(), error = 'clouds' where run_id = 3"
    )
    conn.commit()
    return conn


def test_a_snapshot_tells_who_does_what_and_how_far_it_is(busy: Connection[Any]) -> None:
    found = take_snapshot(busy)
    assert found.jobs == (
        JobCount("inference", "interpret_run", "doing", 1),
        JobCount("inference", "interpret_run", "todo", 1),
    )
    assert found.waiting_s["inference"] == pytest.approx(50, abs=20)
    [worker] = found.workers
    assert (worker.host, worker.device, worker.is_alive, worker.task, worker.run_id) == (
        "north", "cuda:1", True, "interpret_run", 1,
    )  # fmt: skip
    [run] = found.running
    assert (run.run_id, run.product, run.model, run.attempt, run.stage, run.done, run.total, run.worker) == (
        1, "one", "net", 2, "classifying", 3, 9, "w",
    )  # fmt: skip
    assert (run.block, run.blocks, run.blocks_staged) == (0, 1, 0)
    assert [(failure.what, failure.reason) for failure in found.failures] == [
        ("run 3 of scene three", "clouds")
    ]
    assert found.runs == {"running": 1, "requested": 1, "failed": 1}
    assert (found.attempts, found.staged_bytes, found.workers_alive) == ({2: 1}, 0, 1)


def test_the_screen_shows_names_and_reasons_as_they_are(busy: Connection[Any]) -> None:
    """What a catalogue or a network is called is no markup, not even where it looks like it."""
    busy.execute("update lode.scene set product = '[north]' || product || '[/x].tif'")
    busy.execute("update lode.run set error = 'bands [blue,green] lack' where run_id = 3")
    busy.execute("update lode_queue.procrastinate_workers set last_heartbeat = now() - interval '1 day'")
    busy.commit()
    console = Console(width=200, record=True, file=StringIO())
    console.print(screen_of(take_snapshot(busy)))
    shown = console.export_text()
    for wanted in ("[north]one[/x].tif", "scene [north]three[/x].tif", "bands [blue,green] lack", "s ago"):
        assert wanted in shown


def test_a_snapshot_leaves_no_transaction_open(busy: Connection[Any]) -> None:
    take_snapshot(busy)
    before = take_snapshot(busy).at
    assert take_snapshot(busy).at > before
    busy.execute("update lode.run set priority = 1 where run_id = 1")  # the next may write


def test_failures_of_the_day_before_are_left_out(busy: Connection[Any]) -> None:
    busy.execute("update lode.run set finished_at = now() - interval '25 hours' where run_id = 3")
    busy.commit()
    assert take_snapshot(busy).failures == ()


def test_a_run_without_blocks_is_shown_as_well(busy: Connection[Any]) -> None:
    busy.execute("delete from lode.run_block where run_id = 1")
    busy.commit()
    [run] = take_snapshot(busy).running
    assert (run.run_id, run.block, run.blocks, run.attempt, run.worker, run.total) == (
        1,
        None,
        0,
        1,
        "drawn",
        0,
    )


def test_the_current_database_is_taken(conn: Connection[Any]) -> None:
    require_current(conn)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update lode.alembic_version set version_num = '0014'", "schema is at 0014, this Lode needs"),
        (
            "update lode.alembic_version set version_num = '9999'",
            "is at 9999, which this Lode .* not know: it",
        ),
        ("drop table lode.alembic_version", "holds no Lode: run `lode db upgrade`"),
        ("update lode.api_object set sha256 = 'x' where name = 'damage_by_year'", "another version of Lode"),
        ("insert into lode_queue.migration (name) values ('99.00.00_01_x.sql')", "by a newer procrastinate"),
        ("drop table lode_queue.migration", "there is no queue"),
    ],
)
def test_the_database_of_another_version_is_refused(conn: Connection[Any], change: str, said: str) -> None:
    conn.execute(change)
    with pytest.raises(UsageError, match=said):
        require_current(conn)


def test_an_old_database_is_taken_after_its_upgrade(postgis_url: str) -> None:
    from db.connection import connect

    upgrade(postgis_url, revision="0014")
    with connect(postgis_url) as conn:
        with pytest.raises(UsageError, match=r"at 0014, this Lode needs .*: run `lode db upgrade`"):
            require_current(conn)
        conn.rollback()
        upgrade(postgis_url)
        require_current(conn)


def test_a_newer_database_is_not_taken_down(conn: Connection[Any], database_url: str) -> None:
    """An older Lode's `lode db upgrade` must not touch it either."""
    conn.execute("update lode.alembic_version set version_num = '9999'")
    conn.commit()
    with pytest.raises(Exception, match="9999"):
        upgrade(database_url)
    assert conn.execute("select version_num from lode.alembic_version").fetchone() == ("9999",)


def test_files_installed_over_a_running_process_do_not_count(
    conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is the old one still: only a new process is of the new version."""
    require_current(conn)
    monkeypatch.setattr("db.watch.api_files", list)
    require_current(conn)
    conn.execute("delete from lode.api_object")
    with pytest.raises(UsageError, match="another version of Lode"):
        require_current(conn)
