"""A worker does what was asked for by SQL, tells how far it is, and ends as it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from db.connection import connect
from db.embedded import Cluster
from db.watch import take_snapshot
from db.watch_screen import screen_of
from tests.conftest import RunLode
from tests.service.conftest import SIDE_PX
from tests.service.district import (
    NOTHING,
    expect_nothing_left,
    left_behind,
    products,
    published,
    split_district,
)
from tests.service.workers import WorkerProcess, all_are, held, request, running, wait_for
from tests.support import lode_here, rows


def test_scenes_asked_for_by_sql_are_published_whole_or_in_blocks(
    cluster: Cluster, district: str, tmp_path: Path
) -> None:
    with split_district(cluster, district, None, SIDE_PX) as url, connect(url, autocommit=True) as listener:
        listener.execute("listen lode_run")
        asked = request(url, *products(2))
        worker = WorkerProcess(url, tmp_path, "--drain")
        with running(worker):
            assert worker.wait() == 0
        told = [json.loads(each.payload) for each in listener.notifies(timeout=5, stop_after=2)]
        assert [(each["run_id"], each["status"]) for each in told] == [(run, "published") for run in asked]
        whole = published(url)
        assert left_behind(listener) == NOTHING
        ended = [event for event in worker.events() if event["event"] == "job ended"]
        assert [(event["run_id"], event["scene"], event["end"]) for event in ended] == [
            (run, product, "done") for run, product in zip(asked, products(2), strict=True)
        ]
        assert listener.execute("select count(*) from lode.worker").fetchone() == (0,)
    with split_district(cluster, district, 24, SIDE_PX) as url:
        workers = [WorkerProcess(url, tmp_path) for _ in range(2)]
        registered = "select count(*) from lode.worker"
        with running(*workers):
            wait_for(lambda: rows(url, registered) == [(2,)], "both are there before there is work")
            request(url, *products(2))
            wait_for(all_are(url, 2, "published"), "two runs published")
            with connect(url) as conn:
                assert conn.execute(
                    "select count(*), count(distinct run_id) from lode.run_block"
                ).fetchone() == (
                    8,
                    2,
                )
                computed = conn.execute("select count(distinct worker) from lode.run_block").fetchone()
                assert computed == (2,)  # both had a part
        assert published(url) == whole
        expect_nothing_left(url)


def test_progress_is_seen_while_it_runs(cluster: Cluster, district: str, tmp_path: Path) -> None:
    with split_district(cluster, district, None, SIDE_PX) as url:
        (run_id,) = request(url, "s000")
        request(url, "s001")
        point = {"LODE_HOLD_AT": "publish.before_commit", "LODE_HOLD_FOLDER": str(tmp_path)}
        worker = WorkerProcess(url, tmp_path, environment=point)
        with running(worker):
            pid = held(tmp_path, "publish.before_commit")
            with connect(url, autocommit=True) as conn:
                query = (
                    "select run_id, status, stage, heartbeat_s < 60, worker like %s, product"
                    " from lode_api.queue order by ogc_fid"
                )

                def is_noted() -> bool:
                    rows = conn.execute(query, (f"%process {worker.pid},%",)).fetchall()
                    return rows[0] == (run_id, "running", "deriving areas", True, True, "s000") and (
                        rows[1][1] == "waiting"
                    )

                wait_for(is_noted, "the stage in lode_api.queue")
                alive = conn.execute("select is_alive, jobs, device from lode_api.worker_status").fetchone()
                assert alive == (True, 1, "CPU, 1 threads, fp32")
            with connect(url) as conn:
                snapshot = take_snapshot(conn)
            assert snapshot.workers_alive == 1
            assert [run.stage for run in snapshot.running if run.run_id == run_id] == ["deriving areas"]
            screen_of(snapshot)
            shown = lode_here(url, "status", "--watch", "--times", "1", env={"COLUMNS": "200"})
            assert "1 workers alive   1 jobs wait" in shown.stdout
            assert "deriving areas" in shown.stdout
            (tmp_path / f"publish.before_commit.{pid}").unlink()
            wait_for(all_are(url, 2, "published"), "two runs published")


def test_requests_and_cancelling_as_typed(run_lode: RunLode) -> None:
    refused = run_lode("run", "request", "--scene", "a")
    assert refused.returncode == 1
    assert "say --scene PRODUCT --model NAME, or --mine CODE --year YEAR" in refused.stderr
    refused = run_lode("run", "request", "--scene", "a", "--model", "net")
    assert "there is no scene 'a'; lode_api.scene_catalogue lists the products there are" in refused.stderr
    refused = run_lode("run", "cancel", "7")
    assert "there is no run 7" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--queues", "inference,nothing"), "name some of inference, ingest, report"),
        (("--queues", ""), "name some of inference, ingest, report"),
    ],
)
def test_a_worker_of_unknown_queues_is_refused(
    run_lode: RunLode, arguments: tuple[str, ...], said: str
) -> None:
    refused = run_lode("worker", *arguments)
    assert refused.returncode == 1
    assert said in refused.stderr


def test_a_worker_refuses_a_database_of_another_version(postgis_url: str) -> None:
    refused = lode_here(postgis_url, "worker", "--drain")
    assert refused.returncode == 1
    assert "this database holds no Lode: run `lode db upgrade`" in refused.stderr
