"""Scenes an hour by the number of workers, and what each scene costs the database they share.

    python -m benchmarks.workers [--workers 1 --workers 2] [--scenes 8] [--side-px 512]

Simulated scenes of fields over mines, a small network, workers as they are started in service, each with one
thread. Where workers are as many as the machine has processors, more of them add nothing: what they then cost
each other stands in the table. What the database does for a scene does not depend on that: seconds of its
processes, bytes written and read, and how long each publication holds the two locks that only one can have at
a time (areas are derived under one; the partition of its probabilities is attached under the other), which is
looked at every few milliseconds.

Ends with a table, build/workers.json, and the same as JSON on the last line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from psycopg import Connection

from benchmarks.measure import benchmark_database, note, report
from benchmarks.server_time import postmaster_id, server_cpu_s
from db.accounting import ACCOUNTING_LOCK
from db.connection import connect
from tests.service.district import NETWORK, fill_district, products

WARM = 2
"""Scenes that each worker does before, so that torch, the network and the server's pages are loaded."""

SAMPLE_S = 0.004
PATIENCE_S = 600.0

HELD = (
    "select exists (select from pg_locks where locktype = 'advisory' and granted"
    " and classid = %(high)s and objid = %(low)s and objsubid = 1),"
    " exists (select from pg_locks where relation = 'lode_raster.probability'::regclass and granted"
    " and mode = 'ShareUpdateExclusiveLock')"
)


@dataclass(frozen=True)
class Cost:
    """What a number of workers did, and what it cost the database; all but the first four are of one scene.

    Attributes:
        workers: how many there were.
        wall_s: from the requests to the last publication, seconds.
        scenes_per_hour: at that speed.
        mpx_per_s: million pixels a second.
        polygons: that were published, of one scene.
        worker_cpu_s: seconds of a processor of the workers and their engines.
        server_cpu_s: of the server's processes.
        accounting_s: seconds the accounting lock was held.
        attach_s: seconds the probabilities' parent was locked against other publications.
        either_s: seconds one or the other was.
        wal_mb: MB of write-ahead log.
        stored_mb: MB by which the database grew.
        pages_mb: MB of pages that the server looked at, in memory or on disk.

    """

    workers: int
    wall_s: float
    scenes_per_hour: float
    mpx_per_s: float
    polygons: float
    worker_cpu_s: float
    server_cpu_s: float
    accounting_s: float
    attach_s: float
    either_s: float
    wal_mb: float
    stored_mb: float
    pages_mb: float


