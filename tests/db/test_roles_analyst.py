"""The analyst's role edits what people edit; areas follow, and nothing else is open to it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.upgrade import upgrade
from tests.catalogue_rows import add_label, add_mine, add_model, add_scene, publish_drawing
from tests.grids import cells
from tests.ingest_files import write_vector
from tests.role_logins import denied, login, url_of
from tests.support import lode_here


@pytest.fixture
def province(conn: Connection[Any], database_url: str) -> str:
    """URL of a database with a published scene over a mine with alerts."""
    upgrade(database_url)
    conn.execute("update lode.alert_rule set threshold_m2 = 1, threshold_fraction = null")
    add_mine(conn, "M1", cells("xxxx", "x"))
    model = add_model(conn, "net")
    for year, drawing in ((2021, "pvvd"), (2022, "pppd")):
        scene = add_scene(conn, f"s{year}", date(year, 6, 1), cells(drawing, "pvd"))
        publish_drawing(conn, scene, model, year, drawing)
    conn.commit()
    return database_url


def pit(conn: Connection[Any]) -> float:
    row = conn.execute(
        "select area_m2 from lode_api.damage_by_mine_year where year = 2021 and land_class = 'open_pit'"
        " and mine_code = 'M1'"
    ).fetchone()
    assert row is not None
    return float(row[0])


def test_it_draws_labels_and_mines_and_areas_follow(province: str) -> None:
    with login(province, "lode_analyst", autocommit=False) as analyst:
        before = pit(analyst)
        label = add_label(analyst, 6, cells("xx", "x"), date(2021, 7, 1), is_counted=True, interpreter="anna")
        analyst.commit()
        assert pit(analyst) == pytest.approx(2 * before, rel=1e-6)
        analyst.execute("delete from lode.label where label_id = %s", (label,))
        analyst.execute("update lode.mine set boundary = st_multi(boundary), name = 'renamed'")
        add_mine(analyst, "M2", cells("    xx", "x"))
        analyst.execute("delete from lode.mine where code = 'M2'")
        analyst.execute(
            "insert into lode.report_period (from_year, to_year) values (2021, 2022) on conflict do nothing"
        )
        analyst.execute("update lode.run set priority = 3 where run_id = 1")
        analyst.commit()
        assert pit(analyst) == pytest.approx(before, rel=1e-9)


def test_it_reviews_alerts_in_its_own_name(province: str) -> None:
    with login(province, "lode_analyst") as analyst:
        alerts = analyst.execute("select ogc_fid from lode_api.damage_alert order by 1").fetchall()
        assert alerts
        analyst.execute(
            "update lode_api.damage_alert set state = 'confirmed', note = 'seen' where ogc_fid = %s",
            alerts[0],
        )
        analyst.execute("update lode.alert set state = 'rejected' where alert_id = %s", alerts[-1])
        row = analyst.execute(
            "select distinct reviewed_by from lode_api.damage_alert where state <> 'open'"
        ).fetchall()
        assert row == [("lode_analyst",)]
        with denied("42501"):
            analyst.execute("update lode.alert set level = 'notice'")
        with denied("42501"):
            analyst.execute("delete from lode.alert_review")


def test_it_has_a_source_looked_through_by_the_workers(province: str, tmp_path: Path) -> None:
    """By a function of its own: the queue itself stays closed."""
    analyst = url_of(province, "lode_analyst")
    added = lode_here(analyst, "source", "add", "in", "--kind", "folder", "--location", tmp_path)
    assert added.returncode == 0, added.stderr
    asked = lode_here(analyst, "source", "run", "in", "--queue")
    assert (asked.returncode, asked.stdout) == (0, "a job was put into the queue\n")
    assert lode_here(analyst, "source", "run", "in", "--queue").stdout == "a job waits already\n"
    with login(province, "lode_worker") as worker:
        jobs = worker.execute(
            "select task_name, queue_name, args, queueing_lock, priority from lode_queue.procrastinate_jobs"
        ).fetchall()
        assert jobs == [("scan_source", "ingest", {"ingest_source_id": 1}, "scan of source 1", 10)]
    with login(province, "lode_analyst") as conn:
        assert conn.execute("select lode_api.ask_scan(77)").fetchone() == (False,)
        with denied("42501"):
            conn.execute("select lode_api.enqueue('ingest', 'scan_source', '{}')")
    with login(province, "lode_reader") as reader, denied("42501"):
        reader.execute("select lode_api.ask_scan(1)")


def test_what_it_may_not_do_is_said_without_a_traceback(province: str, tmp_path: Path) -> None:
    analyst = url_of(province, "lode_analyst")
    lode_here(analyst, "source", "add", "in", "--kind", "folder", "--location", tmp_path)
    for words, thing in (
        (("status", "--watch", "--times", "1"), "alembic_version"),
        (("source", "run", "in", "--retry", "--queue"), "ingest_item"),
    ):
        done = lode_here(analyst, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(
            f"lode: error: permission denied for table {thing}: LODE_DATABASE_URL names a login that may not"
        )
        assert "for lode_worker" in done.stderr


def test_it_ingests_mines_and_labels_by_command_line(province: str, tmp_path: Path) -> None:
    path = write_vector(
        tmp_path / "mines.gpkg",
        [cells("    xx", "x")],
        {"code": ["M7"], "name": ["seven"]},
        geometry_type="MultiPolygon",
    )
    done = lode_here(url_of(province, "lode_analyst"), "ingest", "mines", path)
    assert done.returncode == 0, done.stderr
    with login(province, "lode_analyst") as analyst:
        assert analyst.execute("select count(*) from lode.mine where code = 'M7'").fetchone() == (1,)


def test_it_reads_what_a_reader_reads_and_asks_for_work(province: str) -> None:
    with login(province, "lode_analyst", autocommit=False) as analyst:
        assert analyst.execute("select count(*) from lode_api.damage_by_year").fetchone() != (0,)
        analyst.execute("select lode_api.damage_tile(0, 0, 0)")
        run = analyst.execute("select lode_api.request_inference('s2021', 'net')").fetchone()
        assert run is not None
        analyst.rollback()


def test_what_is_derived_or_the_workers_is_closed_to_it(province: str) -> None:
    with login(province, "lode_analyst") as analyst:
        for statement in (
            "delete from lode.mine_area",
            "update lode.mine_year set observed_area_m2 = 0",
            "delete from lode.landcover",
            "insert into lode.run (scene_id, model_id) values (1, 1)",
            "update lode.run set status = 'withdrawn'",
            "update lode.scene set product = 'x'",
            "select * from lode.model_weights",
            "select * from lode_queue.procrastinate_jobs",
            "insert into lode.mine_owner (role_name, mine_id) values (current_user, 1)",
            "select lode_api.enqueue('inference', 'interpret_run', '{}', 'x')",
            "select lode_api.derive_all()",
            "truncate lode.mine cascade",
            "create table lode.t (i integer)",
            "create table public.t (i integer)",
            "set role lode_owner",
            "set role lode_worker",
        ):
            with denied("42501"):
                analyst.execute(statement)


def test_it_keeps_the_sources_of_scenes(province: str, tmp_path: Path) -> None:
    with login(province, "lode_analyst") as analyst:
        analyst.execute(
            "insert into lode.ingest_source (name, kind, location, cron)"
            " values ('folder', 'folder', %s, '0 3 * * *')",
            (str(tmp_path),),
        )
        analyst.execute("update lode.ingest_source set enabled = false")
        row = analyst.execute("select name, created_by from lode.ingest_source").fetchone()
        assert row == ("folder", "lode_analyst")
        analyst.execute("delete from lode.ingest_source")
        with denied("42501"):
            analyst.execute("delete from lode.ingest_item")
