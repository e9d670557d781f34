"""What falls out while a scene is interpreted, and what becomes of the attempt."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from db import runs
from db.blocks import staging_name
from db.connection import connect
from db.embedded import Cluster
from db.errors import InterruptionError, RetryError, SupersededError, UsageError
from inference import attempts
from inference.beat import Beat
from inference.blocks import compute_block
from inference.interpret import interpret, perform_run
from inference.model_cache import ModelCache
from tests.db.interpreted_blocks import (
    Rows,
    assert_nothing_is_left,
    copy_in_blocks,
    published,
    published_at_once,
    requested,
)
from tests.db.trials import SIDE_PX
from tests.support import rows

MOST = 3


@pytest.fixture
def url(cluster: Cluster, network_database: str) -> Iterator[str]:
    """Of a copy where the scene is one block."""
    with copy_in_blocks(cluster, network_database, SIDE_PX) as url:
        yield url


@pytest.fixture(scope="module")
def at_once(cluster: Cluster, network_database: str) -> list[Rows]:
    return published_at_once(cluster, network_database, SIDE_PX)


def state(url: str) -> tuple[str, int, str | None]:
    """Status, attempts and error of the run."""
    [found] = rows(url, "select status, attempt, error from lode.run")
    return found[0], found[1], found[2]


def block_state(url: str) -> tuple[str, int]:
    [found] = rows(url, "select status, attempt from lode.run_block")
    return found[0], found[1]


def once_at(stage: str, act: Callable[[], None]) -> Beat:
    """A beat that acts when it comes to a stage the first time."""
    met: list[str] = []

    def beat(now: str, _done: int, _total: int) -> None:
        if now == stage and not met:
            met.append(now)
            act()

    return beat


def terminator(url: str, name: str) -> Callable[[], None]:
    """Ends the session of that name (a pattern of ``like``), as a restart of the server would."""

    def terminate() -> None:
        query = (
            "select pg_terminate_backend(pid, 30000) from pg_stat_activity"
            " where application_name like %s and datname = current_database()"
        )
        with connect(url) as conn:
            ended = conn.execute(query, (name,)).fetchall()
        assert ended == [(True,)]

    return terminate


def raiser(error: type[BaseException], *said: object, **more: object) -> Callable[[], None]:
    """Raises a fresh error each time: one that is kept keeps all it went through in memory."""

    def throw() -> None:
        raise error(*said, **more)

    return throw


@pytest.mark.parametrize("stage", ["storing polygons", "storing probabilities", "deriving areas"])
def test_a_connection_that_is_lost_is_made_anew(
    url: str, at_once: list[Rows], models: ModelCache, stage: str
) -> None:
    run_id = requested(url)
    told: list[str] = []
    lose = once_at(stage, terminator(url, "lode infer (publishing %"))

    def beat(now: str, done: int, total: int) -> None:
        told.append(now)
        lose(now, done, total)

    perform_run(url, run_id, models, most_attempts=MOST, beat=beat)
    assert "waiting for the database" in told
    assert published(url) == at_once
    assert state(url) == ("published", 1, None)
    assert_nothing_is_left(url)


def test_a_connection_that_is_lost_while_pixels_are_read(
    url: str, at_once: list[Rows], models: ModelCache
) -> None:
    run_id = requested(url)
    told: list[str] = []
    with connect(url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("lock table lode_raster.scene_1 in access exclusive mode")
        publishing = pool.submit(
            perform_run, url, run_id, models, most_attempts=MOST, beat=lambda now, *_: told.append(now)
        )
        waiting = (
            "select 1 from pg_stat_activity where application_name = 'lode infer (reader)'"
            " and wait_event_type = 'Lock' and datname = current_database()"
        )
        while not rows(url, waiting):
            assert not publishing.done()
            time.sleep(0.02)
        terminator(url, "lode infer (reader)")()
        holder.rollback()
        publishing.result(timeout=200)
    assert "waiting for the database" in told
    assert published(url) == at_once
    assert state(url) == ("published", 1, None)
    assert_nothing_is_left(url)


def test_a_connection_that_is_lost_while_a_block_is_staged(url: str, models: ModelCache) -> None:
    run_id = requested(url)
    lose = once_at("staging", terminator(url, staging_name(run_id, 0)))
    assert compute_block(url, run_id, 0, models, most_attempts=MOST, beat=lose).is_last
    assert block_state(url) == ("staged", 1)
    assert rows(url, "select row_px, length(class_map) from lode.run_stage") == [(0, SIDE_PX**2)]


def test_an_answer_to_the_commit_that_is_lost_publishes_once(
    url: str, at_once: list[Rows], models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server committed; the client heard of a lost connection only, and tries again."""
    lost: list[str] = []

    def reached(point: str) -> None:
        if point == "publish.after_commit" and not lost:
            lost.append(point)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("inference.interpret.reached", reached)
    outcome = perform_run(url, requested(url), models, most_attempts=MOST)
    assert lost
    assert outcome.figures["polygons"] == len(at_once[0])
    assert published(url) == at_once
    assert state(url) == ("published", 1, None)