class LockWatch:
    """Looks who holds the two locks, on a connection of its own, until told to stop."""

    def __init__(self, url: str) -> None:
        self.held_s = [0.0, 0.0, 0.0]
        self.cpu_s = 0.0
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="locks")

    def _look(self) -> None:
        key = {"high": ACCOUNTING_LOCK >> 32, "low": ACCOUNTING_LOCK & 0xFFFFFFFF}
        with connect(self._url, autocommit=True) as conn:
            pid, last = conn.info.backend_pid, time.perf_counter()
            while not self._stop.wait(SAMPLE_S):
                row = conn.execute(HELD, key).fetchone() or (False, False)
                now = time.perf_counter()
                for place, is_held in enumerate((row[0], row[1], row[0] or row[1])):
                    self.held_s[place] += (now - last) * is_held
                last = now
            self.cpu_s = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9

    def __enter__(self) -> LockWatch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def workers_at(url: str, count: int, folder: Path) -> Iterator[list[int]]:
    """So many workers, registered; the processes' numbers."""
    environment = {**os.environ, "LODE_DATABASE_URL": url, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lode", "worker", "--device", "cpu", "--queues", "inference"]
    started = []
    try:
        for number in range(count):
            with (folder / f"{count}-{number}.log").open("wb") as log:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        _wait(url, "select count(*) from lode.worker", count)
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()


def _wait(url: str, query: str, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with connect(url, autocommit=True) as conn:
        while (row := conn.execute(query.encode()).fetchone()) is None or row[0] < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {PATIENCE_S:.0f} s: {query} gives {row}, not {wanted}")
            time.sleep(0.05)


def family_cpu_s(pids: Sequence[int]) -> float:
    """Seconds of a processor that processes and their living children have used (proc(5), /proc/pid/stat)."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) in pids or int(fields[1]) in pids:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(url: str, count: int, scenes: int, side_px: int, folder: Path) -> Cost:
    """Have so many workers do all scenes of a database."""
    with connect(url, autocommit=True) as conn, workers_at(url, count, folder) as pids:
        postmaster = postmaster_id(conn)
        known = products(WARM * count + scenes)
        _publish(conn, url, known[: WARM * count], 0)
        before = _figures(conn)
        server_s, workers_s = server_cpu_s(postmaster), family_cpu_s(pids)
        with LockWatch(url) as watch:
            begun = time.perf_counter()
            _publish(conn, url, known[WARM * count :], WARM * count)
            wall_s = time.perf_counter() - begun
        server_s = server_cpu_s(postmaster) - server_s - watch.cpu_s
        workers_s = family_cpu_s(pids) - workers_s
        polygons = (conn.execute("select count(*) from lode.landcover").fetchone() or (0,))[0] / len(known)
        wal, size, pages = (
            (now - then) / scenes / 1e6 for now, then in zip(_figures(conn), before, strict=True)
        )
    accounting_s, attach_s, either_s = (seconds / scenes for seconds in watch.held_s)
    cost = Cost(
        *(count, wall_s, 3600 * scenes / wall_s, scenes * side_px**2 / wall_s / 1e6, polygons),
        *(workers_s / scenes, server_s / scenes, accounting_s, attach_s, either_s, wal, size, pages),
    )
    note(f"  {count} workers: {cost}")
    return cost


def _publish(conn: Connection[Any], url: str, wanted: Sequence[str], before: int) -> None:
    for product in wanted:
        conn.execute("select lode_api.request_inference(%s, %s)", (product, NETWORK))
    _wait(url, "select count(*) from lode.run where status = 'published'", before + len(wanted))


def _figures(conn: Connection[Any]) -> tuple[float, float, float]:
    """Bytes of write-ahead log, of the database, of pages looked at."""
    row = conn.execute(
        "select pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database()),"
        " (select 8192 * (blks_hit + blks_read) from pg_stat_database where datname = current_database())"
    ).fetchone()
    if row is None:
        raise RuntimeError("no figures")
    return float(row[0]), float(row[1]), float(row[2])


def table(costs: Sequence[Cost]) -> list[str]:
    """Lines of a table: a figure in each, a column for each number of workers."""
    columns = [asdict(cost) for cost in costs]
    return [f"{name:18}" + "".join(f"{column[name]:12.3f}" for column in columns) for name in columns[0]]


@click.command()
@click.option(
    "--workers", "counts", type=click.IntRange(min=1), multiple=True, default=(1, 2), show_default=True
)
@click.option("--scenes", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--side-px", type=click.IntRange(min=96), default=512, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
def main(counts: Sequence[int], scenes: int, side_px: int, out: Path) -> None:
    """Measure, print a table and, on the last line, the result as JSON."""
    costs = []
    with tempfile.TemporaryDirectory(prefix="lode-benchmark-") as folder:
        for count in counts:
            with benchmark_database() as url:
                fill_district(url, Path(folder), scenes=WARM * count + scenes, side_px=side_px)
                costs.append(measure(url, count, scenes, side_px, Path(folder)))
    print("\n".join(table(costs)), flush=True)
    serial_s = max(cost.either_s for cost in costs)
    result = {
        "benchmark": "workers",
        "measured": "scenes an hour by workers, and what a scene costs the database",
        "peer": "one worker",
        "ratio": round(costs[-1].scenes_per_hour / costs[0].scenes_per_hour, 2),
        "scene_mpx": side_px**2 / 1e6,
        "most_scenes_per_hour_by_locks": round(3600 / serial_s) if serial_s else None,
        "costs": [asdict(cost) for cost in costs],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "workers.json").write_text(json.dumps(result, indent=1) + "\n")
    report(result)


if __name__ == "__main__":
    main()
