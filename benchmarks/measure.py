"""What the benchmarks share: paired runs, peers, a private cluster, one JSON object at the end."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from db.embedded import Cluster
from db.errors import UsageError
from db.upgrade import upgrade

LEAST_RUNS = 3


@dataclass(frozen=True)
class PairedRuns:
    """Seconds of both sides, run by run.

    Attributes:
        ours_s: seconds of our side.
        peer_s: seconds of the peer, measured in turn with ours.

    """

    ours_s: tuple[float, ...]
    peer_s: tuple[float, ...]

    @property
    def ours_median_s(self) -> float:
        """Our median in seconds."""
        return statistics.median(self.ours_s)

    @property
    def peer_median_s(self) -> float:
        """The peer's median in seconds."""
        return statistics.median(self.peer_s)

    @property
    def ratio(self) -> float:
        """How many times faster ours is: the quotient of the medians."""
        return self.peer_median_s / self.ours_median_s

    def summary(self) -> dict[str, object]:
        """Medians, ratio and the single runs, rounded, for ``report``."""
        return {
            "ours_s": round(self.ours_median_s, 3),
            "peer_s": round(self.peer_median_s, 3),
            "ratio": round(self.ratio, 2),
            "runs": len(self.ours_s),
            "ours_runs_s": [round(seconds, 3) for seconds in self.ours_s],
            "peer_runs_s": [round(seconds, 3) for seconds in self.peer_s],
        }


def paired_runs(
    ours: Callable[[], float], peer: Callable[[], float], *, runs: int = LEAST_RUNS
) -> PairedRuns:
    """Run both sides in turn, beginning with the other side each time.

    Whatever else the machine does then burdens both alike. A first pair is not counted: it meets memory and
    disk that were never used, which on virtual machines takes longer than the work itself.

    Args:
        ours: runs our side once and returns the seconds that count.
        peer: runs the peer once and returns the seconds that count.
        runs: pairs of runs, three at least.

    Raises:
        UsageError: fewer than three runs.

    """
    if runs < LEAST_RUNS:
        raise UsageError(f"a median needs {LEAST_RUNS} runs at least, got {runs}")
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    sides = {"ours": ours, "peer": peer}
    for run in range(runs + 1):
        for side in ("ours", "peer") if run % 2 else ("peer", "ours"):
            taken = sides[side]()
            note(f"{f'run {run} of {runs}' if run else 'warming up'}: {side} {taken:.2f} s")
            if run:
                seconds[side].append(taken)
    return PairedRuns(tuple(seconds["ours"]), tuple(seconds["peer"]))


def note(line: str) -> None:
    """Say something about the progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


def report(result: Mapping[str, object]) -> None:
    """Print the result as one JSON object, the last line on standard output."""
    machine = {"processors": os.cpu_count(), "system": platform.platform()}
    print(json.dumps({**result, "machine": machine}), flush=True)


def find_program(name: str, *, package: str) -> str:
    """Path of a peer's program; UsageError naming the Debian package when it is not installed."""
    found = shutil.which(name)
    if found is None:
        raise UsageError(f"the peer {name} is not installed: apt install {package}")
    return found


def find_python_with(module: str, *, package: str) -> str:
    """Path of the system's Python, which has ``module``; UsageError naming the Debian package when not."""
    python = "/usr/bin/python3"
    tried = subprocess.run([python, "-c", f"import {module}"], check=False, capture_output=True, text=True)
    if tried.returncode:
        raise UsageError(f"the peer needs {module} in {python}: apt install {package}")
    return python


@contextmanager
def benchmark_database() -> Iterator[str]:
    """URL of an empty, migrated database in a private cluster that lives as long as the block."""
    home = Path(tempfile.mkdtemp(prefix="lode-benchmark-"))
    cluster = Cluster(home)
    try:
        cluster.ensure_running()
        cluster.create_database("benchmark")
        url = cluster.url("benchmark")
        upgrade(url, lambda _line: None)
        yield url
    finally:
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


def status_bytes(name: str, process: int | str = "self") -> int | None:
    """A figure of a process's memory (VmRSS, VmHWM, ...), bytes; None where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
