"""A campaign: many scenes by one network, by actors that compute blocks and publish, until all are done.

What is true stands in the database: which blocks are staged, how often each was started, whether a run is
published. This module only decides who does what next; whatever it or an actor forgets, another start reads
it there again.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol

from db.blocks import PENDING
from db.campaigns import RunState, Target
from db.errors import InterruptionError
from service import protocol
from service.campaign_actor import Ended, Task
from service.campaign_runs import Report, RunBook

WAIT_S = 0.5
LOOK_EVERY_S = 5.0
"""How often the database is asked for a run about which no actor said anything."""
BUSY_PAUSE_S = 5.0
RELEASE_S = 30.0
"""How long tasks have to stop between two windows when the campaign is interrupted."""
MOST_TRIES = 8
"""Of a task, whatever ended them. Attempts are counted in the database, and end earlier; this is for what
does not come so far as to be counted, for instance a database that refuses an actor's login."""
FEW_UNWELL = 3
"""A task for which so many actors had no room on a disk goes after all others, also after new ones."""
MOST_STUCK = 32
"""Runs with such tasks, after which no other is begun: it is the disks, and not the scenes."""
_UNWELL_PAUSE_S, _LONGEST_PAUSE_S = 4.0, 60.0


class Crew(Protocol):
    """Actors, as a campaign needs them."""

    def idle(self) -> int:
        """How many could start a task; those whose machine's disk has no room rest for a while."""

    def ailments(self) -> Sequence[str]:
        """Why actors rest: a reason for each that does."""

    def start(self, task: Task) -> None:
        """Have an actor that is idle do a task."""

    def wait(self, seconds: float) -> list[Ended]:
        """Tasks that ended, at the latest after so many seconds; also those whose actor died."""

    def stop(self, task: Task, *, is_cancelled: bool) -> None:
        """Have a task stop at its next window."""

    def shares(self) -> Mapping[Task, float]:
        """How far each task is, 0 to 1."""

    def close(self) -> None:
        """End all actors at once, whatever they do."""


@dataclass(frozen=True)
class Progress:
    """How far a campaign is.

    Attributes:
        scenes, done: scenes in all, and those that need nothing more.
        blocks, staged: blocks of the runs under way, and those of them that wait for publication.
        share: scenes done, with those under way by their blocks.
        running: tasks that actors work on.
        elsewhere: scenes that wait because others hold their runs.
        resting: actors that do nothing because their machine is in the way (a disk, a GPU).
        ailment: what one of them said; empty: none rests.

    """

    scenes: int
    done: int
    blocks: int
    staged: int
    share: float
    running: int
    elsewhere: int
    resting: int = 0
    ailment: str = ""


@dataclass
class _Open:
    """A run under way: its scene, and what the database said of it last, at which moment."""

    target: Target
    state: RunState
    seen_at: float
    figures: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    is_given_up: bool = False

    @property
    def is_pending(self) -> bool:
        return self.state.status in PENDING and not self.is_given_up