def test_an_answer_to_the_commit_of_a_block_that_is_lost(
    url: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def reached(point: str) -> None:
        if point == "stage.after_commit" and not lost:
            lost.append(point)
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("inference.blocks.reached", reached)
    compute_block(url, requested(url), 0, models, most_attempts=MOST)
    assert lost
    assert block_state(url) == ("staged", 1)
    assert rows(url, "select count(*) from lode.run_stage") == [(1,)]


def test_where_a_process_may_be_killed_and_what_is_visible_there(
    url: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The named points, with polygons seen by others and rows staged at each of them."""
    met: list[tuple[str, int, int]] = []
    seen = "select (select count(*) from lode.landcover), (select count(*) from lode.run_stage)"

    def reached(point: str) -> None:
        [(polygons, staged)] = rows(url, seen)
        met.append((point, polygons, staged))

    for module in ("blocks", "interpret", "publish"):
        monkeypatch.setattr(f"inference.{module}.reached", reached)
    run_id = requested(url)
    compute_block(url, run_id, 0, models, most_attempts=MOST)
    outcome = perform_run(url, run_id, models, most_attempts=MOST)
    assert sorted(set(met), key=met.index) == [
        ("infer.windows", 0, 0),
        ("stage.before_commit", 0, 0),
        ("stage.after_commit", 0, 1),
        ("publish.writing", 0, 1),
        ("publish.before_commit", 0, 1),
        ("publish.after_commit", outcome.figures["polygons"], 0),
    ]


def mapped_files() -> list[str]:
    """Files without a name that this process has mapped."""
    gc.collect()
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if "/#" in line]


@pytest.mark.parametrize(
    "stage", ["loading", "classifying", "outlining", "storing probabilities", "deriving areas"]
)
def test_released_in_the_middle_costs_no_attempt_and_leaves_nothing(
    url: str, at_once: list[Rows], models: ModelCache, stage: str
) -> None:
    run_id = requested(url)
    stop = once_at(stage, raiser(InterruptionError, is_cancelled=False))
    before = mapped_files()
    with pytest.raises(InterruptionError, match="released"):
        perform_run(url, run_id, models, most_attempts=MOST, beat=stop)
    assert state(url) == ("requested", 0, None)
    assert published(url)[:3] == [[], [], []]
    assert_nothing_is_left(url)
    assert mapped_files() == before
    assert not any(thread.name == "lode-prefetch" for thread in threading.enumerate())
    perform_run(url, run_id, models, most_attempts=MOST)
    assert published(url) == at_once


@pytest.mark.parametrize("stage", ["classifying", "staging"])
def test_a_block_that_is_released_costs_no_attempt(url: str, models: ModelCache, stage: str) -> None:
    run_id = requested(url)
    stop = once_at(stage, raiser(InterruptionError, is_cancelled=False))
    with pytest.raises(InterruptionError, match="released"):
        compute_block(url, run_id, 0, models, most_attempts=MOST, beat=stop)
    assert block_state(url) == ("waiting", 0)
    assert_nothing_is_left(url)


def test_cancelled_between_windows(url: str, models: ModelCache) -> None:
    run_id = requested(url)

    def cancel() -> None:
        with connect(url) as conn:
            runs.cancel_run(conn, run_id, "wrong scene")
        raise InterruptionError(is_cancelled=True)

    with pytest.raises(InterruptionError, match="cancelled"):
        perform_run(url, run_id, models, most_attempts=MOST, beat=once_at("classifying", cancel))
    status, attempt, error = state(url)
    assert (status, attempt) == ("cancelled", 1)
    assert error is not None
    assert "wrong scene" in error
    assert_nothing_is_left(url)


def test_bad_input_fails_at_once(url: str, models: ModelCache) -> None:
    run_id = requested(url)
    with connect(url) as conn:
        conn.execute("update lode.scene set band_names = '{pan,green,red,nir}'")
    with pytest.raises(UsageError, match="lacks the bands blue"):
        perform_run(url, run_id, models, most_attempts=MOST)
    status, attempt, error = state(url)
    assert (status, attempt) == ("failed", 1)
    assert error is not None
    assert error.startswith("scene a lacks the bands blue")
    with pytest.raises(SupersededError, match="run 1 is failed"):
        perform_run(url, run_id, models, most_attempts=MOST)


def test_bad_input_of_a_block_fails_its_run_at_once(url: str, models: ModelCache) -> None:
    run_id = requested(url)
    with connect(url) as conn:
        conn.execute("update lode.scene set band_names = '{pan,green,red,nir}'")
    with pytest.raises(UsageError, match="lacks the bands blue"):
        compute_block(url, run_id, 0, models, most_attempts=MOST)
    status, _attempt, error = state(url)
    assert status == "failed"
    assert error is not None
    assert error.startswith("block 0: scene a lacks the bands blue")


def test_three_attempts_then_failed(url: str, models: ModelCache) -> None:
    run_id = requested(url)
    for number, error in enumerate([ValueError, RetryError, ValueError], start=1):
        broken = once_at("outlining", raiser(error, "boom"))
        with pytest.raises(error, match="boom"):
            perform_run(url, run_id, models, most_attempts=MOST, beat=broken)
        status = "requested" if number < MOST else "failed"
        assert state(url) == (status, number, "boom" if error is RetryError else "ValueError: boom")
    with pytest.raises(SupersededError, match="run 1 is failed"):
        perform_run(url, run_id, models, most_attempts=MOST)
    assert published(url)[:3] == [[], [], []]


def test_three_attempts_of_a_block_then_its_run_failed(url: str, models: ModelCache) -> None:
    run_id = requested(url)
    for number in range(1, MOST + 1):
        broken = once_at("classifying", raiser(ValueError, "boom"))
        with pytest.raises(ValueError, match="boom"):
            compute_block(url, run_id, 0, models, most_attempts=MOST, beat=broken)
        assert block_state(url) == ("waiting", number)
        status, _attempt, error = state(url)
        assert (status, error) == ("running" if number < MOST else "failed", "block 0: ValueError: boom")


def test_who_types_it_tries_as_often_as_they_like(url: str, at_once: list[Rows], models: ModelCache) -> None:
    for _ in range(MOST + 1):
        broken = once_at("outlining", raiser(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            interpret(url, "a", "x", device_name="cpu", progress=broken)
        assert state(url)[::2] == ("failed", "KeyboardInterrupt")
    interpret(url, "a", "x", device_name="cpu")
    assert published(url) == at_once


def test_a_lock_that_was_lost_with_its_connection_is_taken_again(
    url: str, at_once: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session that keeps others from typing the same was ended, as by a restart of the server."""
    monkeypatch.setattr("inference.interpret.HOLD_INTERVAL_S", 0)
    held = "select count(*) from pg_locks where locktype = 'advisory' and classid = %s and granted"
    seen: dict[str, int] = {}
    end = once_at("outlining", terminator(url, "lode infer"))

    def beat(stage: str, done: int, total: int) -> None:
        end(stage, done, total)
        with connect(url) as conn:
            row = conn.execute(held, (runs.RUN_LOCK,)).fetchone()
        assert row is not None
        seen.setdefault(stage, row[0])

    outcome = interpret(url, "a", "x", device_name="cpu", progress=beat)
    assert outcome.is_current
    assert published(url) == at_once
    assert (seen["loading"], seen["outlining"], seen["deriving areas"]) == (1, 0, 1)
    assert_nothing_is_left(url)


def test_a_lock_that_cannot_be_taken_again_spoils_nothing(
    url: str, at_once: list[Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one has it meanwhile; the run's own token still holds."""
    monkeypatch.setattr("inference.interpret.HOLD_INTERVAL_S", 0)
    with connect(url) as other:

        def take() -> None:
            terminator(url, "lode infer")()
            assert runs.hold(other, 1)

        outcome = interpret(url, "a", "x", device_name="cpu", progress=once_at("outlining", take))
    assert outcome.is_current
    assert published(url) == at_once
    assert_nothing_is_left(url)


def test_an_outcome_that_cannot_be_recorded_hides_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "RECORDING_ATTEMPTS", 1)
    nowhere = "postgresql://nobody@/none?host=/nowhere"

    def fail(*_arguments: object, **_options: object) -> None:
        pytest.fail("there is no database")

    with (
        pytest.raises(ValueError, match="boom") as caught,
        attempts.attempt(nowhere, fail, fail, is_last=True),
    ):
        raise ValueError("boom")
    [note] = caught.value.__notes__
    assert note.startswith("this could not be recorded: gave up after 1 attempts: no database server answers")
