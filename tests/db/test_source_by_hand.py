"""`lode source run` beside workers and after a kill: what was left is taken up, what is held is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from db import runs
from db.connection import connect
from db.ingest_items import claim_item
from db.ingest_retries import begun_items, retry_left
from ingest.sources.ingesting import ingest_item
from tests.conftest import RunLode
from tests.service.workers import held, wait_for
from tests.source_files import described_tiff
from tests.source_published import BEFORE, add_source, publish
from tests.source_runs import Sources
from tests.support import REPOSITORY


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    described_tiff(tmp_path / "inbox" / "d1.tif", 1)
    return Sources(database_url, tmp_path)


def is_held(sources: Sources, source: int) -> list[bool]:
    with connect(sources.url) as conn:
        return [each[2] for each in begun_items(conn, source)]


def test_what_a_killed_run_left_is_begun_anew(sources: Sources, run_lode: RunLode, tmp_path: Path) -> None:
    described_tiff(tmp_path / "inbox" / "d2.tif", 2)
    source = sources.add("folder", tmp_path / "inbox")
    process = subprocess.Popen(
        [sys.executable, "-m", "lode", "source", "run", "source"],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "LODE_DATABASE_URL": sources.url,
            "LODE_HOLD_AT": "fetch.after",
            "LODE_HOLD_FOLDER": str(tmp_path),
        },
        stdout=subprocess.DEVNULL,
    )
    with process:
        held(tmp_path, "fetch.after")
        assert sources.states() == {"d1.toml": "fetched", "d2.toml": "found"}
        assert is_held(sources, source) == [True]
        process.send_signal(signal.SIGTERM)
    wait_for(lambda: is_held(sources, source) == [False], "its connection is gone")

    done = run_lode("source", "run", "source")
    assert done.returncode == 0, done.stderr
    assert "d1.toml: its process is gone: it is taken six hours after that was last heard of" in done.stdout
    assert "d2.toml: stored as scene d2 version 1" in done.stdout
    assert sources.states() == {"d1.toml": "fetched", "d2.toml": "ingested"}

    done = run_lode("source", "run", "source", "--retry")
    assert "1 that were left by a process that is gone begin anew" in done.stdout
    assert "d1.toml: stored as scene d1 version 1" in done.stdout
    assert sources.scenes() == [("d1", 1), ("d2", 1)]
    assert [item["attempt"] for item in sources.items()] == [1, 1]


def test_what_was_left_is_taken_after_six_hours(sources: Sources, run_lode: RunLode, tmp_path: Path) -> None:
    source = sources.add("folder", tmp_path / "inbox")
    sources.scan(source)
    item_id = sources.items()[0]["ingest_item_id"]
    with connect(sources.url) as conn:
        claim_item(conn, item_id)
    for hours, is_taken in ((5, False), (7, True)):
        sources.execute(
            "update lode.ingest_item set updated_at = now() - make_interval(hours => %s)", (hours,)
        )
        done = run_lode("source", "run", "source")
        assert done.returncode == 0, done.stderr
        assert ("stored as scene d1" in done.stdout) is is_taken
    assert sources.items()[0]["attempt"] == 2


def test_what_a_living_process_holds_is_left_to_it(
    sources: Sources, run_lode: RunLode, tmp_path: Path
) -> None:
    source = sources.add("folder", tmp_path / "inbox")
    sources.scan(source)
    item_id = sources.items()[0]["ingest_item_id"]
    at_work, go_on = threading.Event(), threading.Event()

    def wait(stage: str, _done: int, _total: int) -> None:
        if stage == "ingesting":
            at_work.set()
            go_on.wait(60)

    thread = threading.Thread(target=ingest_item, args=(sources.url, item_id, wait))
    thread.start()
    try:
        assert at_work.wait(60)
        sources.execute("update lode.ingest_item set updated_at = now() - interval '7 hours'")
        for words in ((), ("--retry",), ("--retry",)):
            done = run_lode("source", "run", "source", *words)
            assert done.returncode == 0, done.stderr
            assert "d1.toml: another process is at it" in done.stdout
            assert "left by" not in done.stdout
            # Nor where it began only after the list of what waits was made.
            by_hand = ingest_item(sources.url, item_id, wait, is_by_hand=True)
            assert (by_hand.status, by_hand.key) == ("fetched", None)
        assert [(row["status"], row["attempt"]) for row in sources.items()] == [("fetched", 1)]
    finally:
        go_on.set()
        thread.join(60)
    assert [(row["status"], row["attempt"]) for row in sources.items()] == [("ingested", 1)]


def test_a_worker_that_lost_its_connection_is_at_it_while_it_is_heard_of(
    sources: Sources, tmp_path: Path
) -> None:
    source = sources.add("folder", tmp_path / "inbox")
    sources.scan(source)
    with connect(sources.url) as conn:
        claim_item(conn, sources.items()[0]["ingest_item_id"])
        worker = conn.execute(
            "select worker_id from lode_queue.procrastinate_register_worker_v1()"
        ).fetchone()
        conn.execute("update lode_queue.procrastinate_jobs set status = 'doing', worker_id = %s", worker)
        assert retry_left(conn, source) == 0
        conn.execute(
            "update lode_queue.procrastinate_workers set last_heartbeat = now() - interval '2 minutes'"
        )
        assert retry_left(conn, source) == 1


def test_an_interpretation_that_failed_begins_anew(
    sources: Sources, run_lode: RunLode, tmp_path: Path
) -> None:
    source = add_source(sources, tmp_path / "inbox")
    sources.scan(source)
    (done,) = sources.ingest_all(source)
    assert done.run_id is not None

    def fail() -> None:
        with connect(sources.url) as conn:
            claim = runs.claim_run(conn, done.run_id or 0, device="x", versions={})
            conn.commit()
            runs.fail_run(conn, claim, "no memory")
        sources.execute("delete from lode_queue.procrastinate_jobs")
        assert sources.states() == {"d1.toml": "failed"}

    fail()
    sources.execute("update lode.model set retired_at = now(), retired_reason = 'old'")
    told = run_lode("source", "run", "source", "--retry")
    assert "0 that failed begin anew" in told.stdout
    (item,) = sources.items()
    assert item["status"] == "failed"
    assert "model net was retired: old" in item["error"]

    sources.execute("update lode.model set retired_at = null, retired_reason = null")
    told = run_lode("source", "run", "source", "--retry")
    assert told.returncode == 0, told.stderr
    assert "1 that failed begin anew" in told.stdout
    assert sources.states() == {"d1.toml": "ingested"}
    assert [args["run_id"] for args in sources.jobs("interpret_run")] == [done.run_id]
    assert len(sources.scenes()) == 1
    publish(sources.url, done.run_id, BEFORE)
    assert sources.states() == {"d1.toml": "published"}
    assert sources.jobs("report_source") == [{"ingest_source_id": source}]
