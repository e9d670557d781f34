"""Sources with real workers: looked through, fetched and stored with nobody at the keyboard."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.connection import connect
from db.ingest_sources import enqueue_scan
from tests.ingest_files import write_tiff
from tests.service.district import NETWORK, fill_district, scene_pixels
from tests.source_files import described_tiff, place, sentinel_item, write_catalogue
from tests.source_runs import Sources
from tests.stac_server import served
from tests.support import REPOSITORY


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


_WORKER = (
    "import sys; from service.commands import worker; worker(['--drain', '--device', 'cpu', *sys.argv[1:]])"
)


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def start_worker(sources: Sources, *options: str, **env: str) -> subprocess.Popen[bytes]:
    """`lode worker --drain`."""
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER, *options],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "LODE_DATABASE_URL": sources.url,
            "LODE_CACHE": str(sources.settings.cache_folder()),
            "LODE_FETCH_SPARE_BYTES": "0",
            "LODE_FETCH_PAUSE_S": "0.01",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_two_workers_share_what_two_sources_hold(sources: Sources, tmp_path: Path) -> None:
    folder, inbox = tmp_path / "catalogue", tmp_path / "inbox"
    names = [f"s{number}" for number in range(4)]
    for number, name in enumerate(names):
        sentinel_item(folder, name, number)
    write_catalogue(folder, names)
    described_tiff(inbox / "d1.tif", 9)
    (inbox / "broken.zip").write_bytes(b"PK\x03\x04")
    with served(folder) as server:
        server.errors["/s2/B03.tif"] = 2
        for name, kind, location in (
            ("net", "stac_catalogue", server.url("catalog.json")),
            ("in", "folder", str(inbox)),
        ):
            source = sources.add(kind, location, name=name)
            with connect(sources.url) as conn:
                enqueue_scan(conn, source)
        workers = [start_worker(sources, "--queues", "ingest") for _ in range(2)]
        for worker in workers:
            out, _ = worker.communicate(timeout=120)
            assert worker.returncode == 0, out.decode()
            assert server.address not in out.decode()  # jobs and logs hold keys only
        fetched = [each.path for each in server.asked if each.status == 200 and each.path.endswith(".tif")]
    assert sources.scenes() == [("d1", 1), *((name, 1) for name in names)]
    states = sources.states()
    assert states.pop("broken.zip") == "failed"
    assert set(states.values()) == {"ingested"}
    assert len(fetched) == len(set(fetched)) == 16
    assert sources.cached() == []
    assert (
        sources.value("select count(*) from lode_queue.procrastinate_jobs where status in ('todo', 'doing')")
        == 0
    )


def test_two_years_go_from_the_folder_to_the_report_with_nobody_there(
    sources: Sources, tmp_path: Path
) -> None:
    """Found, stored, interpreted by a trained network, published, accounted and reported by one worker."""
    inbox, reports = tmp_path / "inbox", tmp_path / "reports"
    (tmp_path / "fields").mkdir()
    fill_district(sources.url, tmp_path / "fields", scenes=0)
    inbox.mkdir()
    for number, day in enumerate(("20210601", "20220602")):
        write_tiff(inbox / f"gf2_{day}.tif", scene_pixels(number, 96), nodata=0, transform=place())
    model_id = sources.value("select model_id from lode.model where name = %s", (NETWORK,))
    source = sources.add(
        "folder", inbox, options={"sensor": "gf2_pms"}, model_id=model_id, report_folder="county"
    )
    with connect(sources.url) as conn:
        enqueue_scan(conn, source)
    worker = start_worker(sources, LODE_REPORT_ROOT=str(reports))
    out, _ = worker.communicate(timeout=200)
    assert worker.returncode == 0, out.decode()
    told_of = {"gf2_20210601.tif": "reported", "gf2_20220602.tif": "reported"}
    assert sources.states() == told_of, out.decode()
    (written,) = (reports / "county").iterdir()
    manifest = json.loads((written / "manifest.json").read_text())
    assert (manifest["years"], manifest["mines"]) == ([2021, 2022], ["M1"])
    with connect(sources.url) as conn:
        views = conn.execute(
            "select year, land_class, area_m2 from lode_api.damage_by_mine_year where area_m2 > 0"
        ).fetchall()
    rows = list(csv.DictReader((written / "damage.csv").read_text().splitlines()))
    told = [
        (int(row["year"]), row["land_class"], float(row["area_m2"]))
        for row in rows
        if float(row["area_m2"] or 0) > 0
    ]
    assert sorted(told) == sorted((year, key, float(area)) for year, key, area in views)
    assert views
