"""SIGKILL of a worker that takes in or reports what a source has: done once, and as undisturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.connection import connect
from db.embedded import Cluster
from db.ingest_sources import enqueue_scan
from tests.conftest import copied_database
from tests.faults.ground import Ground
from tests.faults.strikes import strike
from tests.service.workers import wait_for
from tests.source_files import sentinel_item, write_catalogue
from tests.source_published import published
from tests.source_runs import Sources
from tests.stac_server import StacServer, served

pytestmark = pytest.mark.long

NAMES = ("one", "two")
STORED = (
    "select s.product, s.version, s.sha256, i.status, i.item_key"
    " from lode.scene s join lode.ingest_item i using (scene_id) order by 1, 2, 5"
)
TABLES = (
    "select c.relname::text from pg_class c where c.relnamespace = 'lode_raster'::regnamespace"
    " and c.relkind = 'r' and c.relname ~ '_[0-9]+$'"
)
WAITING = (
    "select count(*) from lode_queue.procrastinate_jobs where status in ('todo', 'doing') and queue_name = %s"
)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers inherit: the test's server is on this machine, files stay in the test's folder."""
    for name, value in {
        "LODE_PRIVATE_HOSTS": "127.0.0.1",
        "LODE_CACHE": str(tmp_path / "cache"),
        "LODE_FETCH_SPARE_BYTES": "0",
        "LODE_FETCH_PAUSE_S": "0.01",
        "LODE_REPORT_ROOT": str(tmp_path / "reports"),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ground(cluster: Cluster, template_database: str, tmp_path: Path) -> Iterator[Ground]:
    """An empty database."""
    with copied_database(cluster, template_database) as url:
        made = Ground(url, tmp_path, lambda _scenes: {})
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    """A catalogue of two scenes."""
    folder = tmp_path / "catalogue"
    for number, name in enumerate(NAMES):
        sentinel_item(folder, name, number)
    write_catalogue(folder, list(NAMES))
    with served(folder) as made:
        yield made


def content(ground: Ground) -> list[Any]:
    """Every scene of a source and the bytes of its pixels; nothing else may lie among them."""
    rasters = [
        ground.rows(f"select rid, st_asbinary(rast) from lode_raster.{table} order by rid")
        for (table,) in ground.rows(TABLES)
    ]
    return [ground.rows(STORED), sorted(repr(each) for each in rasters if each)]


@pytest.fixture
def undisturbed(cluster: Cluster, template_database: str, server: StacServer, tmp_path: Path) -> list[Any]:
    """What this process stores of the catalogue by itself."""
    with copied_database(cluster, template_database) as url:
        sources = Sources(url, tmp_path)
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        sources.scan(source)
        sources.ingest_all(source)
        found = content(Ground(url, tmp_path, lambda _scenes: {}))
    assert [row[0] for row in found[0]] == list(NAMES)
    return found


def at_rest(ground: Ground, queue: str) -> bool:
    return bool(ground.value(WAITING, queue) == 0)


@pytest.mark.parametrize("victim", ["group", "engine"])
@pytest.mark.parametrize(
    "point", ["fetch.after", "ingest.before_commit", "ingest.after_commit", "job.before_done"]
)
def test_a_kill_while_scenes_are_taken_in(
    ground: Ground, server: StacServer, undisturbed: list[Any], tmp_path: Path, point: str, victim: str
) -> None:
    sources = Sources(ground.url, tmp_path)
    source = sources.add("stac_catalogue", server.url("catalog.json"))
    with connect(ground.url) as conn:
        enqueue_scan(conn, source)
    hold_at = f"{point}@2" if point == "job.before_done" else point  # the first job looks through the source
    worker = ground.worker(hold_at=hold_at, queues="ingest")
    strike(worker, victim)
    is_stored = point in ("ingest.after_commit", "job.before_done")
    assert ground.value("select count(*) from lode.scene") == is_stored
    if victim != "engine":
        ground.worker(queues="ingest")
    wait_for(lambda: set(sources.states().values()) == {"ingested"}, "both are stored", 120)
    wait_for(lambda: at_rest(ground, "ingest"), "no job is left", 120)
    assert content(ground) == undisturbed
    assert sorted(item["attempt"] for item in sources.items()) == [1, 1 if is_stored else 2]
    assert victim != "engine" or worker.is_alive()


@pytest.mark.parametrize("victim", ["group", "engine"])
def test_a_kill_while_a_report_is_written(ground: Ground, tmp_path: Path, victim: str) -> None:
    sources = Sources(ground.url, tmp_path)
    published(sources, tmp_path / "inbox")
    worker = ground.worker(hold_at="report.before_rename", queues="report")
    strike(worker, victim)
    place = tmp_path / "reports" / "province"
    assert [path.name[:13] for path in place.iterdir()] == [".lode-report-"]
    if victim != "engine":
        ground.worker(queues="report")
    wait_for(lambda: sources.states() == {"early.toml": "reported"}, "it is reported", 120)
    wait_for(lambda: at_rest(ground, "report"), "no job is left", 60)
    (written,) = place.iterdir()
    assert not written.name.startswith(".")
    assert victim != "engine" or worker.is_alive()
