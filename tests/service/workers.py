"""Real workers in processes of their own, and waiting for what they do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from db.connection import connect
from tests.support import REPOSITORY

LONG_S = 150.0
"""Worker and engine load torch meanwhile, on a machine that others use as well."""


class WorkerProcess:
    """A worker, its engine and its log.

    Args:
        url: of the database.
        folder: for its log.
        arguments: of ``lode worker``.
        environment: variables beside this process's.
        prefix: what to start it by (``ip netns exec ...``).

    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prefix: tuple[str, ...] = (),
    ) -> None:
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "lode", "worker", "--device", "cpu", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    "LODE_DATABASE_URL": url,
                    "LODE_HOME": str(folder / "home"),
                    "LODE_LOG": "json",
                    "OMP_NUM_THREADS": "1",
                    **(environment or {}),
                },
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int, *, group: bool = True) -> None:
        """Send a signal to worker and engine, or to the worker alone."""
        (os.killpg if group else os.kill)(self.pid, number)

    def wait(self, timeout_s: float = LONG_S) -> int:
        """Exit code."""
        return self.process.wait(timeout_s)

    def end(self) -> None:
        """Kill whatever is left of it."""
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
        self.process.wait()

    def events(self) -> list[dict[str, Any]]:
        """What it logged; a line that it just writes is left out."""
        lines = self.log.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]


@contextmanager
def running(*workers: WorkerProcess) -> Iterator[None]:
    """End workers whatever happens; their logs are shown when something did."""
    try:
        yield
    except BaseException:
        for each in workers:
            print(f"--- {each.log}\n{each.log.read_text('utf-8')[-6000:]}")
        raise
    finally:
        for each in workers:
            each.end()


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = LONG_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(0.05)


def statuses(url: str) -> dict[str, int]:
    """How many runs are in each state."""
    with connect(url) as conn:
        return {
            str(status): int(count)
            for status, count in conn.execute("select status, count(*) from lode.run group by 1")
        }


def all_are(url: str, count: int, status: str) -> Callable[[], bool]:
    """Whether so many runs are in a state."""
    return lambda: statuses(url).get(status, 0) == count


def request(url: str, *products: str, model: str = "net") -> list[int]:
    """Ask by SQL for interpretations."""
    with connect(url) as conn:
        return [
            int(conn.execute("select lode_api.request_inference(%s, %s)", (each, model)).fetchone()[0])  # type: ignore[index]
            for each in products
        ]


def held(folder: Path, point: str, timeout_s: float = LONG_S) -> int:
    """Wait until a process waits at a named point; its number."""
    found: list[Path] = []

    def is_there() -> bool:
        found[:] = sorted(folder.glob(f"{point}.*"))
        return bool(found)

    wait_for(is_there, f"a process at {point}", timeout_s)
    return int(found[0].name.rsplit(".", 1)[1])
