"""Tasks of sources whose process is killed at named points: nothing half done, and the next one ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db.connection import connect
from tests.db.ingested_scenes import leftovers
from tests.source_files import sentinel_item, write_catalogue
from tests.source_published import published
from tests.source_runs import Sources, item_id_of
from tests.stac_server import served
from tests.support import REPOSITORY


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


_TASK = """
import sys
from service import source_tasks
task, key, value, url = sys.argv[1:]
print(getattr(source_tasks, task)(url, {key: int(value)}, lambda stage, done, total: None))
"""


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def task_process(sources: Sources, task: str, key: str, value: int, **env: str) -> subprocess.Popen[bytes]:
    """A process that runs a task as a worker's engine does."""
    return subprocess.Popen(
        [sys.executable, "-c", _TASK, task, key, str(value), sources.url],
        cwd=REPOSITORY,
        env={**os.environ, "LODE_CACHE": str(sources.settings.cache_folder()), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def killed_at(point: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Kill a process when it comes to a named point."""
    sign = folder / f"{point}.{process.pid}"
    deadline = time.monotonic() + 60
    with process:
        while not sign.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait(30)


@pytest.mark.parametrize("point", ["fetch.after", "ingest.before_commit", "ingest.after_commit"])
def test_a_killed_ingest_leaves_nothing_half_done(sources: Sources, tmp_path: Path, point: str) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    write_catalogue(folder, ["one"])
    with served(folder) as server, connect(sources.url) as conn:
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        sources.scan(source)
        item_id = item_id_of(conn, "sentinel-2-l2a/one")
        before = leftovers(conn)
        conn.commit()
        process = task_process(
            sources, "ingest_item", "ingest_item_id", item_id,
            LODE_HOLD_AT=point, LODE_HOLD_FOLDER=str(tmp_path), LODE_FETCH_SPARE_BYTES="0",
        )  # fmt: skip
        killed_at(point, tmp_path, process)
        is_stored = point == "ingest.after_commit"
        assert sources.states() == {"sentinel-2-l2a/one": "ingested" if is_stored else "fetched"}
        assert is_stored or leftovers(conn) == before
        assert len(sources.scenes()) == is_stored
        sent = server.sent("one/B02.tif")
        outcome = sources.ingest(item_id)
        assert outcome.status == "ingested"
        assert (outcome.key is None) == is_stored  # there was nothing left to do
        assert sources.scenes() == [("one", 1)]
        assert leftovers(conn)[0] == 1
        # What lay here was not fetched again.
        assert server.sent("one/B02.tif") == sent
    assert sources.items()[0]["attempt"] == (1 if is_stored else 2)
    if not is_stored:
        assert sources.cached() == []


def test_a_report_killed_before_it_is_renamed(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LODE_REPORT_ROOT", str(tmp_path / "reports"))
    source = published(sources, tmp_path / "inbox")
    process = task_process(
        sources, "report_source", "ingest_source_id", source,
        LODE_HOLD_AT="report.before_rename", LODE_HOLD_FOLDER=str(tmp_path),
    )  # fmt: skip
    killed_at("report.before_rename", tmp_path, process)
    place = tmp_path / "reports" / "province"
    assert [path.name[:13] for path in place.iterdir()] == [".lode-report-"]
    with task_process(sources, "report_source", "ingest_source_id", source) as again:
        out, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    (written,) = place.iterdir()
    assert written.name in out.decode()
    assert sources.states() == {"early.toml": "reported"}
