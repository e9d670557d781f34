"""`lode source ...`, as an administrator types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from tests.catalogue_rows import add_model
from tests.conftest import RunLode
from tests.ingest_files import write_geojson
from tests.source_files import described_tiff, ground, plain_tiff, sentinel_item, write_catalogue
from tests.source_runs import Sources
from tests.stac_server import served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def row(conn: Connection[Any]) -> dict[str, Any]:
    cursor = conn.execute("select *, st_area(area) as area_size from lode.ingest_source")
    names = [column.name for column in cursor.description or ()]
    found = cursor.fetchone()
    assert found is not None
    conn.commit()
    return dict(zip(names, found, strict=True))


def test_what_is_said_is_stored(
    sources: Sources, run_lode: RunLode, conn: Connection[Any], tmp_path: Path
) -> None:
    add_model(conn, "net")
    conn.commit()
    area = write_geojson(tmp_path / "area.geojson", [ground()])
    done = run_lode(
        "source", "add", "inbox", "--kind", "folder", "--location", tmp_path, "--option", "sensor=gf2_pms",
        "--option", "offset=-10", "--option", "register=false", "--area", area, "--mine", "M1",
        "--cloud-limit", "0.2", "--from", "2020-01-01", "--to", "2020-12-31", "--model", "net",
        "--becomes-current", "--report-folder", "county", "--cron", "0 3 * * *", "--settle", "5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "added source inbox; it is looked through at 0 3 * * * (UTC), by workers" in done.stdout
    stored = row(conn)
    assert stored["options"] == {"sensor": "gf2_pms", "offset": -10, "register": False}
    assert (stored["mine_codes"], stored["cloud_limit"], str(stored["to_day"])) == (["M1"], 0.2, "2020-12-31")
    assert (stored["report_folder"], stored["becomes_current"], stored["enabled"]) == ("county", True, True)
    assert stored["area_size"] == pytest.approx(ground().area)
    listed = json.loads(run_lode("source", "list", "--format", "json").stdout)
    assert (listed[0]["name"], listed[0]["model"], listed[0]["cron"]) == ("inbox", "net", "0 3 * * *")
    shown = run_lode("source", "list").stdout
    assert "inbox" in shown
    assert "changed by" in shown
    assert listed[0]["changed_by"] == "lode_admin"
    assert run_lode("source", "pause", "inbox").stdout == "source inbox is paused\n"
    assert not row(conn)["enabled"]
    assert run_lode("source", "resume", "inbox").stdout == "source inbox is at work\n"
    assert "0 3 * * *" in run_lode("source", "show", "inbox").stdout
    assert run_lode("source", "run", "inbox", "--queue").stdout == "a job was put into the queue\n"
    assert run_lode("source", "run", "inbox", "--queue").stdout == "a job waits already\n"
    assert "removed source inbox" in run_lode("source", "remove", "inbox").stdout
    assert run_lode("source", "list").stdout.startswith("there is no source")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--kind", "folder", "--option", "bogus=1"), "No such option '--bogus'"),
        (("--kind", "folder", "--option", "sensor"), "a name and a value are wanted"),
        (("--kind", "folder", "--cron", "daily"), "it has 1 fields, not 5"),
        (("--kind", "folder", "--mine", "M9"), "there is no mine M9"),
        (("--kind", "folder", "--model", "gone"), "gone"),
        (("--kind", "folder", "--report-folder", "x"), "nothing to report without a network"),
        (("--kind", "stac_api", "--location", "https://a:s3cret@x.example"), "holds a password or key"),
    ],
)
def test_what_cannot_be_right_is_refused_and_nothing_stored(
    sources: Sources, run_lode: RunLode, tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    done = run_lode("source", "add", "s", "--location", tmp_path, *words)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "s3cret" not in done.stderr
    assert sources.value("select count(*) from lode.ingest_source") == 0
    assert "there is no source s; there are none" in run_lode("source", "run", "s").stderr


def test_a_folder_is_ingested_without_a_worker(sources: Sources, run_lode: RunLode, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    described_tiff(inbox / "good.tif", 1)
    described_tiff(inbox / "bad.tif", 2)
    content = (inbox / "bad.tif").read_bytes()
    (inbox / "bad.tif").write_bytes(content[:200])
    run_lode("source", "add", "in", "--kind", "folder", "--location", inbox, "--settle", "0", "--paused")
    done = run_lode("source", "run", "in")
    assert done.returncode == 1
    assert "2 scenes are there: 2 new, 0 not wanted, 0 still being written, 0 refused" in done.stdout
    assert "good.toml: stored as scene good version 1" in done.stdout
    assert "in all: 1 failed, 1 ingested" in done.stdout
    assert "failed: " in done.stderr
    assert "bad.tif" in done.stderr
    assert sources.jobs("ingest_item") == []
    shown = run_lode("source", "show", "in").stdout
    assert "good.toml" in shown
    assert "bad.toml" in shown
    (inbox / "bad.tif").write_bytes(content)
    done = run_lode("source", "run", "in", "--retry")
    assert done.returncode == 0, done.stderr
    assert "1 that failed begin anew" in done.stdout
    assert sources.scenes() == [("bad", 1), ("good", 1)]
    again = run_lode("source", "run", "in")
    assert again.returncode == 0
    assert "0 new" in again.stdout


def test_a_served_catalogue_is_fetched_into_the_cache_that_is_named(
    sources: Sources, run_lode: RunLode, tmp_path: Path
) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    write_catalogue(folder, ["one"])
    env = {"LODE_CACHE": str(tmp_path / "own cache"), "LODE_FETCH_SPARE_BYTES": "0"}
    with served(folder) as server:
        run_lode("source", "add", "net", "--kind", "stac_catalogue", "--location", server.url("catalog.json"))
        server.errors["/one/B04.tif"] = 1
        done = run_lode("source", "run", "net", env={**env, "LODE_FETCH_PAUSE_S": "0.01"})
    assert done.returncode == 0, done.stderr
    assert "sentinel-2-l2a/one: stored as scene one version 1" in done.stdout
    assert list((tmp_path / "own cache").iterdir()) == []


def test_only_allowed_roots_are_looked_through(sources: Sources, run_lode: RunLode, tmp_path: Path) -> None:
    inbox, allowed = tmp_path / "inbox", tmp_path / "allowed"
    plain_tiff(inbox / "x_20210619.tif")
    described_tiff(allowed / "good.tif")
    env = {"LODE_ALLOWED_ROOTS": str(allowed)}
    run_lode("source", "add", "in", "--kind", "folder", "--location", inbox, "--settle", "0")
    done = run_lode("source", "run", "in", env=env)
    assert done.returncode == 1
    assert "outside the folders that may be read" in done.stderr
    run_lode("source", "add", "ok", "--kind", "folder", "--location", allowed, "--settle", "0")
    done = run_lode("source", "run", "ok", env=env)
    assert done.returncode == 0, done.stderr
    assert sources.scenes() == [("good", 1)]
