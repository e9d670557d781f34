"""How long an experiment goes on: from what its trainings took until now."""

from __future__ import annotations

import statistics
from collections.abc import Iterable


class TimeLeft:
    """Seconds that each row's training takes, learnt on the way; not known before the first epoch."""

    def __init__(self) -> None:
        self._took: dict[str, list[float]] = {}

    def learn(self, network: str, seconds: float) -> None:
        """Note what a whole training took."""
        self._took.setdefault(network, []).append(seconds)

    def estimate(
        self, networks: Iterable[str], running: tuple[str, float, float] | None = None
    ) -> float | None:
        """Seconds that trainings will take; None while nothing is known.

        A row that was not trained yet is taken for as slow as the others are on average.

        Args:
            networks: row of every training that is to come.
            running: row of the training at work, seconds since it began and the share of it that is done,
                above 0; None: none is at work.

        """
        took = {network: statistics.fmean(seconds) for network, seconds in self._took.items()}
        left = 0.0
        if running is not None:
            network, seconds, share = running
            whole = seconds / share
            took.setdefault(network, whole)
            left += max(whole - seconds, 0.0)
        if not took:
            return None
        usual = statistics.fmean(took.values())
        return left + sum(took.get(network, usual) for network in networks)


def in_words(seconds: float | None) -> str:
    """A time that is left, for a line of progress."""
    if seconds is None:
        return "time left unknown"
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    return f"about {seconds / 60:.0f} min left"
