"""What a source asks for counts against the quota of whoever last changed what work it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db import runs
from db.connection import connect
from db.ingest_sources import enqueue_scan, note_scan
from tests.catalogue_rows import add_model
from tests.role_logins import denied, login, url_of
from tests.source_files import described_tiff
from tests.source_runs import Sources

ADMINISTRATOR = "lode_admin"
"""Superuser of the private cluster, whom no quota counts for."""


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    """Four scenes, a network, and analysts that may have one run waiting."""
    made = Sources(database_url, tmp_path)
    for number in range(4):
        described_tiff(tmp_path / "inbox" / f"d{number}.tif", number, day=f"2021-06-{10 + number}")
    with connect(database_url) as conn:
        add_model(conn, "net")
    made.execute("insert into lode.quota (role_name, pending_runs) values ('lode_analyst', 1)")
    return made


def add_as(sources: Sources, role: str, folder: Path, **fields: Any) -> int:
    given = {"name": "in", "kind": "folder", "location": str(folder), "settle_s": 0, "model_id": 1, **fields}
    columns, places = ", ".join(given), ", ".join(["%s"] * len(given))
    with login(sources.url, role) as conn:
        query = f"insert into lode.ingest_source ({columns}) values ({places}) returning ingest_source_id"
        row = conn.execute(query.encode(), list(given.values())).fetchone()
        assert row is not None
        return int(row[0])


def worker_of(sources: Sources) -> Sources:
    worker = Sources.__new__(Sources)
    worker.url, worker.settings = url_of(sources.url, "lode_worker"), sources.settings
    return worker


def asked(sources: Sources) -> list[tuple[str, str, int]]:
    """Who asked for which scene, and how many jobs it has."""
    with connect(sources.url) as conn:
        rows = conn.execute(
            "select r.requested_by, s.product, (select count(*)::integer from lode_queue.procrastinate_jobs j"
            " where (j.args ->> 'run_id')::integer = r.run_id and j.status = 'todo')"
            " from lode.run r join lode.scene s using (scene_id) order by s.product"
        ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def test_what_goes_beyond_the_quota_waits_for_a_later_look(sources: Sources, tmp_path: Path) -> None:
    source = add_as(sources, "lode_analyst", tmp_path / "inbox")
    worker = worker_of(sources)
    assert worker.scan(source).new == 4
    done = worker.ingest_all(source)
    assert [each.status for each in done] == ["ingested"] * 4
    assert [each.run_id is not None for each in done] == [True, False, False, False]
    assert asked(sources) == [("lode_analyst", "d0", 1)]
    items = {item["item_key"]: item for item in sources.items()}
    assert {item["status"] for item in items.values()} == {"ingested"}
    assert [item["awaits_quota"] for item in items.values()] == [False, True, True, True]
    reason = "lode_analyst may have 1 runs waiting or running, and has as many"
    assert reason in items["d1.toml"]["error"]
    assert reason in sources.value("select error from lode_api.ingest_item_status where item_key = 'd1.toml'")
    # Nothing was freed: a look asks for nothing, and says so.
    worker.scan(source)
    assert asked(sources) == [("lode_analyst", "d0", 1)]
    told = sources.value("select last_error from lode.ingest_source")
    assert told.startswith(
        f"3 stored and not interpreted yet: waits for the next look at the source: {reason}"
    )
    # Whoever ordered it may cancel it; that frees one place, and only one.
    with login(sources.url, "lode_analyst") as analyst:
        analyst.execute("select lode_api.cancel_run(%s)", (done[0].run_id,))
    worker.scan(source)
    assert asked(sources)[1:] == [("lode_analyst", "d1", 1)]
    assert sources.states() == {
        "d0.toml": "skipped", "d1.toml": "ingested", "d2.toml": "ingested", "d3.toml": "ingested"
    }  # fmt: skip
    sources.execute("update lode.quota set pending_runs = 10 where role_name = 'lode_analyst'")
    worker.scan(source)
    worker.scan(source)
    assert asked(sources)[1:] == [("lode_analyst", f"d{number}", 1) for number in (1, 2, 3)]
    assert sources.value("select last_error from lode.ingest_source") is None
    assert (
        sources.value("select count(*) from lode.ingest_item where awaits_quota or error like 'wait%%'") == 0
    )
    assert len(sources.scenes()) == 4


def test_a_source_counts_for_whoever_changed_what_work_it_makes(sources: Sources, tmp_path: Path) -> None:
    source = add_as(sources, ADMINISTRATOR, tmp_path / "inbox")

    def changed_by() -> Any:
        return sources.value("select changed_by from lode.ingest_source")

    assert changed_by() == ADMINISTRATOR
    with connect(url_of(sources.url, "lode_worker")) as conn:
        note_scan(conn, source, "x")
        enqueue_scan(conn, source)
        conn.execute("update lode.ingest_source set changed_by = 'lode_reader', created_by = 'lode_reader'")
    assert changed_by() == ADMINISTRATOR
    with login(sources.url, "lode_analyst") as analyst:
        analyst.execute("update lode.ingest_source set enabled = false, name = 'other'")
        analyst.execute("update lode.ingest_source set enabled = true, changed_by = 'lode_admin'")
        assert changed_by() == ADMINISTRATOR
        for column, value in (
            ("model_id", "null"),
            ("cron", "'0 3 * * *'"),
            ("area", "st_multi(st_makeenvelope(84, 43, 85, 44, 4326))"),
            ("mine_codes", "'{M1}'"),
            ("to_day", "'2030-01-01'"),
            ("cloud_limit", "1"),
        ):
            with connect(sources.url) as conn:
                conn.execute("update lode.ingest_source set settle_s = settle_s + 1")
                conn.execute("alter table lode.ingest_source disable trigger guard")
                conn.execute("update lode.ingest_source set changed_by = 'lode_admin'")
                conn.execute("alter table lode.ingest_source enable trigger guard")
            assert changed_by() == ADMINISTRATOR
            analyst.execute(f"update lode.ingest_source set {column} = {value}".encode())
            assert changed_by() == "lode_analyst", column
        analyst.execute("delete from lode.ingest_source")
        analyst.execute(
            "insert into lode.ingest_source (name, kind, location, changed_by)"
            " values ('x', 'folder', '/x', 'lode_admin')"
        )
    assert changed_by() == "lode_analyst"


def test_what_somebody_asked_for_already_costs_nothing(sources: Sources, tmp_path: Path) -> None:
    first = add_as(sources, ADMINISTRATOR, tmp_path / "inbox")
    worker = worker_of(sources)
    worker.scan(first)
    assert all(each.run_id for each in worker.ingest_all(first))
    before = asked(sources)
    assert [row[0] for row in before] == [ADMINISTRATOR] * 4
    second = add_as(sources, "lode_analyst", tmp_path / "inbox", name="again")
    worker.scan(second)
    done = worker.ingest_all(second)
    assert all(each.run_id for each in done)
    assert asked(sources) == before
    with connect(sources.url) as conn:
        for _ in range(2):  # idempotent, with and without an order
            run_id = conn.execute("select lode_api.ask_run(1, 1, null, false, %s)", (second,)).fetchone()
            assert run_id == conn.execute("select lode_api.ask_run(1, 1)").fetchone()
            assert run_id == (runs.request_interpretation(conn, 1, 1).run_id,)
    assert asked(sources) == before


def test_a_login_that_is_gone_counts_as_anybody(sources: Sources) -> None:
    sources.execute("update lode.quota set area_km2_per_day = 5 where role_name = ''")
    with connect(sources.url) as conn:
        conn.execute("select lode_api.check_quota(4, 'was_here_once')")
        with denied("53400"):
            conn.execute("select lode_api.check_quota(6, 'was_here_once')")
    with login(sources.url, "lode_analyst") as analyst, denied("42501"):
        analyst.execute("select lode_api.check_quota(1, 'lode_admin')")
    with login(sources.url, "lode_analyst") as analyst, denied("42501"):
        analyst.execute("select lode_api.ask_run(1, 1)")


def test_a_worker_says_who_asked_by_the_source_alone(sources: Sources, tmp_path: Path) -> None:
    """Neither in words, nor by a row of its own, nor afterwards."""
    source = add_as(sources, "lode_analyst", tmp_path / "inbox")
    worker_of(sources).scan(source)
    worker_of(sources).ingest_all(source)
    forged = (
        "select lode_api.ask_run(2, 1, null, false, 'lode_admin'::text)",
        "update lode.run set requested_by = 'lode_admin'",
        "update lode.run set requested_at = now() - interval '2 days'",
        "update lode.run set queued_at = null",
        "update lode.run set scene_id = 2, model_id = 1, parameters = '{}', parameters_digest = 'x'",
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest, requested_by)"
        " values (2, 1, '{}', 'x', 'lode_admin')",
        "delete from lode.run",
        "truncate lode.run",
    )
    with login(sources.url, "lode_worker") as conn:
        for statement in forged:
            with denied("42883" if "::text" in statement else "42501"):
                conn.execute(statement.encode())
        with denied("P0002"):
            conn.execute("select lode_api.ask_run(2, 1, null, false, 99)")
        conn.execute("update lode.run set status = 'running', token = gen_random_uuid(), error = 'x'")
        conn.execute("select lode_api.ask_run(2, 1)")
    assert {row[:2] for row in asked(sources)} == {("lode_analyst", "d0"), ("lode_worker", "d1")}


def test_a_source_that_lost_its_network_waits_no_more(sources: Sources, tmp_path: Path) -> None:
    source = add_as(sources, "lode_analyst", tmp_path / "inbox")
    worker = worker_of(sources)
    worker.scan(source)
    worker.ingest_all(source)
    sources.execute("update lode.ingest_source set model_id = null")
    worker.scan(source)
    assert sources.value("select count(*) from lode.ingest_item where awaits_quota") == 0
    assert sources.value("select last_error from lode.ingest_source") is None
    assert len(asked(sources)) == 1
