"""The queue of jobs with 100,000 that wait: fetching, asking, cancelling, looking, reaping.

    python -m benchmarks.queue [--jobs 100000]

Fills a queue, then times what workers and analysts do with it: right
after it was filled, with no statistics; after ANALYZE; after half of the jobs were done, with everything that
leaves dead in the tables, since autovacuum is off; and beside a transaction that stays open meanwhile, as a
dump's does. Beside it, in the same run, procrastinate's own schema with a ``lock`` that all jobs share, the
way one would have them run one after the other: fetching from it looks at every job that waits.

Every figure is milliseconds of one call with its commit, on a server that does not wait for its disk. Ends with
a table, build/queue.json, and the same as JSON on the last line; exit code 1 names what misses its limit.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from procrastinate.schema import SchemaManager
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo

from benchmarks.measure import benchmark_database, note, report
from db.connection import connect

FETCH = "select id from lode_queue.procrastinate_fetch_job_v2(array['inference']::varchar[], %s)"
FINISH = "select lode_queue.procrastinate_finish_job_v1(%s, 'succeeded', false)"
ASK = "select lode_api.request_inference(%s, 'net')"
FIRST_ROWS = "select * from lode_api.queue order by priority desc, ogc_fid limit 100"

FETCH_LIMIT_MS, ASK_LIMIT_MS = 100.0, 10.0
REAP_LIMIT_MS = 500.0
"""A reaper runs every ten seconds in every worker: of twenty, one at a time, half of the seconds."""

FETCHES, ASKED, CANCELLED = 400, 200, 50
CONNECTIONS = 4
DEAD_WORKERS = 1000
ANALYST = "queue_analyst"
PEER_PATIENCE_S = 20.0


@dataclass
class Timings:
    """Milliseconds of calls, by what was called and in which state the queue was."""

    found: dict[str, tuple[float, float, int]] = field(default_factory=dict)

    def add(self, name: str, milliseconds: list[float]) -> None:
        """Enter the calls of one kind."""
        ordered = sorted(milliseconds)
        late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
        self.found[name] = (statistics.median(ordered), late, len(ordered))
        note(f"  {name}: median {self.found[name][0]:.2f} ms, 95 % {late:.2f} ms, {len(ordered)} calls")

    def table(self) -> list[str]:
        """Lines of a table."""
        width = max(map(len, self.found))
        lines = [f"{'':{width}}  {'median ms':>10}  {'95 % ms':>10}  {'calls':>6}"]
        for name, (middle, late, calls) in self.found.items():
            lines.append(f"{name:{width}}  {middle:10.2f}  {late:10.2f}  {calls:6}")
        return lines

    def rounded(self) -> dict[str, dict[str, float]]:
        """For ``report``."""
        return {
            name: {"median_ms": round(middle, 3), "p95_ms": round(late, 3), "calls": calls}
            for name, (middle, late, calls) in self.found.items()
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
        " '2021-06-01', st_geomfromtext('multipolygon(((87 43,88 43,88 44,87 43)))', 4326), 32645, 0, 0, 2, 2,"
        " 500, 500, '{a}', '8BUI', 'digital_number', 1, md5(n::text), 'map', 'tiles_' || n, 256"
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


def add_worker(conn: Connection[Any], *, silent_s: float = 0) -> int:
    """A worker that was heard of so many seconds ago."""
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


def timed(conn: Connection[Any], query: str, *arguments: object) -> float:
    """Milliseconds of a statement and its commit; it has to give a row with something in it."""
    begun = time.perf_counter()
    rows = conn.execute(query.encode(), arguments).fetchall()
    conn.commit()
    taken = 1000 * (time.perf_counter() - begun)
    if not rows or rows[0][0] is None:
        raise RuntimeError(f"nothing came back: {query}")
    return taken


def time_fetching(url: str, timings: Timings, state: str, *, connections: int = 1) -> None:
    """Time fetching, on several connections at once."""
    taken: list[float] = []
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
    timings.add(f"count of the queue, {state}", [timed(conn, "select count(*) from lode_api.queue")] * 1)
    timings.add(f"first 100 of the queue, {state}", [timed(conn, FIRST_ROWS) for _ in range(5)])
    found = conn.execute(
        "select run_id from lode_api.queue where status = 'waiting' order by ogc_fid desc limit %s",
        (CANCELLED,),
    ).fetchall()
    cancel = "select lode_api.cancel_run(%s)"
    timings.add(f"cancel a run, {state}", [timed(conn, cancel, run_id) for (run_id,) in found])
    timings.add(
        f"reap, nothing to do, {state}", [timed(conn, "select lode_api.reap_jobs(600)") for _ in range(5)]
    )
    silent = [add_worker(conn, silent_s=3600) for _ in range(DEAD_WORKERS)]
    for worker in silent:
        conn.execute(FETCH, (worker,))
        conn.commit()
    timings.add(f"reap {DEAD_WORKERS} dead workers, {state}", [timed(conn, "select lode_api.reap_jobs(600)")])


def work_off(conn: Connection[Any], jobs: int) -> None:
    """Do jobs as far as the queue is concerned; their runs count as published."""
    worker = add_worker(conn)
    begun = time.perf_counter()
    for _ in range(jobs):
        row = conn.execute(FETCH, (worker,)).fetchone()
        conn.commit()
        conn.execute(FINISH, row)
        conn.commit()
    # Without the triggers: there are no polygons to derive anything from.
    conn.execute("set session_replication_role = replica")
    conn.execute(
        "update lode.run r set status = 'published' from lode_queue.procrastinate_jobs j"
        " where j.status = 'succeeded' and r.run_id = (j.args ->> 'run_id')::integer and r.status <> 'published'"
    )
    conn.execute("reset session_replication_role")
    conn.commit()
    note(f"  {jobs} jobs done in {time.perf_counter() - begun:.1f} s")


@contextmanager
def open_snapshot(url: str) -> Iterator[None]:
    """A transaction that may still look at what is deleted meanwhile, as a dump's or a forgotten session's."""
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


def time_peer(url: str, jobs: int) -> tuple[float, bool]:
    """Median milliseconds to fetch from procrastinate's own schema with one lock; whether it was cut off."""
    with connect(url) as conn:
        conn.execute("create schema peer")
        conn.execute("set search_path = peer, pg_catalog")
        conn.execute(SchemaManager.get_schema().encode())
        conn.execute(
            "insert into procrastinate_jobs (queue_name, task_name, lock)"
            " select 'inference', 'interpret_run', 'one at a time' from generate_series(1, %s)",
            (jobs,),
        )
        conn.commit()
        _statement_alone(conn, "analyze peer.procrastinate_jobs")
        worker = _number(conn, "insert into procrastinate_workers default values returning id")
        conn.execute("select set_config('statement_timeout', %s, false)", (f"{PEER_PATIENCE_S}s",))
        conn.commit()
        query = "select id from procrastinate_fetch_job_v2(array['inference']::varchar[], %s)"
        taken = []
        for _ in range(3):
            try:
                begun = time.perf_counter()
                row = conn.execute(query, (worker,)).fetchone()
            except errors.QueryCanceled:
                return 1000 * PEER_PATIENCE_S, True
            taken.append(1000 * (time.perf_counter() - begun))
            note(f"  the peer fetched a job in {taken[-1]:.0f} ms")
            if row is None or row[0] is None:
                raise RuntimeError("the peer fetched nothing")
            conn.rollback()
        return statistics.median(taken), False


def missed(timings: Timings) -> list[str]:
    """What is slower than it may be."""
    limits: list[tuple[Callable[[str], bool], float]] = [
        (lambda name: name.startswith("fetch"), FETCH_LIMIT_MS),
        (lambda name: name.startswith("request"), ASK_LIMIT_MS),
        (lambda name: name.startswith("reap, nothing"), REAP_LIMIT_MS),
    ]
    return [
        f"{name}: {middle:.1f} ms, and {limit_ms:.0f} ms were allowed"
        for name, (middle, _late, _calls) in timings.found.items()
        for applies, limit_ms in limits
        if applies(name) and middle > limit_ms
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
        note("procrastinate's own schema, one lock for all")
        peer_ms, is_cut_off = time_peer(url, jobs)
    print("\n".join(timings.table()))
    print(f"the peer fetches one in {'more than ' if is_cut_off else ''}{peer_ms:.0f} ms", flush=True)
    slow = missed(timings)
    ours_ms = timings.found["fetch, analysed"][0]
    result = {
        "benchmark": "queue",
        "measured": f"milliseconds to fetch a job of {jobs}",
        "peer": "procrastinate's own schema with one lock for all jobs",
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
