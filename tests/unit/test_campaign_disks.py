"""Actors whose machine's disk has no room: others do their work, and nothing is given up for it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service import protocol
from service.campaign import MOST_STUCK, Campaign, Progress
from service.campaign_actor import Ended, Hello, Task
from service.campaign_runs import Begun, Report, RunBook

pytest.importorskip("ray")
from service import campaign_ray
from service.campaign_cluster import CrewOptions

ACTORS = 4
WORK_S, UNWELL_S = 100.0, 0.5
"""What a task takes, and how soon an actor says that there is no room."""

HasRoom = Callable[[int, Task, float], bool]
"""Whether an actor has room for a task, so many seconds after the campaign began."""


class Clock:
    """A time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Later:
    """What a call to an actor returns, at some moment."""

    def __init__(self, due: float, value: Any) -> None:
        self.due, self.value = due, value


class Call:
    """A method of an actor: says how long it takes and what it returns."""

    def __init__(self, clock: Clock, answer: Callable[..., tuple[float, Any]]) -> None:
        self._clock, self._answer = clock, answer

    def remote(self, *arguments: Any) -> Later:
        seconds, value = self._answer(*arguments)
        return Later(self._clock.now + seconds, value)

    def options(self, **_options: Any) -> Call:
        return self


class PretendedRay:
    """As much of Ray as a crew needs: actors that publish, or say that there is no room for a task."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(
        self, clock: Clock, has_room: HasRoom, publish: Callable[[Task], None], *, is_spoilt: bool
    ) -> None:
        self._clock, self._has_room, self._publish = clock, has_room, publish
        self._is_spoilt = is_spoilt
        self._made = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(ACTORS)}

    def remote(self, **_options: Any) -> Callable[[type], Any]:
        return lambda _actor: SimpleNamespace(remote=self._make)

    def _make(self, _device: str) -> Any:
        number = self._made
        self._made += 1

        def perform(_number: int, task: Task) -> tuple[float, Ended]:
            if not self._has_room(number, task, self._clock.now):
                said = "the disk has no room"
                return UNWELL_S, Ended(task, protocol.UNWELL, said, is_spoilt=self._is_spoilt)
            return WORK_S, Ended(task, protocol.DONE, figures={"polygons": 1})

        return SimpleNamespace(
            hello=Call(self._clock, lambda *_said: (0.0, Hello(f"host{number}", number, "CPU"))),
            perform=Call(self._clock, perform),
            standing=Call(self._clock, lambda: (0.0, None)),
            stop=Call(self._clock, lambda *_said: (0.0, None)),
        )

    def wait(
        self, calls: list[Later], num_returns: int = 1, timeout: float = 0.0
    ) -> tuple[list[Later], list[Later]]:
        if not any(call.due <= self._clock.now for call in calls):
            self._clock.sleep(timeout)
        ready = [call for call in calls if call.due <= self._clock.now][:num_returns]
        return ready, [call for call in calls if call not in ready]

    def get(self, call: Later) -> Any:
        if isinstance(call.value, Ended) and call.value.end == protocol.DONE:
            self._publish(call.value.task)
        return call.value

    def kill(self, _actor: Any, *, no_restart: bool) -> None:
        assert no_restart


class PretendedBook:
    """Runs that only this campaign knows; the first may have several blocks."""

    def __init__(self, blocks_of_first: int) -> None:
        self.published: set[int] = set()
        self._blocks_of_first = blocks_of_first

    def begin(self, target: Any) -> Begun:
        return Begun(target, self.state(target.scene_id))

    def state(self, run_id: int) -> Any:
        blocks = range(self._blocks_of_first if run_id == 1 else 1)
        return SimpleNamespace(
            run_id=run_id,
            status="published" if run_id in self.published else "requested",
            blocks=[SimpleNamespace(block=block, status="waiting") for block in blocks],
            busy_blocks=frozenset(),
            is_busy=False,
            error=None,
        )

    def end(self, run_id: int) -> None:
        pass

    give_up = end

    def leave(self, run_ids: list[int]) -> None:
        self.left = run_ids


class Night:
    """A campaign of many scenes with actors that have room or have not, in a time that passes quickly."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        has_room: HasRoom,
        scenes: int,
        *,
        blocks_of_first: int = 1,
        ends: Callable[[Night], bool] = lambda _night: False,
        is_spoilt: bool = False,
    ) -> None:
        self.clock = Clock()
        self.book = PretendedBook(blocks_of_first)
        self.shown: list[Progress] = []
        self.said: list[str] = []
        self.most_open = 0
        ray = PretendedRay(
            self.clock,
            has_room,
            lambda task: self.book.published.add(task.run_id),
            is_spoilt=is_spoilt,
        )
        monkeypatch.setattr(campaign_ray, "ray", ray)
        monkeypatch.setattr(campaign_ray, "time", self.clock)
        stop = Event()

        def show(progress: Progress) -> None:
            self.shown.append(progress)
            self.most_open = max(self.most_open, len(campaign._open))
            assert self.clock.now < 100_000, "it takes more than a day"
            if ends(self):
                stop.set()

        targets: list[Any] = [
            SimpleNamespace(scene_id=number, product=f"s{number}") for number in range(1, scenes + 1)
        ]
        campaign = Campaign(
            cast(RunBook, self.book),
            targets,
            report=lambda _report: None,
            show=show,
            stop=stop,
            clock=self.clock.monotonic,
        )
        crew = campaign_ray.RayCrew("postgresql://x", 1, CrewOptions(), self.said.append)
        campaign.run(crew)
        self.took_s = self.clock.now
        self.reports: list[Report] = campaign.reports


