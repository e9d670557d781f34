"""Random faults while workers empty the queue, and a record of them."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.ground import SILENT_S, FaultyWorker, Ground
from tests.faults.servers import terminate
from tests.service.district import NETWORK, expect_nothing_left

KILLS = ("worker killed", "parent killed", "engine killed")
KINDS = (*KILLS, "worker stopped and continued", "sessions ended")

TELL_EVERY_S = 20.0

LAST_ATTEMPT = (
    "select exists (select from lode_queue.procrastinate_jobs j"
    " join lode.worker w on w.worker_id = j.worker_id"
    " join lode.run r on r.run_id = (j.args ->> 'run_id')::integer"
    " left join lode.run_block b on b.run_id = r.run_id and b.block = (j.args ->> 'block')::integer"
    " where j.status = 'doing' and w.process_id = %s and coalesce(b.attempt, r.attempt) > 1)"
)
"""Whether a worker makes the last but one attempt at a job, or the last."""

STEPS = (
    "select (select count(*) from lode.run_block where status = 'staged')"
    " + (select count(*) from lode.run where status = 'published')"
)
"""How far the work is. Between two faults it takes a step, lest a slow machine never come to an end."""


@dataclass
class Record:
    """What was done to the workers.

    Attributes:
        faults: how many of each kind.
        ended: sessions of the database that were ended.
        spared: faults that were left out because a job would have had no attempt left.
        asked_again: runs that failed nonetheless, and were asked for again.
        seconds: from the first request to the last publication.

    """

    faults: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    spared: int = 0
    asked_again: int = 0
    seconds: float = 0.0


class Soak:
    """Workers under random faults.

    Args:
        ground: the district.
        workers: how many work at a time; the dead are replaced.
        seed: of the faults.
        tell: is told now and then how far it is.

    """

    def __init__(
        self, ground: Ground, workers: int, seed: int, tell: Callable[[str], None] = lambda _line: None
    ) -> None:
        self.record = Record()
        self._seed = seed
        self._tell = tell
        self._published: Counter[int] = Counter()
        self._ground = ground
        self._rng = random.Random(seed)
        self._wanted = workers
        self._asleep: dict[FaultyWorker, float] = {}

    def run(self, scenes: int, *, between_s: tuple[float, float], timeout_s: float) -> None:
        """Have scenes interpreted, with a fault every few seconds until all are published.

        Args:
            scenes: how many.
            between_s: shortest and longest pause between two faults, seconds.
            timeout_s: within which it must be done.

        """
        ground, begun = self._ground, time.monotonic()
        with ground.watcher() as listener:
            listener.execute("listen lode_run")
            ground.request(scenes)
            self._replace_the_dead()
            next_at = time.monotonic() + self._rng.uniform(*between_s)
            told_at, steps_before = begun, -1
            while left := ground.value("select count(*) from lode.run where status <> 'published'"):
                assert time.monotonic() - begun < timeout_s, f"not done in time: {self.record}"
                if time.monotonic() > told_at + TELL_EVERY_S:
                    told_at = time.monotonic()
                    faults = self.record.faults.total()
                    self._tell(
                        f"{scenes - left} of {scenes} scenes, {faults} faults, {told_at - begun:.0f} s"
                    )
                self._wake()
                self._replace_the_dead()
                self._ask_again()
                steps = ground.value(STEPS)
                if time.monotonic() > next_at and steps > steps_before and self._strike():
                    next_at, steps_before = time.monotonic() + self._rng.uniform(*between_s), steps
                time.sleep(0.1)
            self.record.seconds = round(time.monotonic() - begun, 1)
            self._end_well()
            for notice in listener.notifies(timeout=1):
                said = json.loads(notice.payload)
                self._published[said["run_id"]] += said["status"] == "published"

    def _end_well(self) -> None:
        """Let the sleepers wake to jobs that others have done, and everybody come to an end."""
        while self._asleep:
            self._wake()
            time.sleep(0.1)
        self._replace_the_dead()
        expect_nothing_left(self._ground.url)
        ending = self._alive()
        for each in ending:
            each.signal(signal.SIGTERM)
        for each in ending:
            assert each.wait() in (0, -signal.SIGTERM)  # the latter before it works

    def _alive(self) -> list[FaultyWorker]:
        return [each for each in self._ground.workers if each.is_alive()]

    def _replace_the_dead(self) -> None:
        for _ in range(self._wanted - len(self._alive())):
            self._ground.worker()

    def _strike(self) -> bool:
        """One fault; False when it was left out."""
        awake = [each for each in self._alive() if each not in self._asleep and each.engine() is not None]
        if not awake:
            return False
        kind, victim = self._rng.choice(KINDS), self._rng.choice(awake)
        if kind != "sessions ended" and self._ground.value(LAST_ATTEMPT, victim.pid):
            self.record.spared += 1
            return False
        if kind == "sessions ended":
            self.record.ended += terminate(self._ground.url, 0.5)
        elif kind == "worker killed":
            victim.signal(signal.SIGKILL)
            victim.wait()
        elif kind == "parent killed":
            victim.signal(signal.SIGKILL, group=False)
            victim.wait()
        elif kind == "engine killed":
            engine = victim.engine()
            if engine is None:
                return False
            os.kill(engine, signal.SIGKILL)
        else:
            victim.signal(signal.SIGSTOP)
            self._asleep[victim] = time.monotonic() + self._rng.uniform(0.5, 2.5) * SILENT_S
        self.record.faults[kind] += 1
        return True

    def _wake(self) -> None:
        for worker, until in list(self._asleep.items()):
            if time.monotonic() > until:
                worker.signal(signal.SIGCONT)
                del self._asleep[worker]

    def _ask_again(self) -> None:
        """For what failed because chance struck it three times."""
        failed = self._ground.rows(
            "select s.product from lode.run r join lode.scene s on s.scene_id = r.scene_id"
            " where r.status = 'failed' and r.error like %s",
            "%was started 3 times%",
        )
        for (product,) in failed:
            self._ground.change("select lode_api.request_inference(%s, %s)", product, NETWORK)
            self.record.asked_again += 1

    def report(self, scenes: int, folder: Path) -> dict[str, Any]:
        """Write ``faults.json``: what was done, and what was found afterwards.

        Args:
            scenes: how many were asked for.
            folder: for the file.

        """
        found, record = self._ground.findings(scenes), self.record
        report = {
            "what": f"{scenes} scenes of two blocks are interpreted while chance strikes the workers",
            "scenes": scenes,
            "workers_at_a_time": self._wanted,
            "workers_started": len(self._ground.workers),
            "seed": self._seed,
            "seconds": record.seconds,
            "faults": {kind: record.faults[kind] for kind in KINDS},
            "faults_in_all": record.faults.total(),
            "kills_in_all": sum(record.faults[kind] for kind in KILLS),
            "sessions_ended": record.ended,
            "faults_left_out_at_a_last_attempt": record.spared,
            "runs_by_attempts": self._by_attempts("run"),
            "blocks_by_attempts": self._by_attempts("run_block"),
            "runs_failed_and_asked_for_again": record.asked_again,
            "scenes_published": found.published,
            "scenes_with_two_published_runs": found.published_twice,
            "publications_announced_by_run": {
                str(times): runs for times, runs in sorted(Counter(self._published.values()).items())
            },
            "probability_tables": found.probability_tables,
            "digests_compared_with_an_undisturbed_database": found.compared,
            "digests_that_differ": found.different,
            "left_behind": found.left_behind,
            "deadlocks": found.deadlocks,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "faults.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        return report

    def _by_attempts(self, table: str) -> dict[str, int]:
        """How many rows of a table were started once, twice, three times."""
        return dict(
            self._ground.rows(f"select attempt::text, count(*) from lode.{table} group by attempt order by 1")
        )
