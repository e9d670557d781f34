"""What `lode db check` says of the schema, of raster tables and of work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from db import runs
from db.checks import CheckResult, Limits, check_lines, run_checks
from db.checks.result import Check, Found, run_check
from db.connection import connect
from db.embedded import Cluster
from db.qgis.styles import install_styles
from tests.catalogue_rows import add_model, add_scene
from tests.conftest import RunLode, copied_database
from tests.db.queue_rows import add_job, add_worker
from tests.grids import cells
from tests.rasters import noise, write_table


def said(conn: Connection[Any], title: str, limits: Limits | None = None) -> CheckResult:
    [result] = [result for result in run_checks(conn, limits) if title in result.title]
    return result


@pytest.fixture(scope="module")
def stocked_database(cluster: Cluster, template_database: str) -> Iterator[str]:
    """Name of a database with a scene and its tiles, an interpretation that runs, and styles."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as conn:
            scene = add_scene(conn, "one", date(2022, 6, 1), cells("xx", "x"))
            model = add_model(conn, "net")
            write_table(conn, noise("uint16", 4, 150, 150), owner_id=scene, nodata=0, table="drawn_one")
            run = runs.request_interpretation(conn, scene, model)
            runs.claim_run(conn, run.run_id, device="drawn", versions={})
            install_styles(conn)
            name = conn.info.dbname
        yield name


@pytest.fixture
def database_url(cluster: Cluster, stocked_database: str) -> Iterator[str]:
    with copied_database(cluster, stocked_database) as url:
        yield url


@pytest.fixture
def stocked(conn: Connection[Any]) -> Connection[Any]:
    install_styles(conn)  # QGIS knows them by the name of the database
    conn.commit()
    return conn


def test_a_sound_database_has_no_fault(stocked: Connection[Any], run_lode: RunLode) -> None:
    add_job(stocked, "doing", worker=add_worker(stocked), run_id=1)
    stocked.commit()
    results = run_checks(stocked)
    assert [result for result in results if result.faults] == []
    assert len({result.title for result in results}) == len(results) >= 20
    done = run_lode("db", "check")
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout


def test_checks_change_nothing_and_leave_the_session_as_it_was(stocked: Connection[Any]) -> None:
    stocked.execute("set statement_timeout = '7s'")
    stocked.commit()
    run_checks(stocked)
    assert stocked.execute("show statement_timeout").fetchone() == ("7s",)
    assert stocked.execute("select pg_current_xact_id_if_assigned()").fetchone() == (None,)


def test_a_run_with_neither_job_nor_process_is_lost(stocked: Connection[Any], database_url: str) -> None:
    title = "left half done"
    assert said(stocked, title).faults[0].startswith("run 1, started ")
    with connect(database_url) as worker, runs.working_on(worker, 1):
        assert said(stocked, title).faults == []
    for status in ("todo", "doing"):
        with stocked.transaction(force_rollback=True):
            add_job(stocked, status, run_id=1)
            assert said(stocked, title).faults == []
            add_job(stocked, status, run_id=2)
    add_job(stocked, "failed", run_id=1)
    add_job(stocked, "todo", run_id=2)
    assert len(said(stocked, title).faults) == 1


def test_the_lock_of_another_database_is_no_process_of_this_one(
    stocked: Connection[Any], postgis_url: str
) -> None:
    with connect(postgis_url) as other, runs.working_on(other, 1):
        assert len(said(stocked, "left half done").faults) == 1


def test_a_run_that_nobody_will_take_up_is_told(stocked: Connection[Any]) -> None:
    stocked.execute("update lode.run set status = 'requested', requested_at = now() - interval '2 hours'")
    result = said(stocked, "left half done")
    assert (result.faults, len(result.warnings)) == ([], 1)
    stocked.execute("update lode.run set requested_at = now() - interval '2 minutes'")
    assert said(stocked, "left half done").warnings == []


def test_jobs_of_dead_workers_are_stuck(stocked: Connection[Any]) -> None:
    alive, silent = add_worker(stocked, silent_s=30), add_worker(stocked, silent_s=600)
    add_job(stocked, "doing", worker=alive, ago_s=5000, run_id=1)
    held = add_job(stocked, "doing", worker=silent, ago_s=5000, run_id=1)
    gone = add_job(stocked, "doing", worker=None, ago_s=5000, queue="ingest", task="scan_source")
    add_job(stocked, "doing", worker=None, ago_s=5, run_id=1)  # its worker was swept just now
    assert said(stocked, "stuck").faults == [
        f"job {held} (interpret_run in queue inference) is stuck: its worker has been silent for 10 min",
        f"job {gone} (scan_source in queue ingest) is stuck: its worker is gone",
    ]