class Campaign:
    """See the module.

    Args:
        book: the runs in the database.
        targets: the scenes, in the order in which they are begun.
        report: hears what became of each scene.
        show: hears how far the campaign is, about twice a second.
        stop: set from outside to end it early; what was begun is given back.
        clock: seconds, rising.

    Attributes:
        reports: what became of the scenes that came to an end.

    """

    _crew: Crew

    def __init__(
        self,
        book: RunBook,
        targets: Sequence[Target],
        *,
        report: Callable[[Report], None],
        show: Callable[[Progress], None],
        stop: Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._in_all = len(targets)
        self._waiting = deque((0.0, target) for target in targets)
        self._tell = report
        self._show = show
        self._stop = stop
        self._clock = clock
        self._open: dict[int, _Open] = {}
        self._in_flight: dict[Task, bool] = {}
        """Tasks that actors work on, and whether they were asked to stop."""
        self._tries: Counter[Task] = Counter()
        self._unwell: Counter[Task] = Counter()
        """How often an actor's machine was in the way of a task; it is never given up for that."""
        self._not_before: dict[Task, float] = {}
        self.reports: list[Report] = []

    def has_work(self) -> bool:
        """Whether actors are needed; begins the first run for which they are.

        Raises:
            RetryError: the database stayed away.

        """
        return bool(self._open) or self._begin_one() or bool(self._waiting)

    def run(self, crew: Crew) -> None:
        """Work until every scene is done or ``stop`` is set; ``reports`` tells what became of them.

        Args:
            crew: the actors; they are ended at the end.

        Raises:
            UsageError: no actor stays alive, or the database does not come back. What was begun is given
                back before.

        """
        self._crew = crew
        try:
            while (self._open or self._waiting) and not self._stop.is_set():
                self._look()
                self._hand_out()
                self._show(self._progress())
                for ended in self._crew.wait(WAIT_S):
                    self._hear(ended)
        except InterruptionError:  # stopped while the database was away
            pass
        finally:
            self._release()

    def _look(self) -> None:
        """Ask the database for the runs about which there may be news, and close those that are done."""
        now = self._clock()
        for run_id, run in list(self._open.items()):
            if now - run.seen_at < LOOK_EVERY_S:
                continue
            state = self._book.state(run_id)
            run.seen_at = now
            if state is None:
                run.is_given_up, run.reason = True, "its row was deleted meanwhile"
            else:
                run.state = state
            if not run.is_pending:
                self._finish(run)

    def _finish(self, run: _Open) -> None:
        """Close a run that needs nothing more, once nobody works on it."""
        run_id, status = run.state.run_id, run.state.status
        still = [task for task in self._in_flight if task.run_id == run_id]
        for task in still:
            # An actor that publishes has done so, and is about to say it.
            is_needed = status == "published" and task.block is None
            if not is_needed and not self._in_flight[task]:
                self._crew.stop(task, is_cancelled=True)
                self._in_flight[task] = True
        if still:
            return
        if run.is_given_up:
            self._book.give_up(run_id)
        self._book.end(run_id)
        del self._open[run_id]
        if status in PENDING:
            report = Report(run.target.product, run_id, "failed", run.reason)
        elif status == "published":
            report = Report(run.target.product, run_id, status, figures=run.figures)
        else:
            report = Report(run.target.product, run_id, status, run.state.error or "")
        self._note(report)

    def _note(self, report: Report) -> None:
        self.reports.append(report)
        self._tell(report)

    def _hand_out(self) -> None:
        while self._crew.idle():
            task = self._next_task()
            if task is None:
                return
            self._in_flight[task] = False
            self._crew.start(task)

    def _next_task(self) -> Task | None:
        """What is to be done next: a publication before a block, a run under way before a new one.

        What is staged takes room in the database until it is published. What several actors had no room for
        goes last: one scene too large for their disks must not keep them from the others.
        """
        while True:
            tasks = self._startable()
            task = next((task for task in tasks if self._unwell[task] < FEW_UNWELL), None)
            if task is not None:
                return task
            stuck = {task.run_id for task, times in self._unwell.items() if times >= FEW_UNWELL}
            if len(stuck & self._open.keys()) >= MOST_STUCK or not self._begin_one():
                return min(tasks, key=lambda task: self._not_before[task], default=None)

    def _startable(self) -> list[Task]:
        """What could be done now of the runs under way, publications first."""
        return [
            task
            for find in (self._publication_of, self._blocks_of)
            for run in self._open.values()
            for task in find(run)
        ]

    def _publication_of(self, run: _Open) -> list[Task]:
        state = run.state
        is_ready = all(block.status == "staged" for block in state.blocks) or len(state.blocks) == 1
        task = Task(state.run_id)
        return [task] if is_ready and self._may_start(run, task) else []

    def _blocks_of(self, run: _Open) -> list[Task]:
        if len(run.state.blocks) == 1:
            return []
        free = (
            Task(run.state.run_id, block.block)
            for block in run.state.blocks
            if block.status != "staged" and block.block not in run.state.busy_blocks
        )
        return [task for task in free if self._may_start(run, task)]

    def _may_start(self, run: _Open, task: Task) -> bool:
        is_known = run.is_pending and not run.state.is_busy
        return (
            is_known
            and task not in self._in_flight
            and Task(task.run_id) not in self._in_flight
            and self._clock() >= self._not_before.get(task, 0.0)
        )

    def _begin_one(self) -> bool:
        """Begin the next run whose time has come; whether there is anything new to be done."""
        now = self._clock()
        for _ in range(len(self._waiting)):
            not_before, target = self._waiting.popleft()
            if not_before > now:
                self._waiting.append((not_before, target))
                continue
            begun = self._book.begin(target)
            if begun is None:
                self._waiting.append((now + BUSY_PAUSE_S, target))
            elif isinstance(begun, Report):
                self._note(begun)
            else:
                self._open[begun.state.run_id] = _Open(begun.target, begun.state, now)
                return True
        return False

    def _hear(self, ended: Ended) -> None:
        """Take note of how a task ended; what became of its rows is read from the database."""
        task = ended.task
        self._in_flight.pop(task, None)
        run = self._open.get(task.run_id)
        if run is None:
            return
        run.seen_at = -math.inf
        if ended.end == protocol.DONE:
            self._unwell.pop(task, None)
            if task.block is None:
                run.figures = dict(ended.figures)
            return
        if ended.end in (protocol.RELEASED, protocol.CANCELLED):
            return
        if ended.end == protocol.UNWELL:  # its actor's fault: it rests, and another may do the task
            self._unwell[task] += 1
            pause_s = min(_UNWELL_PAUSE_S * 2.0 ** min(self._unwell[task] - 1, 10), _LONGEST_PAUSE_S)
            self._not_before[task] = self._clock() + pause_s
            return
        self._tries[task] += 1
        pause_s = min(0.25 * 2.0 ** self._tries[task], _LONGEST_PAUSE_S)
        self._not_before[task] = self._clock() + pause_s
        if self._tries[task] >= MOST_TRIES:
            run.is_given_up = True
            run.reason = f"{task} was given up after {MOST_TRIES} tries; the last ended so: {ended.reason}"

    def _release(self) -> None:
        """Have all tasks given back, end the actors, and let what was begun wait as if nobody had."""
        try:
            for task in self._in_flight:
                self._crew.stop(task, is_cancelled=False)
            until = self._clock() + RELEASE_S
            while self._in_flight and self._clock() < until:
                self._show(self._progress())
                for ended in self._crew.wait(WAIT_S):
                    self._hear(ended)
        finally:
            self._crew.close()
            for run_id in list(self._open):
                self._take_leave(run_id)
            self._book.leave(list(self._open))

    def _take_leave(self, run_id: int) -> None:
        """Note a run that was published in the last moment."""
        run = self._open[run_id]
        if run.figures:
            del self._open[run_id]
            self._note(Report(run.target.product, run_id, "published", figures=run.figures))

    def _progress(self) -> Progress:
        shares = self._crew.shares()
        under_way = 0.0
        blocks = staged = 0
        for run in self._open.values():
            parts = [Task(run.state.run_id, block.block) for block in run.state.blocks]
            if len(parts) == 1:
                parts = [Task(run.state.run_id)]
            ready = sum(block.status == "staged" for block in run.state.blocks)
            under_way += min(1.0, (ready + sum(shares.get(part, 0.0) for part in parts)) / max(1, len(parts)))
            blocks, staged = blocks + len(parts), staged + ready
        done = len(self.reports)
        ailments = self._crew.ailments()
        return Progress(
            scenes=self._in_all,
            done=done,
            blocks=blocks,
            staged=staged,
            share=done + under_way,
            running=len(self._in_flight),
            elsewhere=sum(not_before > 0 for not_before, _target in self._waiting),
            resting=len(ailments),
            ailment=ailments[0] if ailments else "",
        )
