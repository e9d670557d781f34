"""The queue of jobs with 100,000 that wait: fetching, asking, cancelling, looking, reaping.

    python -m benchmarks.queue [--jobs 100000]

Fills a queue, then times what workers and analysts do with it: right after it was filled, with no
statistics; after ANALYZE; after half of the jobs were done, with everything that leaves dead in the tables,
since autovacuum is off; and beside a transaction that stays open meanwhile, as a dump's does. Beside it, in
the same run, ``benchmarks.queue_peer``: procrastinate's own schema with a fifth of the jobs, of one lock.

Every figure is milliseconds of one call with its commit, on a server that does not wait for its disk; how
long the call kept a processor busy stands beside it, which does not depend on what else the machine does.
Ends with a table, build/queue.json, and the same as JSON on the last line; exit code 1 names what misses its
limit.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo

from benchmarks.measure import benchmark_database, note, report
from benchmarks.queue_peer import PEER_SHARE, time_peer
from db.connection import connect

FETCH = "select id from lode_queue.procrastinate_fetch_job_v2(array['inference']::varchar[], %s)"
ASK = "select lode_api.request_inference(%s, 'net')"
REAP = "select lode_api.reap_jobs(10)"
FIRST_ROWS = "select * from lode_api.queue order by priority desc, ogc_fid limit 100"

FETCH_LIMIT_MS, ASK_LIMIT_MS = 100.0, 10.0
REAP_LIMIT_MS = 100.0
"""Every worker reaps every ten seconds: twenty would keep a processor busy for a fifth of the time."""
SWEEP_LIMIT_MS = 5000.0
"""Once a minute, whoever does it."""

FETCHES, ASKED, CANCELLED = 400, 200, 50
CONNECTIONS = 4
DEAD_WORKERS = 1000
AT_ONCE = 500
"""Jobs done in a transaction where many are to be done."""
ANALYST = "queue_analyst"
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Call:
    """Milliseconds of a call: on the clock, and of a processor in its backend; whether it was cut off."""

    wall_ms: float
    cpu_ms: float
    is_cut_off: bool = False


@dataclass(frozen=True)
class Calls:
    """What many calls of one kind took, milliseconds."""

    median_ms: float
    p95_ms: float
    cpu_ms: float
    count: int
    is_cut_off: bool


@dataclass
class Timings:
    """Calls, by what was called and in which state the queue was."""

    found: dict[str, Calls] = field(default_factory=dict)

    def add(self, name: str, calls: list[Call]) -> None:
        """Enter the calls of one kind."""
        wall = sorted(call.wall_ms for call in calls)
        entered = self.found[name] = Calls(
            statistics.median(wall),
            wall[min(len(wall) - 1, int(0.95 * len(wall)))],
            statistics.fmean(call.cpu_ms for call in calls),
            len(calls),
            any(call.is_cut_off for call in calls),
        )
        note(f"  {name}: median {entered.median_ms:.2f} ms, {entered.cpu_ms:.2f} ms of a processor")

    def table(self) -> list[str]:
        """Lines of a table."""
        width = max(map(len, self.found))
        lines = [f"{'':{width}}  {'median ms':>10}  {'95 % ms':>10}  {'CPU ms':>10}  {'calls':>6}"]
        for name, of in self.found.items():
            more = "  cut off" if of.is_cut_off else ""
            lines.append(
                f"{name:{width}}  {of.median_ms:10.2f}  {of.p95_ms:10.2f}  {of.cpu_ms:10.2f}"
                f"  {of.count:6}{more}"
            )
        return lines

    def rounded(self) -> dict[str, dict[str, float]]:
        """For ``report``."""
        return {
            name: {key: round(value, 3) for key, value in asdict(calls).items()}
            for name, calls in self.found.items()
        }


def fill(conn: Connection[Any], jobs: int) -> None:
    """A network, as many scenes as shall be asked for and some more, and a request for each of the first."""
    conn.execute(
        "insert into lode.model (name, task, architecture, options, class_codes, mapped_codes, band_names,"
        " resolution_m, tile_px, normalisation, training, history, metrics, versions) values ('net',"
        " 'segmentation', '-', '{}', '{0}', '{0}', '{a}', 2, 64, '{}', '{}', '[]', '{}', '{}')"
    )
    conn.execute(
        "insert into lode.scene (product, sensor_id, acquired_on, footprint, srid, origin_x, origin_y,"
        " resolution_m, resolution_y_m, width_px, height_px, band_names, pixel_type, processing_level,"
        " valid_fraction, sha256, source_name, tile_table, tile_px) select 'scene ' || n, s.sensor_id,"
        " '2021-06-01', st_geomfromtext('multipolygon(((87 43,88 43,88 44,87 43)))', 4326), 32645, 0, 0, 2,"
        " 2, 500, 500, '{a}', '8BUI', 'digital_number', 1, md5(n::text), 'map', 'tiles_' || n, 256"
        " from generate_series(1, %s) as n, (select sensor_id from lode.sensor limit 1) as s",
        (jobs + 10 * (ASKED + 1),),
    )
    # Whoever has no quota: schedules ask for most of it.
    conn.execute("insert into lode.quota values (session_user, null, null)")
    conn.commit()
    begun = time.perf_counter()
    # As lode_api.ask_run and put_in_queue write them, all at once: one by one they take minutes.
    conn.execute(
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest, requested_at, queued_at)"
        " select s.scene_id, m.model_id, p, encode(sha256(convert_to(p::text, 'UTF8')), 'hex'),"
        " now() - interval '1 hour', now() - interval '1 hour' from lode.model m,"
        " lode_api.run_parameters(m.model_id, null) as p, (select * from lode.scene order by scene_id"
        " limit %s) as s order by s.scene_id",
        (jobs,),
    )
    conn.execute(
        "insert into lode.run_block (run_id, block, first_row_px, row_count_px)"
        " select run_id, 0, 0, 500 from lode.run order by run_id"
    )
    conn.execute(
        "select lode_queue.procrastinate_defer_jobs_v1(array_agg(row('inference', 'interpret_run', 0, null,"
        " 'run ' || run_id, jsonb_build_object('run_id', run_id), null)"
        "::lode_queue.procrastinate_job_to_defer_v1 order by run_id)) from lode.run group by run_id / 1000"
        " order by run_id / 1000"
    )
    conn.commit()
    note(f"  {jobs} runs put into the queue in {time.perf_counter() - begun:.1f} s")


def add_worker(conn: Connection[Any], *, silent_s: float = -86400) -> int:
    """A worker that was heard of so many seconds ago; else one that lives all day."""
    return _number(
        conn,
        "insert into lode_queue.procrastinate_workers (last_heartbeat)"
        " values (now() - make_interval(secs => %s)) returning id",
        silent_s,
    )


def _number(conn: Connection[Any], query: str, *arguments: object) -> int:
    row = conn.execute(query.encode(), arguments).fetchone()
    if row is None:
        raise RuntimeError(f"no row: {query}")
    conn.commit()
    return int(row[0])


def timed(conn: Connection[Any], query: str, *arguments: object) -> Call:
    """Time a statement and its commit; it has to give a row with something in it."""
    cpu_ms, begun = _cpu_ms(conn), time.perf_counter()
    try:
        rows = conn.execute(query.encode(), arguments).fetchall()
        conn.commit()
    except errors.QueryCanceled:
        conn.rollback()
        return Call(1000 * (time.perf_counter() - begun), _cpu_ms(conn) - cpu_ms, is_cut_off=True)
    call = Call(1000 * (time.perf_counter() - begun), _cpu_ms(conn) - cpu_ms)
    if not rows or rows[0][0] is None:
        raise RuntimeError(f"nothing came back: {query}")
    return call


def _cpu_ms(conn: Connection[Any]) -> float:
    """Milliseconds of a processor that a backend has used (Linux: sched-stats.rst, /proc/pid/schedstat)."""
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def time_fetching(url: str, timings: Timings, state: str, *, connections: int = 1) -> None:
    """Time fetching, on several connections at once."""
    taken: list[Call] = []
    faults: list[BaseException] = []

    def fetch() -> None:
        try:
            with connect(url) as conn:
                worker = add_worker(conn)
                taken.extend(timed(conn, FETCH, worker) for _ in range(FETCHES // connections))
        except BaseException as error:  # raised again in the thread that waits
            faults.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    where = "" if connections == 1 else f" on each of {connections} connections at once"
    timings.add(f"fetch{where}, {state}", taken)


class Fresh:
    """Names of scenes that nobody asked for yet."""

    def __init__(self, first: int) -> None:
        self._next = first

    def take(self, count: int) -> list[str]:
        """So many of them."""
        first, self._next = self._next, self._next + count
        return [f"scene {n}" for n in range(first, first + count)]


def time_asking(conn: Connection[Any], analyst: Connection[Any], timings: Timings, fresh: Fresh) -> None:
    """Time requests of new scenes, by who has no quota and by who has one, and of scenes asked for."""
    timings.add("request", [timed(conn, ASK, scene) for scene in fresh.take(ASKED)])
    mine = fresh.take(ASKED)
    timings.add("request within a quota", [timed(analyst, ASK, scene) for scene in mine])
    timings.add("request again", [timed(analyst, ASK, scene) for scene in mine])


def time_the_rest(conn: Connection[Any], timings: Timings, state: str) -> None:
    """Time what is done rarely: looking, cancelling, reaping."""
    conn.execute("select set_config('statement_timeout', %s, false)", (f"{PATIENCE_S}s",))
    conn.commit()
    timings.add(f"count of the queue, {state}", [timed(conn, "select count(*) from lode_api.queue")])
    timings.add(f"first 100 of the queue, {state}", [timed(conn, FIRST_ROWS) for _ in range(5)])
    found = conn.execute(
        "select run_id from lode_api.queue where status = 'waiting' order by ogc_fid desc limit %s",
        (CANCELLED,),
    ).fetchall()
    cancel = "select lode_api.cancel_run(%s)"
    timings.add(f"cancel a run, {state}", [timed(conn, cancel, run_id) for (run_id,) in found])
    timings.add(f"reap, nothing to do, {state}", [timed(conn, REAP) for _ in range(5)])
    _sweep_is_due(conn)
    timings.add(f"reap and sweep, {state}", [timed(conn, REAP)])
    for _ in range(DEAD_WORKERS):
        conn.execute(FETCH, (add_worker(conn, silent_s=3600),))
        conn.commit()
    timings.add(f"reap {DEAD_WORKERS} dead workers, {state}", [timed(conn, REAP)])
    conn.execute("reset statement_timeout")
    conn.commit()


def _sweep_is_due(conn: Connection[Any]) -> None:
    conn.execute("update lode.sweep set swept_at = '-infinity'")
    conn.commit()


def work_off(conn: Connection[Any], jobs: int) -> None:
    """Do jobs as far as the queue is concerned; their runs count as published."""
    worker = add_worker(conn)
    begun = time.perf_counter()
    for first in range(0, jobs, AT_ONCE):
        conn.execute(
            "select lode_queue.procrastinate_finish_job_v1(j.id, 'succeeded', false)"
            " from generate_series(1, %s) as n, lateral (select id from"
            " lode_queue.procrastinate_fetch_job_v2(array['inference']::varchar[], %s + 0 * n)) as j",
            (min(AT_ONCE, jobs - first), worker),
        )
        conn.commit()
    # Without the triggers: there are no polygons to derive anything from.
    conn.execute("set session_replication_role = replica")
    conn.execute(
        "update lode.run r set status = 'published' from lode_queue.procrastinate_jobs j"
        " where j.status = 'succeeded' and r.run_id = (j.args ->> 'run_id')::integer"
        " and r.status <> 'published'"
    )
    conn.execute("reset session_replication_role")
    conn.commit()
    note(f"  {jobs} jobs done in {time.perf_counter() - begun:.1f} s")


@contextmanager
def open_snapshot(url: str) -> Iterator[None]:
    """A transaction that may still look at what is deleted meanwhile, as a dump's may."""
    with connect(url) as other:
        other.execute("set transaction isolation level repeatable read")
        other.execute("select from lode.run limit 1")
        yield
        other.rollback()