def test_jobs_that_wait_for_days_are_told(stocked: Connection[Any]) -> None:
    add_job(stocked, "todo", ago_s=3 * 86400, run_id=1)
    add_job(stocked, "todo", run_id=1)
    title = "waits for long"
    assert said(stocked, title).faults == [
        "queue inference: 2 jobs wait, the first of them for 3 days, and no worker that lives takes from it"
    ]
    add_worker(stocked, queues=("ingest",))
    assert len(said(stocked, title).faults) == 1
    add_worker(stocked, queues=("ingest", "inference"))
    result = said(stocked, title)
    assert (result.faults, len(result.warnings)) == ([], 1)
    # What is due later does not wait.
    stocked.execute("update lode_queue.procrastinate_jobs set scheduled_at = now() + interval '1 hour'")
    assert said(stocked, title).warnings == []
    stocked.execute("update lode_queue.procrastinate_jobs set scheduled_at = now() - interval '1 hour'")
    assert said(stocked, title).warnings == [], "since it was due"


def test_failures_of_the_last_day_are_warnings_with_their_reason(stocked: Connection[Any]) -> None:
    add_job(stocked, "failed", run_id=1)
    stocked.execute(
        "update lode.run set status = 'failed', finished_at = '2026-01-02 03:04Z',"
        " error = 'a cloud\nin the way'"
    )
    other = add_job(stocked, "failed", queue="ingest", task="scan_source", ingest_source_id=7, secret=1)
    old = add_job(stocked, "failed", ago_s=2 * 86400, queue="ingest", task="scan_source")
    result = said(stocked, "failed lately")
    assert [line[:42] for line in result.warnings] == [
        f"job {other} (scan_source of ingest_source 7) fail"[:42]
    ]
    stocked.execute("update lode.run set finished_at = now()")
    result = said(stocked, "failed lately")
    assert len(result.warnings) == 2
    assert result.warnings[1].startswith("run 1 of scene one failed 20")
    assert result.warnings[1].endswith(": a cloud")
    assert result.faults == []
    assert not any(f"job {old} " in line for line in result.warnings)


def test_failed_items_and_sources_are_told_with_their_reason(stocked: Connection[Any]) -> None:
    row = stocked.execute(
        "insert into lode.ingest_source (name, kind, location, last_error)"
        " values ('s2', 'stac_api', 'https://example.org/stac', 'no answer') returning ingest_source_id"
    ).fetchone()
    assert row is not None
    item = stocked.execute(
        "insert into lode.ingest_item (ingest_source_id, item_key, mark, href, status, error, updated_at)"
        " values (%s, 'S2/1', 'm', 'x', 'failed', 'no bands', now()) returning ingest_item_id",
        row,
    ).fetchone()
    assert item is not None
    add_job(stocked, "failed", queue="ingest", task="ingest_item", ingest_item_id=item[0])
    one, other = said(stocked, "failed lately").warnings
    assert one.startswith("item S2/1 of source s2 failed 20")
    assert one.endswith(": no bands"), "and its job is not told a second time"
    assert other == "source s2 cannot be looked through: no answer"
    stocked.execute("update lode.ingest_source set enabled = false")
    stocked.execute("update lode.ingest_item set updated_at = now() - interval '25 hours'")
    assert said(stocked, "failed lately").warnings == []


def test_staging_of_ended_runs_is_left_over(stocked: Connection[Any]) -> None:
    title = "left in staging"
    stocked.execute(
        "insert into lode.run_stage (run_id, block, row_px, class_map, probability)"
        " select 1, block, n, '\\x00', '\\x0000' from lode.run_block, generate_series(0, 2) n"
        " where run_id = 1 and block = 0"
    )
    assert said(stocked, title).faults == []
    for status in ("failed", "cancelled", "published"):
        stocked.execute("update lode.run set status = %s", (status,))
        [fault] = said(stocked, title).faults
        assert fault.startswith(f"run 1 is {status}, but 3 pieces of it (")


