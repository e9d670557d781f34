"""Metrics as Prometheus reads them: by HTTP, from a database with known jobs, and from none."""

from __future__ import annotations

import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from db import runs
from db.connection import connect
from db.errors import UsageError
from service.metrics import DatabaseCollector, WorkerMetrics, serve
from tests.catalogue_rows import add_model, add_scene
from tests.db.queue_rows import add_job, add_worker
from tests.grids import cells
from tests.support import await_waiting

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        assert answer.status == 200
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def test_a_scrape_tells_the_queue(conn: Connection[Any], database_url: str) -> None:
    scene = add_scene(conn, "one", date(2022, 6, 1), cells("xx", "x"))
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
    with serve(0, database_url, WorkerMetrics("north")) as port:
        assert (
            value(scrape(port), "lode_jobs", queue="inference", task="interpret_run", status="todo") is None
        )
        alive, silent = add_worker(conn, silent_s=20, device="cuda:0"), add_worker(conn, silent_s=300)
        add_job(conn, "todo", ago_s=500, run_id=run.run_id)
        add_job(conn, "todo", ago_s=100, run_id=run.run_id)
        add_job(conn, "doing", worker=alive, run_id=run.run_id)
        add_job(conn, "failed", queue="ingest", task="scan_source", ingest_source_id=1)
        runs.claim_run(conn, run.run_id, device="drawn", versions={})
        conn.execute(
            "insert into lode.run_stage (run_id, block, row_px, class_map, probability)"
            " values (%s, 0, 0, %s, %s)",
            (run.run_id, b"\x01" * 100, b"\x02" * 800),
        )
        conn.commit()
        found = scrape(port)
    assert value(found, "lode_database_up") == 1
    interpret = {"queue": "inference", "task": "interpret_run"}
    assert value(found, "lode_jobs", status="todo", **interpret) == 2
    assert value(found, "lode_jobs", status="doing", **interpret) == 1
    assert value(found, "lode_jobs", status="failed", queue="ingest", task="scan_source") == 1
    assert value(found, "lode_oldest_waiting_seconds", queue="inference") == pytest.approx(500, abs=30)
    assert value(found, "lode_runs", status="running") == 1
    assert value(found, "lode_runs_by_attempt", attempt="1") == 1
    assert value(found, "lode_runs_by_attempt", attempt="3") is None
    assert value(found, "lode_workers_alive") == 1
    heartbeat = "lode_worker_heartbeat_seconds"
    near, far = (
        value(found, heartbeat, worker_id=str(key), host="north", device=device)
        for key, device in ((alive, "cuda:0"), (silent, "cpu"))
    )
    assert (near, far) == (pytest.approx(20, abs=15), pytest.approx(300, abs=15))
    assert value(found, "lode_staged_bytes") == pytest.approx(900, abs=20)


def test_the_third_attempt_of_a_block_is_one_of_its_run(conn: Connection[Any], database_url: str) -> None:
    """Blocks are tried again by themselves: the run's own attempts begin with its publication."""
    scene = add_scene(conn, "one", date(2022, 6, 1), cells("xx", "x"))
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
    runs.claim_run(conn, run.run_id, device="drawn", versions={})
    for status, attempt in (("running", 3), ("waiting", 1)):
        conn.execute(
            "update lode.run_block set status = %s, attempt = 3, token = gen_random_uuid()", (status,)
        )
        conn.commit()
        [family] = [
            each for each in DatabaseCollector(database_url).collect() if each.name == "lode_runs_by_attempt"
        ]
        assert [(each.labels["attempt"], each.value) for each in family.samples] == [(str(attempt), 1)]


