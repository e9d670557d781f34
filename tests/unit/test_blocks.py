"""What blocks stand on: maps on disk, beats, pauses while the database is away."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg
import pytest

from db.errors import InterruptionError, RetryError
from inference.beat import Throttled, patiently
from inference.maps import Maps, mapped_file


def test_maps_take_rows_by_their_place_in_the_scene() -> None:
    maps = Maps(100, 50, 7, 3)
    rng = np.random.default_rng(1)
    class_map = rng.integers(0, 256, (50, 7), np.uint8)
    probability = rng.integers(0, 256, (3, 50, 7), np.uint8)
    for first, end in [(120, 150), (100, 119), (119, 120)]:
        rows = slice(first - 100, end - 100)
        maps.put(first, class_map[rows], probability[:, rows])
    np.testing.assert_array_equal(maps.class_map, class_map)
    np.testing.assert_array_equal(maps.probability, probability)
    found = maps.get(110, 125)
    np.testing.assert_array_equal(found[0], class_map[10:25])
    np.testing.assert_array_equal(found[1], probability[:, 10:25])


def test_maps_have_no_name_on_disk_and_their_room_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nothing is left of a process that was killed, and none is killed for a full disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mapped = mapped_file((3, 1000, 1000))
    assert list(tmp_path.iterdir()) == []
    assert not mapped.any()
    [line] = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert line.endswith("(deleted)")
    mapped[2, 999, 999] = 7
    assert mapped[2, 999, 999] == 7


def test_maps_without_room_are_refused_without_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RetryError, match=r"has no room for 1125899\.9 GB of maps.*TMPDIR"):
        mapped_file((1 << 25, 1 << 25))


def test_beats_are_passed_on_once_a_second_and_at_every_stage() -> None:
    told: list[tuple[str, int, int]] = []
    now = 100.0
    beat = Throttled(lambda *said: told.append(said), interval_s=1.0, clock=lambda: now)
    for done in range(1, 31):
        beat("classifying", done, 30)
        now += 0.125  # exact
    beat("outlining", 0, 0)
    beat("outlining", 1, 0)
    assert told == [
        ("classifying", 1, 30),
        ("classifying", 9, 30),
        ("classifying", 17, 30),
        ("classifying", 25, 30),
        ("classifying", 30, 30),
        ("outlining", 0, 0),
    ]


def test_an_end_goes_through_a_throttled_beat_within_a_second() -> None:
    def end(_stage: str, _done: int, _total: int) -> None:
        raise InterruptionError(is_cancelled=True)

    with pytest.raises(InterruptionError):
        Throttled(end)("classifying", 1, 30)


def away() -> None:
    raise psycopg.OperationalError("the connection is lost")


def test_while_the_database_is_away_beats_go_on() -> None:
    told: list[tuple[str, int, int]] = []
    tried: list[float] = []

    def back_at_the_third() -> str:
        tried.append(time.monotonic())
        if len(tried) < 3:
            away()
        return "here"

    assert patiently(back_at_the_third, lambda *said: told.append(said), attempts=5) == "here"
    assert set(told) == {("waiting for the database", 1, 5), ("waiting for the database", 2, 5)}


def test_a_pause_can_be_ended() -> None:
    def end(_stage: str, _done: int, _total: int) -> None:
        raise InterruptionError(is_cancelled=False)

    with pytest.raises(InterruptionError):
        patiently(away, end)


def test_a_database_that_stays_away_is_given_up() -> None:
    with pytest.raises(RetryError, match="gave up after 2 attempts: the connection is lost"):
        patiently(away, attempts=2)


def test_other_errors_are_not_tried_again() -> None:
    tried: list[int] = []

    def broken() -> None:
        tried.append(1)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        patiently(broken)
    assert tried == [1]