def test_tables_that_nobody_knows_are_told(stocked: Connection[Any]) -> None:
    title = "belongs to a scene, run, layer or search"
    assert said(stocked, title).warnings == []
    for run in (1, 77):
        write_table(
            stocked, noise("uint8", 2, 70, 90), owner_id=run, nodata=255, parent="probability",
            table=f"probability_{run}",
        )  # fmt: skip
    write_table(stocked, noise("uint8", 2, 70, 90), owner_id=99, nodata=255, table="drawn_lost")
    stocked.execute("create table lode_raster.notes (note text)")
    assert said(stocked, title).warnings == [
        "drawn_lost holds the tiles of scene 99, which is gone or has others",
        "notes is no raster table",
        "probability_1 holds the probabilities of run 1, which is running",
        "probability_77 holds the probabilities of run 77, which is gone",
    ]
    assert said(stocked, title).faults == []


def test_scenes_without_their_tiles_are_faults(stocked: Connection[Any]) -> None:
    title = "Every scene, layer and search has its tiles"
    for damage, expected in (
        ("alter table lode_raster.scene_tile detach partition lode_raster.drawn_one",
         "scene one: its tile table lode_raster.drawn_one is no part of lode_raster.scene_tile"),
        ("update lode.scene set tile_table = 'drawn_two'",
         "scene one: its tile table lode_raster.drawn_two is gone"),
        ("drop table lode_raster.probability", "the partitioned table lode_raster.probability is gone"),
    ):  # fmt: skip
        with stocked.transaction(force_rollback=True):
            assert said(stocked, title).faults == []
            stocked.execute(damage)
            assert said(stocked, title).faults == [expected]


@pytest.mark.parametrize("table", ["drawn_one", "o_2_drawn_one"])
@pytest.mark.parametrize("how", ["vacuum full {}", "cluster {} using {}_pkey"])
def test_a_rewritten_raster_table_is_found(stocked: Connection[Any], table: str, how: str) -> None:
    title = "has its key, index and constraints"
    stocked.autocommit = True
    stocked.execute(f"vacuum (analyze) lode_raster.{table}")
    assert said(stocked, title).faults == []
    stocked.execute(how.replace("{}", f"lode_raster.{table}", 1).replace("{}", table))
    [fault] = said(stocked, title).faults
    assert fault.startswith(f"{table}: it was rewritten (VACUUM FULL, CLUSTER or ALTER TABLE)")


