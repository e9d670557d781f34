"""Fetching from procrastinate's own schema where jobs share a lock: the peer of ``benchmarks.queue``.

A lock has jobs run one after the other, and is the way to keep two workers off one scene that procrastinate's
documentation shows. Here the later a job was asked for, the more urgent it is, and one of them runs: fetching
then looks, for each job that waits, for the one that runs among all of them. Lode's jobs carry no lock; who
may publish is decided by tokens.
"""

from __future__ import annotations

import statistics
import time

from procrastinate.schema import SchemaManager
from psycopg import errors

from benchmarks.measure import note
from db.connection import connect

PATIENCE_S = 20.0
PEER_SHARE = 5
"""One peer's job for so many of ours: its time grows with the square."""

FETCH = "select id from procrastinate_fetch_job_v2(array['inference']::varchar[], %s)"


def time_peer(url: str, jobs: int) -> tuple[float, bool]:
    """Median milliseconds to look for a job, with statistics; whether it was cut off.

    Args:
        url: of a database; schema ``peer`` is made in it.
        jobs: how many wait.

    """
    with connect(url, autocommit=True) as conn:
        conn.execute("create schema peer")
        conn.execute("set search_path = peer, pg_catalog")
        conn.execute(SchemaManager.get_schema().encode())
        conn.execute(
            "insert into procrastinate_jobs (queue_name, task_name, lock, priority)"
            " select 'inference', 'interpret_run', 'one at a time', n from generate_series(1, %s) as n",
            (jobs,),
        )
        conn.execute("analyze procrastinate_jobs")
        worker = conn.execute("insert into procrastinate_workers default values returning id").fetchone()
        running = conn.execute(FETCH, worker).fetchone()
        if running != (jobs,):
            raise RuntimeError(f"the peer fetched job {running}, and the most urgent is {jobs}")
        conn.execute("select set_config('statement_timeout', %s, false)", (f"{PATIENCE_S}s",))
        taken = []
        for _ in range(3):
            begun = time.perf_counter()
            try:
                conn.execute(FETCH, worker)
            except errors.QueryCanceled:
                return 1000 * PATIENCE_S, True
            taken.append(1000 * (time.perf_counter() - begun))
            note(f"  the peer looked for a job for {taken[-1]:.0f} ms")
        return statistics.median(taken), False
