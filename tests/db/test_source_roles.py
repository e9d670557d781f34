"""Sources under the roles of the service: an analyst adds one by SQL, a worker does the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.connection import connect
from service.scheduling import enqueue_due_sources
from service.source_reports import write_report
from tests.catalogue_rows import add_model
from tests.role_logins import denied, login, url_of
from tests.source_files import described_tiff
from tests.source_published import BEFORE, publish
from tests.source_runs import Sources, quiet


def test_an_analyst_adds_a_source_and_a_worker_brings_it_to_its_report(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LODE_REPORT_ROOT", str(tmp_path / "reports"))
    sources = Sources(database_url, tmp_path)
    described_tiff(tmp_path / "inbox" / "d1.tif")
    with connect(database_url) as conn:
        model_id = add_model(conn, "net")
    with login(database_url, "lode_analyst") as analyst:
        row = analyst.execute(
            "insert into lode.ingest_source (name, kind, location, cron, model_id, report_folder, settle_s)"
            " values ('in', 'folder', %s, '* * * * *', %s, 'county', 0) returning ingest_source_id",
            (str(tmp_path / "inbox"), model_id),
        ).fetchone()
        assert row is not None
        source = int(row[0])
        with denied("23514"):
            analyst.execute("update lode.ingest_source set cron = 'often'")
        with denied("42501"):
            analyst.execute("update lode.ingest_item set status = 'found'")
        with denied("42501"):
            analyst.execute("select lode_api.ask_report(1)")
    worker = Sources.__new__(Sources)
    worker.url, worker.settings = url_of(database_url, "lode_worker"), sources.settings
    assert enqueue_due_sources(worker.url) == 0
    sources.execute("update lode.ingest_source set next_scan_at = now() - interval '1 minute'")
    assert enqueue_due_sources(worker.url) == 1
    assert worker.scan(source).new == 1
    (done,) = worker.ingest_all(source)
    assert done.run_id is not None
    publish(worker.url, done.run_id, BEFORE)
    assert sources.jobs("report_source") == [{"ingest_source_id": source}]
    written = write_report(worker.url, source, quiet)
    assert written is not None
    assert (tmp_path / "reports" / "county" / written.name / "manifest.json").exists()
    with login(database_url, "lode_analyst") as analyst:
        shown = analyst.execute("select source, status from lode_api.ingest_item_status").fetchall()
        assert shown == [("in", "reported")]
    with login(database_url, "lode_reader") as reader:
        reader.execute("set default_transaction_read_only = off")
        with denied("42501"):
            reader.execute(
                "insert into lode.ingest_source (name, kind, location) values ('x', 'folder', '/x')"
            )