def test_one_actor_without_room_costs_no_scene_and_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(monkeypatch, lambda actor, _task, _now: actor > 0, 30)
    assert {report.outcome for report in night.reports} == {"published"}
    assert len(night.reports) == 30
    assert night.took_s < 30 / (ACTORS - 1) * WORK_S * 1.3
    resting = [shown for shown in night.shown if shown.resting]
    assert {(shown.resting, shown.ailment) for shown in resting} == {
        (1, "process 0 on host0: the disk has no room")
    }
    assert len(resting) > len(night.shown) / 2
    assert night.said == [
        "process 0 on host0: the disk has no room; it rests, and tries again from time to time"
    ]


def test_an_actor_whose_process_is_spoilt_rests_and_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a fault of its GPU: the same process would never do a task again."""
    night = Night(monkeypatch, lambda actor, _task, _now: actor > 0, 30, is_spoilt=True)
    assert len(night.book.published) == 30
    assert night.took_s < 30 / ACTORS * WORK_S * 1.15
    assert night.said == [
        "process 0 on host0: the disk has no room; it rests, and tries again from time to time",
        f"process {ACTORS} on host{ACTORS} is well again",
    ]
    first = next(number for number, shown in enumerate(night.shown) if shown.resting)
    assert night.shown[first].resting == 1


def test_spoilt_actors_keep_resting_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process on the same machine rests as its predecessor would have: not one a second."""
    well_at = 3600.0
    made: set[int] = set()

    def has_room(actor: int, _task: Task, now: float) -> bool:
        made.add(actor)
        return now > well_at

    night = Night(monkeypatch, has_room, 8, is_spoilt=True)
    assert len(night.book.published) == 8
    assert len(made) < ACTORS * (well_at / campaign_ray.LONGEST_REST_S + 10)


def test_a_scene_that_fits_nowhere_keeps_no_other_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    night = Night(
        monkeypatch,
        lambda _actor, task, _now: task.run_id != 1,
        40,
        blocks_of_first=20,
        ends=lambda night: len(night.book.published) == 39 and not night.shown[-1].running,
    )
    assert {report.outcome for report in night.reports} == {"published"}
    assert len(night.reports) == 39
    assert night.book.left == [1]
    assert night.took_s < 40 / ACTORS * WORK_S * 3


def test_actors_that_all_lack_room_wait_for_it_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    room_at = 3600.0
    night = Night(monkeypatch, lambda _actor, _task, now: now > room_at, 60)
    assert {report.outcome for report in night.reports} == {"published"}
    assert len(night.reports) == 60
    assert night.took_s < room_at + 60 / ACTORS * WORK_S * 1.3
    assert night.most_open <= MOST_STUCK + ACTORS
    assert night.said[ACTORS] == "every actor rests: see to their machines, or end with Ctrl-C"
    assert night.said[ACTORS + 1 :] == [f"process {n} on host{n} is well again" for n in range(ACTORS)]
    assert max(shown.resting for shown in night.shown) == ACTORS
