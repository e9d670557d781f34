"""A district under fault: its workers, what was published of it, and what it must come to."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection

from db.connection import connect
from tests.service.district import NOTHING, expect_nothing_left, left_behind, products, published
from tests.service.namespaces import Machine, worker_url
from tests.service.workers import WorkerProcess, held, request, wait_for

SILENT_S = 4.0
"""Workers that were not heard of for so long count as dead, in these tests."""

UNHURRIED_S = 40.0
"""The same where nobody has to count as dead: no machine is so slow that a living one does."""

PATIENCE_S = 240.0
"""Within which everything must be published: a job whose engine died waits for half a minute at most."""


class FaultyWorker(WorkerProcess):
    """A worker that may be held at a named point, with its engine."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *arguments: str,
        hold_at: str | None = None,
        environment: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder / f"held-{time.monotonic_ns()}"
        self.folder.mkdir()
        self.point = (hold_at or "").partition("@")[0]
        hold = {"LODE_HOLD_AT": hold_at, "LODE_HOLD_FOLDER": str(self.folder)} if hold_at else {}
        super().__init__(url, folder, *arguments, environment={**hold, **(environment or {})}, prefix=prefix)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def engine(self) -> int | None:
        """Number of its engine's process; None: it has none."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.pid and fields[0] != "Z":
                return int(path.parent.name)
        return None

    def held(self, timeout_s: float = 90.0) -> int:
        """Wait until its engine waits at its point; the engine's number."""
        return held(self.folder, self.point, timeout_s)

    def let_go(self) -> None:
        """Let the engine go on from its point; it is not held again, nor is one that takes its place."""
        shutil.rmtree(self.folder)

    def ended_jobs(self) -> list[dict[str, Any]]:
        """What it logged of the ends of its jobs."""
        return [event for event in self.events() if event.get("event") == "job ended"]


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@dataclass(frozen=True)
class Findings:
    """What faults left in a database.

    Attributes:
        scenes: that were asked for.
        published: runs that are published.
        published_twice: scenes with more than one published run.
        probability_tables: tables of probabilities, one for each published run.
        compared: kinds of content that were compared with an undisturbed database's, byte for byte.
        different: those that differ.
        left_behind: rows and tables that nobody needs any more.
        deadlocks: since the beginning.

    """

    scenes: int
    published: int
    published_twice: int
    probability_tables: int
    compared: int
    different: dict[str, str]
    left_behind: dict[str, int]
    deadlocks: int

    def check(self) -> None:
        """See that all is as if nothing had happened."""
        assert self.different == {}
        assert self.left_behind == NOTHING
        assert (self.published, self.published_twice) == (self.scenes, 0)
        assert self.probability_tables == self.scenes
        assert self.deadlocks == 0