def test_the_command_ends_with_1_and_says_what_to_do(stocked: Connection[Any], database_url: str) -> None:
    stocked.autocommit = True
    stocked.execute("vacuum full lode_raster.drawn_one")
    done = subprocess.run(
        [sys.executable, "-m", "lode", "db", "check"],
        capture_output=True, text=True, check=False, env={**os.environ, "LODE_DATABASE_URL": database_url},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert (
        "FAIL  Every raster table has its key, index and constraints\n        drawn_one: it was"
        in done.stdout
    )
    assert "hint: never VACUUM FULL" in done.stdout


def test_invalid_indexes_are_found(stocked: Connection[Any]) -> None:
    stocked.autocommit = True
    stocked.execute("insert into lode.quota (role_name) values ('a'), ('b')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        stocked.execute("create unique index concurrently broken_idx on lode.quota ((left(role_name, 0)))")
    assert said(stocked, "Every index is valid").faults == [
        "index lode.broken_idx of lode.quota is not valid and is not used"
    ]
    stocked.execute("drop index lode.broken_idx")
    assert said(stocked, "Every index is valid").faults == []


def test_open_raster_settings_are_found(stocked: Connection[Any], database_url: str) -> None:
    title = "reads no files"
    stocked.execute("set postgis.gdal_enabled_drivers = 'GTiff'")
    stocked.execute("set postgis.enable_outdb_rasters = on")
    assert said(stocked, title).faults == [
        "postgis.gdal_enabled_drivers is 'GTiff': it must be 'DISABLE_ALL'",
        "postgis.enable_outdb_rasters is 'on': it must be 'off'",
    ]
    stocked.rollback()
    name = stocked.info.dbname
    stocked.execute(f"alter database {name} set postgis.gdal_enabled_drivers = 'ENABLE_ALL'")
    assert said(stocked, title).faults == [
        f"postgis.gdal_enabled_drivers is 'ENABLE_ALL' for every role in {name}: it must be 'DISABLE_ALL'"
    ]


def test_a_schema_of_another_version_is_found_and_nothing_else_is_looked_at(
    stocked: Connection[Any],
) -> None:
    for revision, expected in (
        ("0014", "the schema is at 0014, this Lode needs "),
        ("9999", "the schema is at 9999, this Lode ("),
    ):
        stocked.execute("update lode.alembic_version set version_num = %s", (revision,))
        results = run_checks(stocked)
        assert len(results) == 2
        [fault] = results[1].faults
        assert fault.startswith(expected)


def test_a_queue_of_a_newer_procrastinate_is_found(stocked: Connection[Any]) -> None:
    stocked.execute("insert into lode_queue.migration (name) values ('99.00.00_01_pre_later.sql')")
    [fault] = said(stocked, "procrastinate").faults
    assert "99.00.00_01_pre_later.sql" in fault
    stocked.execute("drop table lode_queue.migration")
    assert said(stocked, "procrastinate").faults == ["there is no queue"]


def test_an_old_library_is_found(stocked: Connection[Any]) -> None:
    """As after an upgrade of the server's packages without `postgis_extensions_upgrade()`."""
    stocked.execute("update pg_extension set extversion = '3.0.0' where extname = 'postgis_raster'")
    faults = said(stocked, "PostGIS").faults
    assert any("extension postgis_raster is at 3.0.0, the server has 3." in fault for fault in faults)
    assert any("extension postgis_raster is at 3.0.0, but the server's library" in fault for fault in faults)
    stocked.rollback()


@pytest.fixture
def visitor(stocked: Connection[Any], database_url: str) -> Iterator[Connection[Any]]:
    """A role that may read some of it and is no superuser."""
    stocked.execute("create role check_visitor login")
    stocked.execute("grant usage on schema lode, lode_api, lode_raster to check_visitor")
    stocked.execute("grant select on lode.alembic_version, lode.scene, lode.run to check_visitor")
    stocked.commit()
    try:
        with psycopg.connect(make_conninfo(database_url, user="check_visitor")) as conn:
            yield conn
    finally:
        stocked.rollback()
        stocked.execute("drop owned by check_visitor; drop role check_visitor")
        stocked.commit()


def test_what_a_role_may_not_see_is_said_and_no_fault(visitor: Connection[Any]) -> None:
    results = run_checks(visitor)
    assert [result for result in results if result.faults] == []
    unseen = {result.title: result.unseen for result in results if result.unseen}
    who_sees = "lode_check may (docs/operations.md)"
    assert unseen["No job is stuck"] == [
        f"this role may not look: permission denied for schema lode_queue; {who_sees}"
    ]
    assert unseen["No transaction holds the others back"] == [
        f"sessions of other roles: this role may not look; {who_sees}"
    ]
    lines = list(check_lines(results))
    assert f"        not seen: where the data lies: this role may not look; {who_sees}" in lines


def test_a_check_that_takes_too_long_ends_and_is_a_fault(stocked: Connection[Any], database_url: str) -> None:
    """It computes too long, or an upgrade of another session holds a table."""

    def sleeps(conn: Connection[Any], _limits: Limits) -> Found:
        conn.execute("select pg_sleep(20)")
        return Found()

    def waits(conn: Connection[Any], _limits: Limits) -> Found:
        conn.execute("select * from lode.run")
        return Found()

    with connect(database_url) as other:
        other.execute("lock table lode.run in access exclusive mode")
        for find in (sleeps, waits):
            begun = time.monotonic()
            result = run_check(stocked, Check("title", "hint", find, timeout_s=0.3), Limits())
            assert result.faults == ["this could not be checked within 0.3 s; check again later"]
            assert time.monotonic() - begun < 15
    assert said(stocked, "Every index is valid").faults == [], "the connection can be used on"


def test_lines_tell_faults_from_warnings() -> None:
    lines = check_lines(
        [
            CheckResult("Sound", [], "no hint"),
            CheckResult("Bad", ["a", "b"], "mend it", ["c"]),
            CheckResult("Doubtful", [], "look", [f"w{n}" for n in range(30)], ["d"]),
        ]
    )
    shown = "\n".join(lines)
    assert shown.startswith(
        "ok    Sound\nFAIL  Bad\n        a\n        b\n        warning: c\n        hint: mend"
    )
    assert "warn  Doubtful\n        warning: w0\n" in shown
    assert "warning: ... and 10 more\n        not seen: d\n        hint: look" in shown
