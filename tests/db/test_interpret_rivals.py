"""Two runs of one scene that are published at once; by hand, a run that is in the queue."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from db import runs
from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from inference.interpret import interpret, perform_run
from inference.model_cache import ModelCache
from inference.tasks import MOST_ATTEMPTS
from tests.db.interpreted_blocks import assert_nothing_is_left, copy_in_blocks
from tests.db.trials import SIDE_PX
from tests.support import await_waiting, rows

RUNS = "select run_id, status, is_current from lode.run order by run_id"


@pytest.fixture
def url(cluster: Cluster, network_database: str) -> Iterator[str]:
    """Of a copy where the scene is one block."""
    with copy_in_blocks(cluster, network_database, SIDE_PX) as url:
        yield url


def two_runs(url: str, *, second_is_wanted: bool = False) -> tuple[int, int]:
    """Ask for two interpretations of one scene."""
    with connect(url) as conn:
        first = runs.request_interpretation(conn, 1, 1, overlap_px=8)
        second = runs.request_interpretation(conn, 1, 1, overlap_px=16, becomes_current=second_is_wanted)
    return first.run_id, second.run_id


@pytest.mark.parametrize("second_is_wanted", [False, True])
def test_of_two_that_are_published_at_once_the_first_stands_for_the_scene(
    url: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch, second_is_wanted: bool
) -> None:
    """The second asks whether another stands for the scene while the first has not committed."""
    first, second = two_runs(url, second_is_wanted=second_is_wanted)
    is_derived, may_commit = Event(), Event()

    def reached(point: str) -> None:
        if point == "publish.before_commit" and not is_derived.is_set():
            is_derived.set()
            assert may_commit.wait(60)

    monkeypatch.setattr("inference.interpret.reached", reached)
    with connect(url) as watcher, ThreadPoolExecutor(2) as pool:
        publishing = pool.submit(perform_run, url, first, models, most_attempts=MOST_ATTEMPTS)
        try:
            assert is_derived.wait(60)
            rival = pool.submit(perform_run, url, second, models, most_attempts=MOST_ATTEMPTS)
            await_waiting(watcher)
        finally:
            may_commit.set()
        publishing.result(timeout=60)
        assert rival.result(timeout=60).is_current is second_is_wanted
    current = (not second_is_wanted, second_is_wanted)
    assert rows(url, RUNS) == [(first, "published", current[0]), (second, "published", current[1])]
    assert_nothing_is_left(url)


def test_who_comes_second_does_not_wait_to_derive_areas(url: str, models: ModelCache) -> None:
    """Another run stands for the scene: nothing is derived."""
    first, second = two_runs(url)
    perform_run(url, first, models, most_attempts=MOST_ATTEMPTS)
    with connect(url) as deriving:
        deriving.execute("select lode_api.lock_accounts()")
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(perform_run, url, second, models, most_attempts=MOST_ATTEMPTS)
            try:
                assert not publishing.result(timeout=60).is_current
            finally:
                deriving.rollback()


def test_who_wants_a_run_that_is_just_published_gets_it(
    url: str, models: ModelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request finds the run unpublished, and waits for its row until it is."""
    first, second = two_runs(url)
    perform_run(url, first, models, most_attempts=MOST_ATTEMPTS)
    is_derived, may_commit = Event(), Event()

    def reached(point: str) -> None:
        if point == "publish.before_commit":
            is_derived.set()
            assert may_commit.wait(60)

    monkeypatch.setattr("inference.interpret.reached", reached)

    def want() -> int:
        with connect(url) as conn:
            query = "select lode_api.ask_run(1, 1, 16, becomes_current => true)"
            return int(conn.execute(query).fetchone()[0])  # type: ignore[index]

    with connect(url) as watcher, ThreadPoolExecutor(2) as pool:
        publishing = pool.submit(perform_run, url, second, models, most_attempts=MOST_ATTEMPTS)
        try:
            assert is_derived.wait(60)
            asking = pool.submit(want)
            await_waiting(watcher)
        finally:
            may_commit.set()
        assert not publishing.result(timeout=60).is_current
        assert asking.result(timeout=60) == second
    assert rows(url, RUNS) == [(first, "published", False), (second, "published", True)]


def queued(url: str) -> int:
    with connect(url) as conn:
        return runs.request_inference(conn, 1, 1)


def interrupted(url: str, error: BaseException) -> None:
    """Type `lode infer`, which this error ends in the middle."""

    def beat(stage: str, _done: int, _total: int) -> None:
        if stage == "outlining":
            raise error

    with pytest.raises(type(error)):
        interpret(url, "a", "x", device_name="cpu", progress=beat)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError("boom")]
)
def test_what_ends_it_by_hand_leaves_the_run_to_the_queue(
    url: str, models: ModelCache, error: BaseException
) -> None:
    run_id = queued(url)
    interrupted(url, error)
    assert rows(url, "select status, attempt, error from lode.run") == [("requested", 0, None)]
    assert rows(url, "select status from lode_queue.procrastinate_jobs") == [("todo",)]
    perform_run(url, run_id, models, most_attempts=MOST_ATTEMPTS)  # as a worker does that has the job
    assert rows(url, RUNS) == [(run_id, "published", True)]


def test_bad_input_fails_by_hand_what_is_in_the_queue(url: str) -> None:
    queued(url)
    interrupted(url, UsageError("the scene is bad"))
    assert rows(url, "select status, error from lode.run") == [("failed", "the scene is bad")]


def test_what_nobody_queued_has_failed_by_hand(url: str) -> None:
    interrupted(url, KeyboardInterrupt())
    assert rows(url, "select status, error from lode.run") == [("failed", "KeyboardInterrupt")]
