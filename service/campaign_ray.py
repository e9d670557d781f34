"""The actors of a campaign on a Ray cluster: started, given tasks, listened to, replaced when they die.

An actor that died is replaced here and not by Ray (``max_restarts``): its successor may come up on another
machine, which has to pass the same questions before it gets work. Nor does Ray repeat a task: how often a
block is tried is counted in the database.

The database's address goes to an actor in the arguments of a call to it, from process to process. It is kept
out of Ray's runtime environment, of constructors' arguments and of the object store: what stands there is
written to Ray's logs, kept by its head node or shown on its dashboard.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from db.errors import UsageError
from service import protocol
from service.campaign_actor import Ended, Hello, Interpreter, Secret, Standing, Task
from service.campaign_cluster import CrewOptions, ray, what_fits
from service.engine_process import SILENCE_S, STANDSTILL_S

MOST_STARTS = 5
"""Times that an actor is started in a row without having ended a task, before its place is given up."""
ASK_EVERY_S = 1.0
NOTICE_S = 60.0
FIRST_REST_S, LONGEST_REST_S = 4.0, 60.0
"""Of an actor whose machine's disk has no room: others get the tasks meanwhile."""
_CONTROL = "control"


@dataclass
class _Member:
    """The place of an actor."""

    handle: Any = None
    hello: Hello | None = None
    work: Any = None
    """What is waited for: its hello, or the end of its task."""
    task: Task | None = None
    number: int = 0
    asked: Any = None
    asked_at: float = 0.0
    standing: Standing | None = None
    starts: int = 0
    not_before: float = 0.0
    given_up: str = ""
    unwell: int = 0
    """Times that its machine was in the way since it last did a task."""
    ailment: str = ""
    rests_until: float = 0.0

    @property
    def is_idle(self) -> bool:
        return self.hello is not None and self.task is None and time.monotonic() >= self.rests_until

    @property
    def name(self) -> str:
        return "an actor" if self.hello is None else f"process {self.hello.process_id} on {self.hello.host}"


