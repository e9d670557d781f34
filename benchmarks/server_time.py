"""Seconds on the clock and seconds of a processor that work in the database takes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection

from benchmarks.measure import note


@dataclass(frozen=True)
class Spent:
    """Medians over several runs.

    Attributes:
        wall_s: seconds on the clock.
        cpu_s: seconds of all processes of the server, those of the checkpointer and of autovacuum too.
        runs: how many runs there were.

    """

    wall_s: float
    cpu_s: float
    runs: int

    def rounded(self) -> dict[str, float]:
        """For ``report``."""
        return {"wall_s": round(self.wall_s, 3), "cpu_s": round(self.cpu_s, 3), "runs": self.runs}


def postmaster_id(conn: Connection[Any]) -> int:
    """Process of the server, which is the parent of all its backends; it has to run on this machine."""
    return _fields(_one(conn, "select pg_backend_pid()"))[1]


def server_cpu_s(postmaster: int) -> float:
    """Seconds of a processor that the server and its backends, those that ended too, have used so far.

    Source: proc(5), /proc/pid/stat: ppid (4), utime, stime (14, 15), cutime, cstime (16, 17) in clock ticks.
    """
    while True:
        own = _fields(postmaster)[11:15]
        living = [_fields(process) for process in _processes()]
        if _fields(postmaster)[13:15] == own[2:]:  # or else a backend ended meanwhile and might be missed
            break
    ticks = sum(own) + sum(sum(fields[11:13]) for fields in living if fields[1] == postmaster)
    return ticks / os.sysconf("SC_CLK_TCK")


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def _fields(process: int) -> list[int]:
    """Fields 3 to 17 of the process's line, its state as 0; the name before them may hold anything."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return [0] * 15  # it ended
    line = text.rpartition(")")[2].split()
    return [0, *(int(field) for field in line[1:15])]


def measured(postmaster: int, work: Callable[[], object]) -> Spent:
    """Do some work once."""
    cpu, begun = server_cpu_s(postmaster), time.perf_counter()
    work()
    return Spent(time.perf_counter() - begun, server_cpu_s(postmaster) - cpu, 1)


def in_turn(
    postmaster: int, sides: Mapping[str, Callable[[], object]], *, runs: int, budget_s: float
) -> dict[str, Spent]:
    """Do all sides in turn, so that whatever else the machine does burdens them alike.

    Args:
        postmaster: process of the server.
        sides: what to do, by name.
        runs: most rounds.
        budget_s: no round begins that would probably end later than this; the first one always runs.

    Returns:
        Medians, by name.

    """
    found: dict[str, list[Spent]] = {name: [] for name in sides}
    begun = time.perf_counter()
    for run in range(runs):
        used_s = time.perf_counter() - begun
        if run and used_s * (run + 1) / run > budget_s:
            break
        for name in list(sides) if run % 2 == 0 else reversed(list(sides)):
            spent = measured(postmaster, sides[name])
            found[name].append(spent)
            note(f"  run {run + 1}: {name}: {spent.wall_s:.1f} s, {spent.cpu_s:.1f} s of a processor")
    return {name: _median(spent) for name, spent in found.items()}


def _median(spent: Sequence[Spent]) -> Spent:
    return Spent(
        statistics.median(each.wall_s for each in spent),
        statistics.median(each.cpu_s for each in spent),
        len(spent),
    )


def _one(conn: Connection[Any], query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    if row is None:
        raise RuntimeError(f"{query} gave no row")
    return int(row[0])
