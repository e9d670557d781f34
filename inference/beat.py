"""Beats: a computation tells how far it is, and hears that it is to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from db.connection import retrying

Beat = Callable[[str, int, int], None]
"""Takes the stage, units done and in all (0: unknown); may raise `InterruptionError`."""

Result = TypeVar("Result")

INTERVAL_S = 1.0
PAUSE_PART_S = 0.5
PATIENCE = 16
"""Calls of a transaction at most: with pauses of up to half a minute they outlast five minutes of outage."""


def no_beat(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody."""


class Throttled:
    """Passes a beat on when the stage changes or ends, and else about once a second.

    Args:
        beat: where to.
        interval_s: seconds between beats of one stage at least.
        clock: seconds, rising.

    """

    def __init__(
        self, beat: Beat, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._beat = beat
        self._interval_s = interval_s
        self._clock = clock
        self._stage: str | None = None
        self._next_at = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """A beat, which may be left out."""
        now = self._clock()
        if stage != self._stage or now >= self._next_at or done == total:
            self._stage, self._next_at = stage, now + self._interval_s
            self._beat(stage, done, total)


def patiently(function: Callable[[], Result], beat: Beat = no_beat, attempts: int = PATIENCE) -> Result:
    """Call one whole transaction again while the database is away; beats go on meanwhile.

    Args:
        function: opens its own connection.
        beat: hears of the pauses, and may end them.
        attempts: calls at most.

    Raises:
        RetryError: the database stayed away.
        InterruptionError: the beat ended a pause.

    """
    tried = 0

    def pause(seconds: float) -> None:
        nonlocal tried
        tried += 1
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            beat("waiting for the database", tried, attempts)
            time.sleep(min(left, PAUSE_PART_S))

    return retrying(function, attempts=attempts, sleep=pause)