class RayCrew:
    """Actors on the cluster that this process is connected to.

    Args:
        url: libpq URL of the database; ``LODE_DATABASE_URL`` of an actor's machine goes before it.
        mark: of that database.
        options: how many, and what each gets.
        report: hears of actors that died or could not start.

    Raises:
        UsageError: the cluster has no room for them.

    """

    def __init__(self, url: str, mark: int, options: CrewOptions, report: Callable[[str], None]) -> None:
        self._hello = (Secret(url), mark, version("lode"))
        self._report = report
        self._numbers = 0
        self._lost: deque[Ended] = deque()
        count, gpus = what_fits(options, ray.cluster_resources())
        self.device = "cuda" if gpus else "cpu"
        self._actor = ray.remote(
            num_gpus=gpus,
            num_cpus=options.cpus_per_actor,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={_CONTROL: 1},
        )(Interpreter)
        self._members = [_Member() for _ in range(count)]
        self._begun_at: float | None = time.monotonic()
        for member in self._members:
            self._start(member)

    def __len__(self) -> int:
        """Places for actors."""
        return len(self._members)

    def idle(self) -> int:
        """How many could start a task; those whose machine is in the way rest for a while."""
        return sum(member.is_idle for member in self._members)

    def ailments(self) -> Sequence[str]:
        """Why actors rest: a reason for each that does."""
        return [member.ailment for member in self._members if member.ailment and member.task is None]

    def start(self, task: Task) -> None:
        """Have an actor that is idle do a task, of those the one that was unwell least often."""
        member = min((each for each in self._members if each.is_idle), key=lambda each: each.unwell)
        self._numbers += 1
        member.task, member.number = task, self._numbers
        member.standing, member.asked, member.asked_at = None, None, time.monotonic()
        member.work = member.handle.perform.remote(member.number, task)

    def wait(self, seconds: float) -> list[Ended]:
        """Tasks that ended, at the latest after so many seconds; also those whose actor died.

        Raises:
            UsageError: no actor could be kept alive.

        """
        now = time.monotonic()
        for member in self._members:
            if member.handle is None and not member.given_up and now >= member.not_before:
                self._start(member)
        waited = {member.work: member for member in self._members if member.work is not None}
        if waited:
            ray.wait(list(waited), num_returns=1, timeout=seconds)
            ready, _ = ray.wait(list(waited), num_returns=len(waited), timeout=0)
        else:
            time.sleep(seconds)
            ready = []
        ended = [each for each in (self._read(waited[work]) for work in ready) if each is not None]
        for member in self._members:
            if member.task is not None:
                self._listen(member)
        while self._lost:
            ended.append(self._lost.popleft())
        self._require_somebody()
        return ended

    def stop(self, task: Task, *, is_cancelled: bool) -> None:
        """Have a task stop at its next window."""
        for member in self._members:
            if member.task == task:
                self._control(member).stop.remote(member.number, is_cancelled)

    def shares(self) -> Mapping[Task, float]:
        """How far each task is, 0 to 1, by the windows it has classified."""
        found = {}
        for member in self._members:
            standing = member.standing
            if member.task is not None and standing is not None and standing.number == member.number:
                is_counted = standing.stage == "classifying" and standing.total > 0
                found[member.task] = standing.done / standing.total if is_counted else 0.0
        return found

    def close(self) -> None:
        """End all actors at once, whatever they do."""
        for member in self._members:
            if member.handle is not None:
                ray.kill(member.handle, no_restart=True)
            member.handle = member.hello = member.work = member.task = None

    def _start(self, member: _Member) -> None:
        member.starts += 1
        member.handle = self._actor.remote(self.device)
        member.work = member.handle.hello.remote(*self._hello)

    def _read(self, member: _Member) -> Ended | None:
        """What a member said: its hello, or how its task ended."""
        try:
            said = ray.get(member.work)
        except ray.exceptions.RayError as error:
            return self._lose(member, _cause(error))
        member.work = None
        if isinstance(said, Hello):
            self._welcome(member, said)
            return None
        member.task, member.starts = None, 0
        if not isinstance(said, Ended):
            raise TypeError(f"an actor returned {type(said).__name__}")
        self._heed(member, said)
        return said

    def _heed(self, member: _Member, said: Ended) -> None:
        """Let a member rest whose machine is in the way, each time longer until it did a task.

        One whose process is spoilt gets another, when it has rested: a GPU's memory is free until then.
        """
        if said.end == protocol.DONE:
            if member.unwell:
                self._report(f"{member.name} is well again")
            member.unwell, member.ailment, member.rests_until = 0, "", 0.0
        elif said.end == protocol.UNWELL:
            rest_s = min(FIRST_REST_S * 2.0 ** min(member.unwell, 10), LONGEST_REST_S)
            member.unwell, member.rests_until = member.unwell + 1, time.monotonic() + rest_s
            member.ailment = f"{member.name}: {said.reason}"
            if member.unwell == 1:
                self._report(f"{member.ailment}; it rests, and tries again from time to time")
                if all(each.ailment for each in self._members if not each.given_up):
                    self._report("every actor rests: see to their machines, or end with Ctrl-C")
        if said.is_spoilt:
            rest = member.unwell, member.ailment, member.rests_until
            self._dismiss(member)
            member.unwell, member.ailment, member.rests_until = rest
            member.not_before = member.rests_until

    def _welcome(self, member: _Member, hello: Hello) -> None:
        member.hello = hello
        self._begun_at = None
        if not hello.refusal:
            return
        reason = f"{member.name}: {hello.refusal}"
        if hello.is_passing:
            self._lose(member, hello.refusal)
        else:
            self._dismiss(member)
            self._give_up(member, reason)

    def _listen(self, member: _Member) -> None:
        """Hear how far a member is; one that says nothing any more is ended."""
        now = time.monotonic()
        if member.asked is not None and ray.wait([member.asked], timeout=0)[0]:
            try:
                member.standing = ray.get(member.asked)
            except ray.exceptions.RayError:  # its task will tell
                return
            member.asked = None
        if member.asked is None and now - member.asked_at >= ASK_EVERY_S:
            member.asked, member.asked_at = self._control(member).standing.remote(), now
        is_silent = member.asked is not None and now - member.asked_at > SILENCE_S
        is_still = (
            member.standing is not None
            and member.standing.number == member.number
            and member.standing.still_s > STANDSTILL_S
        )
        if is_silent or is_still:
            lost = self._lose(member, "it said nothing any more")
            if lost is not None:
                self._lost.append(lost)

    def _lose(self, member: _Member, reason: str) -> Ended | None:
        """Let go of an actor that died or went silent; another one takes its place in a moment."""
        name, task = member.name, member.task
        self._dismiss(member)
        if member.starts >= MOST_STARTS:
            self._give_up(member, f"{name}: {reason}")
        else:
            member.not_before = time.monotonic() + 0.5 * 2**member.starts * (member.starts > 1)
            self._report(f"{name} was lost ({reason}); another takes its place")
        return None if task is None else Ended(task, protocol.BROKEN, f"{name} was lost: {reason}")

    def _dismiss(self, member: _Member) -> None:
        ray.kill(member.handle, no_restart=True)
        member.handle = member.hello = member.work = member.task = member.asked = member.standing = None
        member.unwell, member.ailment, member.rests_until = 0, "", 0.0  # the next may be on another machine

    def _give_up(self, member: _Member, reason: str) -> None:
        member.given_up = reason
        self._report(f"one actor less: {reason}")

    def _require_somebody(self) -> None:
        reasons = [member.given_up for member in self._members if member.given_up]
        if len(reasons) == len(self._members):
            raise UsageError(f"no actor can work; the last one, {reasons[-1]}")
        if self._begun_at is not None and time.monotonic() - self._begun_at > NOTICE_S:
            self._begun_at = None
            self._report("no actor has started yet: others may use what the cluster has; waiting")

    def _control(self, member: _Member) -> Any:
        return _InGroup(member.handle)


class _InGroup:
    """An actor's methods that it answers while it computes."""

    def __init__(self, handle: Any) -> None:
        self.standing = handle.standing.options(concurrency_group=_CONTROL)
        self.stop = handle.stop.options(concurrency_group=_CONTROL)


def _cause(error: Exception) -> str:
    """What Ray says of a lost actor, in a sentence."""
    said = " ".join(str(error).split())
    detail = re.search(r"Worker exit detail: ([^.]+)\.", said) or re.search(r"The actor [^.]+", said)
    return detail.group(detail.lastindex or 0) if detail else f"{type(error).__name__}: {said[:200]}"
