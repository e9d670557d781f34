"""Ingests of a package that are killed, run twice at once, or meet leftovers of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from db.connection import connect
from ingest.simulate.gaofen2 import Gaofen2Simulation, simulate_gaofen2
from ingest.workspace import PREFIX, workspace
from tests.e2e.conftest import lode


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Gaofen2Simulation:
    return simulate_gaofen2(tmp_path_factory.mktemp("gaofen2"), seed=5, side_px=500)


def started(url: str, simulation: Gaofen2Simulation, scratch: Path, *more: str) -> subprocess.Popen[str]:
    """An ingest of the first package, running."""
    arguments = [
        "ingest",
        "scene",
        str(simulation.packages[0].folder),
        "--dem",
        str(simulation.terrain),
        *more,
    ]
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "lode", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LODE_DATABASE_URL": url, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
    )


def contents(url: str) -> tuple[int, list[str]]:
    """Number of scenes, and the tables of pixels."""
    with connect(url) as conn:
        [(scenes,)] = conn.execute("select count(*) from lode.scene").fetchall()
        tables = conn.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'lode_raster' and c.relkind in ('r', 'p') order by 1"
        ).fetchall()
    return scenes, [row[0] for row in tables]


@pytest.mark.parametrize("pause_s", [0.0, 0.3, 0.6])
def test_killed_in_the_middle(
    database_url: str, simulation: Gaofen2Simulation, tmp_path: Path, pause_s: float
) -> None:
    before = contents(database_url)
    with started(database_url, simulation, tmp_path) as process:
        assert process.stdout is not None
        assert "reading a reduced image" in process.stdout.readline()
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while contents(database_url) != before and time.monotonic() < deadline:
        # The server notices the broken connection in its own time; an ingest that was done is done.
        if contents(database_url)[0] == before[0] + 1:
            break
        time.sleep(0.1)
    scenes, tables = contents(database_url)
    assert scenes - before[0] in (0, 1)
    # With the scene its tables, without it none of them.
    assert (set(tables) - set(before[1]) != set()) == (scenes > before[0])
    # The next run finds nothing in its way, and clears the folder that the killed one left.
    with started(database_url, simulation, tmp_path) as process:
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert contents(database_url)[0] == before[0] + 1
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def test_twice_at_once_is_once(database_url: str, simulation: Gaofen2Simulation, tmp_path: Path) -> None:
    with (
        started(database_url, simulation, tmp_path) as one,
        started(database_url, simulation, tmp_path) as other,
    ):
        outputs = [one.communicate(timeout=200)[0], other.communicate(timeout=200)[0]]
    assert [one.returncode, other.returncode] == [0, 0], outputs
    assert sum("nothing was changed" in output for output in outputs) == 1
    assert contents(database_url)[0] == 1


def test_two_products_of_one_name_at_once(
    database_url: str, simulation: Gaofen2Simulation, tmp_path: Path
) -> None:
    """The later one is a new version of the earlier one, whichever that is."""
    other_package = str(simulation.packages[1].folder)
    dem = ("--dem", str(simulation.terrain))
    with started(database_url, simulation, tmp_path, "--product", "same") as one:
        done = lode(database_url, "ingest", "scene", other_package, *dem, "--product", "same")
        output = one.communicate(timeout=200)[0]
    assert one.returncode == 0, output
    with connect(database_url) as conn:
        versions = conn.execute(
            "select version, superseded_by is null from lode.scene where product = 'same' order by version"
        ).fetchall()
    assert versions == [(1, False), (2, True)]
    assert ("supersedes" in output) != ("supersedes" in done.stdout)


def test_folders_of_the_living_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / f"{PREFIX}dead"
    left.mkdir()
    (left / ".lock").write_text("")
    (left / "big").write_text("x")
    with workspace() as mine:
        (mine / "file").write_text("x")
        assert not left.exists()
        with workspace() as other:
            assert other != mine
            assert (mine / "file").exists()
        assert not other.exists()
    assert list(tmp_path.iterdir()) == []