def time_ours(url: str, jobs: int) -> Timings:
    """Fill our queue and time it, state by state."""
    timings = Timings()
    with connect(url) as conn:
        fill(conn, jobs)
        conn.execute(f"create role {ANALYST} login in role lode_analyst")
        conn.commit()
        with connect(make_conninfo(url, user=ANALYST)) as analyst:
            fresh = Fresh(jobs + 1)
            for state in ("just filled", "analysed"):
                if state == "analysed":
                    _statement_alone(conn, "analyze")
                time_fetching(url, timings, state)
                time_fetching(url, timings, state, connections=CONNECTIONS)
                if state == "just filled":
                    time_asking(conn, analyst, timings, fresh)
                time_the_rest(conn, timings, state)
        work_off(conn, jobs // 2)
        state = f"{jobs // 2} done, never vacuumed"
        time_fetching(url, timings, state)
        time_the_rest(conn, timings, state)
        with open_snapshot(url):
            work_off(conn, jobs // 10)
            time_fetching(url, timings, f"{jobs // 10} done beside an open transaction")
    return timings


def _statement_alone(conn: Connection[Any], statement: str) -> None:
    conn.commit()
    conn.autocommit = True
    conn.execute(statement.encode())
    conn.autocommit = False


def missed(timings: Timings) -> list[str]:
    """What is slower than it may be."""
    limits = (
        ("fetch", FETCH_LIMIT_MS),
        ("request", ASK_LIMIT_MS),
        ("reap, nothing", REAP_LIMIT_MS),
        ("reap and sweep", SWEEP_LIMIT_MS),
    )
    return [
        f"{name}: {calls.median_ms:.1f} ms, and {limit_ms:.0f} ms were allowed"
        for name, calls in timings.found.items()
        for start, limit_ms in limits
        if name.startswith(start) and calls.median_ms > limit_ms
    ]


@click.command()
@click.option("--jobs", type=click.IntRange(min=10_000), default=100_000, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("build"), show_default=True)
def main(jobs: int, out: Path) -> None:
    """Measure, print a table and, on the last line, the result as JSON."""
    with benchmark_database() as url:
        with connect(url) as conn:
            _statement_alone(conn, "alter system set autovacuum = off")
            _statement_alone(conn, "select pg_reload_conf()")
        note(f"{jobs} jobs")
        timings = time_ours(url, jobs)
        note("procrastinate's own schema, jobs of one lock")
        peer_ms, is_cut_off = time_peer(url, jobs // PEER_SHARE)
    print("\n".join(timings.table()))
    print(f"the peer fetches one in {'more than ' if is_cut_off else ''}{peer_ms:.0f} ms", flush=True)
    slow = missed(timings)
    ours_ms = timings.found["fetch, analysed"].median_ms
    result = {
        "benchmark": "queue",
        "measured": f"milliseconds to fetch a job of {jobs}",
        "peer": f"procrastinate's own schema with {jobs // PEER_SHARE} jobs of one lock, one of them running",
        "ratio": round(peer_ms / ours_ms, 1),
        "peer_ms": round(peer_ms, 1),
        "peer_is_cut_off": is_cut_off,
        "calls": timings.rounded(),
        "too_slow": slow,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "queue.json").write_text(json.dumps(result, indent=1) + "\n")
    report(result)
    for line in slow:
        note(f"too slow: {line}")
    if slow:
        sys.exit(1)


if __name__ == "__main__":
    main()
