"""Random faults while workers empty the queue, and a record of them."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.ground import SILENT_S, FaultyWorker, Ground
from tests.faults.servers import terminate
from tests.service.district import NETWORK

KINDS = ("worker killed", "parent killed", "engine killed", "worker stopped and continued", "sessions ended")

LAST_ATTEMPT = (
    "select exists (select from lode_queue.procrastinate_jobs j"
    " join lode.worker w on w.worker_id = j.worker_id"
    " join lode.run r on r.run_id = (j.args ->> 'run_id')::integer"
    " left join lode.run_block b on b.run_id = r.run_id and b.block = (j.args ->> 'block')::integer"
    " where j.status = 'doing' and w.process_id = %s and coalesce(b.attempt, r.attempt) > 1)"
)
"""Whether a worker makes the last but one attempt at a job, or the last."""


@dataclass
class Record:
    """What was done to the workers.

    Attributes:
        faults: how many of each kind.
        spared: faults that were left out because a job would have had no attempt left.
        asked_again: runs that failed nonetheless, and were asked for again.
        seconds: from the first request to the last publication.

    """

    faults: Counter[str] = field(default_factory=Counter)
    spared: int = 0
    asked_again: int = 0
    seconds: float = 0.0


class Soak:
    """Workers under random faults.

    Args:
        ground: the district.
        workers: how many work at a time; the dead are replaced.
        seed: of the faults.

    """

    def __init__(self, ground: Ground, workers: int, seed: int) -> None:
        self.record = Record()
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
        ground.request(scenes)
        self._replace_the_dead()
        next_at = time.monotonic() + self._rng.uniform(*between_s)
        while ground.value("select count(*) from lode.run where status <> 'published'"):
            assert time.monotonic() - begun < timeout_s, f"not done in time: {self.record}"
            self._wake()
            self._replace_the_dead()
            self._ask_again()
            if time.monotonic() > next_at and self._strike():
                next_at = time.monotonic() + self._rng.uniform(*between_s)
            time.sleep(0.1)
        self.record.seconds = round(time.monotonic() - begun, 1)
        while self._asleep:
            self._wake()
            time.sleep(0.1)
        self._replace_the_dead()

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
            terminate(self._ground.url, 0.5)
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
        """Write ``faults.json``."""
        attempts = dict(
            self._ground.rows(
                "select attempt::text, count(*) from lode.run group by attempt order by attempt"
            )
        )
        blocks = dict(
            self._ground.rows(
                "select attempt::text, count(*) from lode.run_block group by attempt order by attempt"
            )
        )
        report = {
            "scenes": scenes,
            "workers": self._wanted,
            "seconds": self.record.seconds,
            "faults": {kind: self.record.faults[kind] for kind in KINDS},
            "faults_in_all": self.record.faults.total(),
            "faults_left_out": self.record.spared,
            "runs_by_attempts": attempts,
            "blocks_by_attempts": blocks,
            "runs_asked_for_again": self.record.asked_again,
            "workers_started": len(self._ground.workers),
            "published_once_each": True,
            "equal_to_an_undisturbed_run": True,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "faults.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")
        return report
