"""A queue of 20,000 jobs: what workers and analysts do with it takes no longer than it does with a few.

Everything is measured by what it keeps a processor busy, in queries that read one row by its key, so that a
busy or slow machine does not matter; the queue has no statistics, as right after a campaign was asked for.
``python -m benchmarks.queue`` has the milliseconds at 100,000.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from db.connection import connect
from tests.catalogue_rows import add_model, add_scene
from tests.db.queue_rows import add_worker
from tests.grids import cells

JOBS = 20_000
FETCH = "select id from lode_queue.procrastinate_fetch_job_v2(array['inference']::varchar[], %s)"
ASKER = "speed_asker"


@pytest.fixture
def filled(conn: Connection[Any]) -> Connection[Any]:
    """As many runs asked for an hour ago, and scenes that nobody asked for yet; no statistics."""
    add_model(conn, "net")
    add_scene(conn, "first", date(2022, 6, 1), cells("xx\nxx", "x"))
    # Autovacuum could come between, and analyse.
    for table in ("lode.run", "lode.run_block", "lode_queue.procrastinate_jobs"):
        conn.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
    conn.execute(
        "insert into lode.scene (product, sensor_id, acquired_on, footprint, srid, origin_x, origin_y,"
        " resolution_m, resolution_y_m, width_px, height_px, band_names, pixel_type, processing_level,"
        " valid_fraction, sha256, source_name, tile_table, tile_px) select 's' || n, sensor_id, acquired_on,"
        " footprint, srid, origin_x, origin_y, resolution_m, resolution_y_m, width_px, height_px, band_names,"
        " pixel_type, processing_level, valid_fraction, md5(n::text), source_name, 't' || n, tile_px"
        " from lode.scene, generate_series(1, %s) as n where product = 'first'",
        (JOBS + 1000,),
    )
    conn.execute(
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest, requested_at, queued_at)"
        " select s.scene_id, m.model_id, p, encode(sha256(convert_to(p::text, 'UTF8')), 'hex'),"
        " now() - interval '1 hour', now() - interval '1 hour' from lode.model m,"
        " lode_api.run_parameters(m.model_id, null) as p,"
        " (select scene_id from lode.scene order by scene_id limit %s) as s order by s.scene_id",
        (JOBS,),
    )
    conn.execute(
        "insert into lode.run_block (run_id, block, first_row_px, row_count_px)"
        " select run_id, 0, 0, 10 from lode.run"
    )
    conn.execute(
        "select lode_queue.procrastinate_defer_jobs_v1(array_agg(row('inference', 'interpret_run', 0, null,"
        " 'run ' || run_id, jsonb_build_object('run_id', run_id), null)"
        "::lode_queue.procrastinate_job_to_defer_v1 order by run_id)) from lode.run"
    )
    conn.commit()
    return conn


def busy_s(conn: Connection[Any]) -> float:
    """Seconds that a processor was busy with a session so far."""
    return int(Path(f"/proc/{conn.info.backend_pid}/schedstat").read_text().split()[0]) / 1e9


def median_s(
    conn: Connection[Any], query: str, arguments: Callable[[int], tuple[object, ...]], calls: int
) -> float:
    """Seconds of a processor for a statement with its commit; it has to give something."""
    taken = []
    for number in range(calls):
        before = busy_s(conn)
        row = conn.execute(query.encode(), arguments(number)).fetchone()
        conn.commit()
        taken.append(busy_s(conn) - before)
        assert row is not None
        assert row[0] is not None, query
    return statistics.median(taken)


def trivial_s(conn: Connection[Any]) -> float:
    """The same of a query that reads one row by its key."""
    run_id = conn.execute("select max(run_id) from lode.run").fetchone()
    query = "select scene_id from lode.run where run_id = %s"
    return median_s(conn, query, lambda _number: run_id or (), 200)


def times_trivial(
    conn: Connection[Any],
    query: str,
    arguments: Callable[[int], tuple[object, ...]] = lambda _number: (),
    *,
    calls: int = 30,
    at: Connection[Any] | None = None,
) -> float:
    """How many trivial queries long a statement takes, by the better of two tries."""
    found = min(median_s(at or conn, query, arguments, calls) / trivial_s(conn) for _ in range(2))
    print(f"{query}: {found:.1f}")
    return found


def test_fetching_does_not_look_at_all_that_wait(filled: Connection[Any]) -> None:
    worker = add_worker(filled)
    filled.commit()
    assert times_trivial(filled, FETCH, lambda _number: (worker,)) < 50
    fetched = filled.execute(
        "select array_agg(id order by id) from lode_queue.procrastinate_jobs where status = 'doing'"
    ).fetchone()
    assert fetched == (list(range(1, 61)),)  # who came first goes first


def test_requests_by_sql_do_not_either(filled: Connection[Any], database_url: str) -> None:
    filled.execute(f"create role {ASKER} login in role lode_analyst".encode())
    filled.commit()
    scenes = iter(range(JOBS, JOBS + 1000))
    ask = "select lode_api.request_inference(%s, 'net')"
    try:
        with connect(make_conninfo(database_url, user=ASKER)) as asker:
            new = times_trivial(filled, ask, lambda _number: (f"s{next(scenes)}",), at=asker)
            again = times_trivial(filled, ask, lambda _number: ("s20000",), at=asker)
        assert new < 120
        assert again < 80
        row = filled.execute("select count(*) from lode.run where requested_by = %s", (ASKER,)).fetchone()
        assert row == (60,)
    finally:
        filled.rollback()
        filled.execute(f"drop owned by {ASKER}".encode())
        filled.execute(f"drop role {ASKER}".encode())
        filled.commit()


def test_cancelling_and_the_next_100_do_not_either(filled: Connection[Any]) -> None:
    runs = filled.execute("select run_id from lode.run order by run_id desc limit 60").fetchall()
    todo = iter(runs)
    assert times_trivial(filled, "select lode_api.cancel_run(%s)", lambda _number: next(todo)) < 60
    query = "select * from lode_api.queue order by priority desc, ogc_fid limit 100"
    assert times_trivial(filled, query, calls=5) < 200


def test_reaping_is_over_soon(filled: Connection[Any]) -> None:
    for _ in range(200):
        filled.execute(FETCH, (add_worker(filled, silent_s=3600),))
    filled.execute("update lode.sweep set swept_at = '-infinity'")
    filled.commit()
    filled.execute("set statement_timeout = '30s'")  # as a worker's; a join over all pairs takes minutes
    assert filled.execute("select lode_api.reap_jobs(2)").fetchone() == (200,)
    filled.commit()
    waiting = filled.execute(
        "select count(*) from lode_queue.procrastinate_jobs where status = 'todo'"
    ).fetchone()
    assert waiting == (JOBS,)
    assert filled.execute("select count(*) from lode.worker").fetchone() == (0,)
    assert times_trivial(filled, "select lode_api.reap_jobs(2)", calls=5) < 50
