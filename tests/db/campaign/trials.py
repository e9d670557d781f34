"""A campaign whose actors work in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from threading import Event

from db import campaigns
from db.campaigns import Target
from db.connection import connect
from service.campaign import Campaign, Progress
from service.campaign_actor import Ended, Interpreter, Secret, Task
from service.campaign_runs import Report, RunBook

Before = Callable[[Task], Ended | None]


class HandCrew:
    """Actors in this process: of the tasks at hand one is done at each waiting.

    Args:
        url: of the database.
        mark: of the campaign.
        places: actors.
        before: is asked before each task, and may say how it ended instead.

    """

    def __init__(self, url: str, mark: int, places: int = 2, before: Before = lambda _task: None) -> None:
        self.actor = Interpreter("cpu")
        said = self.actor.hello(Secret(url), mark, version())
        assert said.refusal == ""
        self._places = places
        self._before = before
        self._at_hand: list[tuple[int, Task]] = []
        self.done: list[Task] = []
        self.is_closed = False

    def idle(self) -> int:
        return self._places - len(self._at_hand)

    def ailments(self) -> Sequence[str]:
        return []

    def start(self, task: Task) -> None:
        self._at_hand.append((len(self.done) + len(self._at_hand), task))

    def wait(self, _seconds: float) -> list[Ended]:
        if not self._at_hand:
            return []
        number, task = self._at_hand.pop(0)
        self.done.append(task)
        return [self._before(task) or self.actor.perform(number, task)]

    def stop(self, task: Task, *, is_cancelled: bool) -> None:
        for number, each in self._at_hand:
            if each == task:
                self.actor.stop(number, is_cancelled)

    def shares(self) -> Mapping[Task, float]:
        return {task: 0.5 for _number, task in self._at_hand}

    def close(self) -> None:
        self.is_closed = True


def version() -> str:
    return metadata.version("lode")


def all_targets(url: str) -> list[Target]:
    with connect(url) as conn:
        return campaigns.targets(conn, 1)


class Trial:
    """A campaign of all scenes, and what it said."""

    def __init__(
        self, url: str, *, before: Before = lambda _task: None, becomes_current: bool = False, places: int = 2
    ) -> None:
        self.stop = Event()
        self.told: list[Report] = []
        self.shown: list[Progress] = []
        self.book = RunBook(url, 1, becomes_current=becomes_current)
        self.book.open()
        self.campaign = Campaign(
            self.book, all_targets(url), report=self.told.append, show=self.shown.append, stop=self.stop
        )
        self.crew = HandCrew(url, self.book.mark, places, before)

    def run(self) -> dict[str, str]:
        """What became of each scene."""
        assert self.campaign.has_work()
        self.campaign.run(self.crew)
        assert self.crew.is_closed
        assert self.told == self.campaign.reports
        return {report.product: report.outcome for report in self.told}
