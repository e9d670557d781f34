"""A scene in blocks through the database: the same rows whoever computed what, and how often."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from db import blocks, runs
from db.blocks import BlockClaim
from db.connection import connect
from db.embedded import Cluster
from db.errors import SupersededError, UsageError
from inference import tasks
from inference.beat import no_beat
from inference.blocks import compute_block
from inference.interpret import interpret, perform_run
from inference.model_cache import ModelCache
from tests.db.interpreted_blocks import (
    BLOCK_ROWS,
    Rows,
    assert_nothing_is_left,
    copy_in_blocks,
    published,
    published_at_once,
    requested,
)
from tests.support import rows

MOST = 3


@pytest.fixture
def url(cluster: Cluster, network_database: str) -> Iterator[str]:
    with copy_in_blocks(cluster, network_database) as url:
        yield url


@pytest.fixture(scope="module")
def at_once(cluster: Cluster, network_database: str) -> list[Rows]:
    return published_at_once(cluster, network_database)


def jobs(url: str) -> Rows:
    return rows(url, "select task_name, args from lode_queue.procrastinate_jobs order by id")


def claimed(url: str, number: int, worker: str = "another") -> BlockClaim:
    with connect(url) as conn:
        return blocks.claim_block(conn, 1, number, worker=worker, most_attempts=MOST)


def test_the_same_rows_byte_for_byte_whoever_computes_the_blocks(
    url: str, at_once: list[Rows], models: ModelCache
) -> None:
    """Each block by itself in any order, one of them twice; nobody sees anything before the publication."""
    run_id = requested(url)
    order = [0, 1, 2]
    random.Random(5).shuffle(order)
    for number in order[:2]:
        done = compute_block(url, run_id, number, models, most_attempts=MOST)
        assert (done.rows, done.is_last) == (BLOCK_ROWS, False)
    with connect(url) as conn:  # as after a kill between the stage and the end of the job
        conn.execute("update lode.run_block set status = 'waiting' where block = %s", (order[0],))
        conn.execute("update lode.run set queued_at = now()")
    compute_block(url, run_id, order[0], models, most_attempts=MOST)
    assert published(url)[:2] == [[], []]
    assert jobs(url) == []
    assert compute_block(url, run_id, order[2], models, most_attempts=MOST).is_last
    assert jobs(url) == [("interpret_run", {"run_id": run_id, "scene": "a"})]
    stages: list[str] = []
    perform_run(url, run_id, models, most_attempts=MOST, beat=lambda stage, *_: stages.append(stage))
    assert "loading" in stages
    assert "classifying" not in stages
    assert published(url) == at_once
    assert_nothing_is_left(url)


def test_blocks_that_nobody_computed_are_computed_by_who_publishes(
    url: str, at_once: list[Rows], models: ModelCache
) -> None:
    run_id = requested(url)
    compute_block(url, run_id, 1, models, most_attempts=MOST)
    told: list[tuple[str, int, int]] = []
    perform_run(url, run_id, models, beat=lambda *beat: told.append(beat))
    assert published(url) == at_once
    counted = [(done, total) for stage, done, total in told if stage == "classifying"]
    # windows begin at 0, 24, 48, 72, 96 and 112: two bands touch the first block, three each of the others
    assert counted[-1] == (6 * 8, 6 * 8)
    assert counted == sorted(counted)
    assert {done for done, _total in counted} >= {6 * 2, 6 * 8}
    assert not any(6 * 2 < done < 6 * 5 for done, _total in counted)  # those of the staged one
    assert_nothing_is_left(url)


def test_a_stage_that_is_not_whole_is_not_taken(url: str, at_once: list[Rows], models: ModelCache) -> None:
    """Its rows were swept when the run had failed; it was asked for again."""
    run_id = requested(url)
    for number in (0, 2):
        compute_block(url, run_id, number, models, most_attempts=MOST)
    with connect(url) as conn:
        conn.execute("delete from lode.run_stage where block = 2")
    perform_run(url, run_id, models)
    assert published(url) == at_once


def test_what_is_staged_is_published_as_it_is(url: str, models: ModelCache) -> None:
    """The publication computes nothing anew: another answer in the stage is seen in what is published."""
    run_id = requested(url)
    for number in range(3):
        compute_block(url, run_id, number, models, most_attempts=MOST)
    with connect(url) as conn:
        conn.execute(
            "update lode.run_stage set class_map = decode(repeat('06', length(class_map)), 'hex')"
            " where block = 1"
        )
    perform_run(url, run_id, models)
    largest = "select max(area_m2) from lode.landcover where land_class_code = 6"
    third = "select area_m2 / 3 from lode.observation"
    assert rows(url, largest)[0][0] >= 0.99 * rows(url, third)[0][0]


def test_a_block_that_was_given_to_another_is_not_staged_by_the_first(url: str, models: ModelCache) -> None:
    run_id = requested(url)

    met: list[BlockClaim] = []

    def overtaken(stage: str, done: int, _total: int) -> None:
        if stage == "staging" and done == 0 and not met:
            met.append(claimed(url, 0))

    with pytest.raises(SupersededError, match="attempt 1 of block 0 of run 1 may no longer stage"):
        compute_block(url, run_id, 0, models, most_attempts=MOST, beat=overtaken)
    assert rows(url, "select status, attempt, worker from lode.run_block where block = 0") == [
        ("running", 2, "another")
    ]
    assert_nothing_is_left(url)


def test_a_block_of_a_run_that_was_cancelled_is_not_staged(url: str, models: ModelCache) -> None:
    run_id = requested(url)

    def cancelled(stage: str, done: int, _total: int) -> None:
        if stage == "staging" and done == 0:
            with connect(url) as conn:
                runs.cancel_run(conn, run_id, "wrong scene")

    with pytest.raises(SupersededError, match="the run is cancelled"):
        compute_block(url, run_id, 0, models, most_attempts=MOST, beat=cancelled)
    assert rows(url, "select status from lode.run") == [("cancelled",)]
    with pytest.raises(SupersededError, match="run is cancelled"):
        compute_block(url, run_id, 1, models, most_attempts=MOST)
    with pytest.raises(SupersededError, match="run 1 is cancelled"):
        perform_run(url, run_id, models)
    assert_nothing_is_left(url)


def test_a_run_that_was_given_to_another_is_not_published_by_the_first(
    url: str, at_once: list[Rows], models: ModelCache
) -> None:
    run_id = requested(url)

    def overtaken(stage: str, _done: int, _total: int) -> None:
        if stage == "outlining" and not published(url)[0]:
            perform_run(url, run_id, models)

    with pytest.raises(SupersededError, match="attempt 1 of run 1 may no longer publish"):
        perform_run(url, run_id, models, beat=overtaken)
    assert published(url) == at_once
    assert rows(url, "select attempt, status from lode.run") == [(2, "published")]


def test_the_tasks_of_a_worker(url: str, at_once: list[Rows], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LODE_DEVICE", "cpu")
    tasks.tasks_here.cache_clear()
    run_id = requested(url)
    for number in range(3):
        said = tasks.interpret_block(url, {"run_id": run_id, "block": number}, no_beat)
        assert (said["block"], said["rows"]) == (number, BLOCK_ROWS)
    with pytest.raises(SupersededError, match="block 1 of run 1 is not needed"):
        tasks.interpret_block(url, {"run_id": run_id, "block": 1}, no_beat)
    said = tasks.interpret_run(url, {"run_id": run_id, "reaped": 1}, no_beat)
    assert (said["product"], said["model"]) == ("a", "x")
    assert said["polygons"] == len(published(url)[0])
    assert published(url) == at_once
    with pytest.raises(SupersededError, match="run 1 is published"):
        tasks.interpret_run(url, {"run_id": run_id}, no_beat)
    tasks.tasks_here.cache_clear()


@pytest.mark.parametrize("args", [{}, {"run_id": "1"}, {"run_id": None}, {"run_id": True}])
def test_jobs_without_a_key_are_refused(args: dict[str, Any], models: ModelCache) -> None:
    with pytest.raises(UsageError, match="the job's argument run_id is"):
        tasks.InferenceTasks(models).interpret_run("", args, no_beat)


def test_what_a_worker_computes_is_refused_to_who_types_it(url: str) -> None:
    with connect(url) as conn:
        run_id = runs.request_scene(conn, "a", "x")
        conn.execute(
            "insert into lode_queue.procrastinate_workers (last_heartbeat) values (clock_timestamp())"
        )
        conn.execute(
            "update lode_queue.procrastinate_jobs set status = 'doing',"
            " worker_id = (select id from lode_queue.procrastinate_workers)"
        )
        conn.execute(
            "insert into lode.worker (worker_id, host, process_id, device, queues, versions)"
            " select id, 'pit', 7, 'CPU', '{inference}', '{}' from lode_queue.procrastinate_workers"
        )
    with pytest.raises(
        UsageError, match=rf"run {run_id} is being computed by a worker \(pit, process 7, CPU\)"
    ):
        interpret(url, "a", "x", device_name="cpu")
    assert rows(url, "select attempt, status from lode.run") == [(0, "requested")]


def test_networks_are_kept_and_known_by_their_weights(url: str) -> None:
    with connect(url) as conn:
        conn.execute(
            "insert into lode.model select (jsonb_populate_record(m,"
            " jsonb_build_object('model_id', n, 'name', n))).* from lode.model m, generate_series(2, 3) n"
        )
        conn.execute(
            "insert into lode.model_weights select n, sha256, weights"
            " from lode.model_weights, generate_series(2, 3) n"
        )
        kept = ModelCache(torch.device("cpu"), kept=2)
        first, second = kept.get(conn, 1), kept.get(conn, 2)
        assert (first.name, second.name) == ("x", "2")
        assert kept.get(conn, 1) is first
        kept.get(conn, 3)  # 2 was used least lately
        assert kept.get(conn, 1) is first
        assert kept.get(conn, 2) is not second

        conn.execute("update lode.model_weights set sha256 = 'other' where model_id = 2")
        with pytest.raises(UsageError, match="weights of model 2 are damaged"):
            kept.get(conn, 2)
        conn.execute("update lode.model set retired_at = now(), retired_reason = 'old' where model_id = 1")
        with pytest.raises(UsageError, match="model x was retired"):
            kept.get(conn, 1)
        with pytest.raises(UsageError, match="there is no model 9"):
            kept.get(conn, 9)