class Ground:
    """A copy of the district.

    Args:
        url: of the database.
        folder: for logs.
        undisturbed: what so many of its scenes come to without a fault, by their number.

    """

    def __init__(self, url: str, folder: Path, undisturbed: Callable[[int], dict[str, str]]) -> None:
        self.url = url
        self.workers: list[FaultyWorker] = []
        self._folder = folder
        self._undisturbed = undisturbed
        self._far_url: str | None = None
        self._deadlocks = self._deadlocks_so_far()

    def worker(
        self,
        *arguments: str,
        hold_at: str | None = None,
        silent_s: float = SILENT_S,
        queues: str = "inference",
        environment: dict[str, str] | None = None,
        machine: Machine | None = None,
    ) -> FaultyWorker:
        """Start a worker, here or on another machine, which reaches the database over its network."""
        words = ("--queues", queues, "--silent", str(silent_s), *arguments)
        url, prefix = (self.url, ()) if machine is None else (self._from_far(), machine.prefix)
        started = FaultyWorker(
            url, self._folder, *words, hold_at=hold_at, environment=environment, prefix=prefix
        )
        self.workers.append(started)
        return started

    def _from_far(self) -> str:
        if self._far_url is None:  # a second password would lock out who has the first
            self._far_url = worker_url(self.url)
        return self._far_url

    def request(self, count: int, first: int = 0) -> list[int]:
        """Ask for scenes; the numbers of the runs."""
        return request(self.url, *products(first + count)[first:])

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with connect(self.url, application_name="the test") as conn:
            return conn.execute(query.encode(), arguments or None).fetchall()

    def change(self, query: str, *arguments: object) -> None:
        with connect(self.url, application_name="the test") as conn:
            conn.execute(query.encode(), arguments or None)

    def watcher(self) -> Connection[Any]:
        """A connection that is there before a fault; the caller closes it."""
        return connect(self.url, autocommit=True, application_name="the test")

    def value(self, query: str, *arguments: object) -> Any:
        return self.rows(query, *arguments)[0][0]

    def status(self, run_id: int) -> str:
        return str(self.value("select status from lode.run where run_id = %s", run_id))

    def attempts(self, run_id: int) -> tuple[int, list[int]]:
        """How often a run and each of its blocks were started."""
        blocks = self.rows("select attempt from lode.run_block where run_id = %s order by block", run_id)
        return int(self.value("select attempt from lode.run where run_id = %s", run_id)), [
            n for (n,) in blocks
        ]

    def expect(self, scenes: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many scenes are published; see that they are as they must be, and nothing is left."""
        published_now = "select count(*) from lode.run where status = 'published'"
        wait_for(lambda: self.value(published_now) == scenes, f"{scenes} scenes published", timeout_s)
        expect_nothing_left(self.url)
        self.findings(scenes).check()

    def findings(self, scenes: int) -> Findings:
        """What is in the database, beside what so many scenes come to without a fault."""
        found, wanted = published(self.url), self._undisturbed(scenes)
        with connect(self.url) as conn:
            left = left_behind(conn)
        tables = "select count(*) from pg_class where relname ~ '^probability_[0-9]+$' and relkind = 'r'"
        twice = (
            "select count(*) from (select from lode.run where status = 'published'"
            " group by scene_id having count(*) > 1) scene"
        )
        return Findings(
            scenes=scenes,
            published=self.value("select count(*) from lode.run where status = 'published'"),
            published_twice=self.value(twice),
            probability_tables=self.value(tables),
            compared=len(wanted),
            different={
                key: f"{found.get(key)} instead of {wanted.get(key)}"
                for key in sorted(found.keys() | wanted.keys())
                if found.get(key) != wanted.get(key)
            },
            left_behind=left,
            deadlocks=self._deadlocks_so_far() - self._deadlocks,
        )

    def _deadlocks_so_far(self) -> int:
        counted = "select deadlocks from pg_stat_database where datname = current_database()"
        return int(self.value(counted))

    def end(self) -> None:
        """End all workers."""
        for each in self.workers:
            each.end()

    def stop(self, workers: Sequence[FaultyWorker] | None = None) -> None:
        """End workers as `systemctl stop` does; they must obey."""
        chosen = [each for each in (workers or self.workers) if each.is_alive()]
        for each in chosen:
            each.signal(signal.SIGTERM)
        for each in chosen:
            assert each.wait() == 0

    def logs(self) -> str:
        """The end of every worker's log, without what the queue's library says."""
        return "\n".join(
            "\n".join([f"--- process {each.pid}, held at {each.point or 'no point'}", *_told(each)[-25:]])
            for each in self.workers
        )


def _told(worker: FaultyWorker) -> list[str]:
    kept = ("timestamp", "end", "reason", "job", "run_id", "block", "seconds", "event", "jobs", "exception")
    told = []
    for line in worker.log.read_text("utf-8").splitlines():
        if not line.startswith("{"):
            told.append(line)
        elif not str((event := json.loads(line)).get("logger")).startswith("procrastinate") or (
            event.get("level") != "info"
        ):
            told.append(", ".join(f"{key}={event[key]}" for key in kept if key in event)[:600])
    return told