def test_a_worker_counts_what_it_did(database_url: str) -> None:
    worker = WorkerMetrics("north", device="cuda:0")
    with serve(0, database_url, worker) as port:
        for outcome, seconds in (("done", 4.0), ("done", 400.0), ("failed", 1.0), ("released", 0.5)):
            worker.job_started("interpret_run")
            worker.job_ended("interpret_run", outcome, seconds)
        worker.job_started("interpret_block")
        worker.windows(12)
        worker.windows(30)
        worker.engine_restarted()
        worker.gpu_memory(5, 80)
        found = scrape(port)
    own = {"worker": "north"}
    run = {**own, "task": "interpret_run"}
    assert value(found, "lode_worker_jobs_total", outcome="done", **run) == 2
    assert value(found, "lode_worker_jobs_total", outcome="failed", **run) == 1
    assert value(found, "lode_worker_jobs_total", outcome="released", **run) == 1
    assert value(found, "lode_worker_jobs_running", **run) == 0
    assert value(found, "lode_worker_jobs_running", task="interpret_block", **own) == 1
    assert value(found, "lode_worker_job_seconds_sum", **run) == 405.5
    assert value(found, "lode_worker_job_seconds_bucket", le="5.0", **run) == 3
    assert value(found, "lode_worker_job_seconds_bucket", le="900.0", **run) == 4
    assert value(found, "lode_worker_windows_total", **own) == 42
    assert value(found, "lode_worker_engine_restarts_total", **own) == 1
    assert value(found, "lode_worker_gpu_memory_bytes", kind="used", **own) == 5
    assert value(found, "lode_worker_info", device="cuda:0", **own) == 1


def test_an_unknown_outcome_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="outcome 'lost' of a job is none of done, failed"):
        WorkerMetrics("north").job_ended("interpret_run", "lost", 1.0)


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word, as a machine does whose disk hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://me:s3cret@127.0.0.1:{server.getsockname()[1]}/mines"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_database_that_is_down_leaves_the_workers_own_figures() -> None:
    worker = WorkerMetrics("north")
    worker.windows(7)
    with serve(0, f"postgresql://me:s3cret@127.0.0.1:{free_port()}/mines", worker) as port:
        found = scrape(port)
    assert value(found, "lode_database_up") == 0
    assert value(found, "lode_workers_alive") is None
    assert value(found, "lode_worker_windows_total", worker="north") == 7


def test_a_database_that_says_nothing_holds_no_scrape() -> None:
    with silent_server() as url, serve(0, url, WorkerMetrics("north")) as port:
        begun = time.monotonic()
        assert value(scrape(port), "lode_database_up") == 0
        assert value(scrape(port), "lode_database_up") == 0
        assert time.monotonic() - begun < 15


def test_a_table_that_is_locked_holds_no_scrape(
    conn: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.metrics._STATEMENT_MS", 60_000)  # not the server, the deadline ends the wait
    collector = DatabaseCollector(database_url, deadline_s=0.5)

    def is_up() -> float:
        [family, *_rest] = collector.collect()
        return float(family.samples[0].value)

    conn.execute("lock table lode.run in access exclusive mode")
    begun = time.monotonic()
    assert is_up() == 0
    assert is_up() == 0, "the reader that waits is not given a second one"
    assert time.monotonic() - begun < 10
    with connect(database_url) as other:
        await_waiting(other)
        row = other.execute(
            "select count(*) from pg_stat_activity where application_name = 'lode metrics'"
            " and datname = current_database()"
        ).fetchone()
    assert row == (1,)
    conn.rollback()
    collector._deadline_s = 20.0
    assert is_up() == 1


def test_settings_of_the_address_are_kept(database_url: str) -> None:
    url = make_conninfo(database_url, options="-c work_mem=7MB")
    with connect(DatabaseCollector(url)._url) as conn:
        assert conn.execute("show work_mem").fetchone() == ("7MB",)
        assert conn.execute("show statement_timeout").fetchone() == ("3s",)


def test_it_listens_on_this_machine_alone(database_url: str) -> None:
    with serve(0, database_url, WorkerMetrics("north")) as port:
        assert value(scrape(port), "lode_database_up") == 1
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=2)
        with (
            pytest.raises(
                UsageError, match=rf"127\.0\.0\.1:{port} \(Address already in use\): choose another"
            ),
            serve(port, database_url, WorkerMetrics("south")),
        ):
            pass
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=2)
