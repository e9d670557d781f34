"""Files of reports: whole or not at all, and nothing else is replaced without being asked."""

from __future__ import annotations

import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import lode
from db.connection import connect
from db.embedded import Cluster
from tests.conftest import copied_database
from tests.reported_region import add_regions
from tests.support import REPOSITORY

Run = Callable[..., tuple[int, str]]
FORMATS = ("csv", "json", "gpkg", "html")


@pytest.fixture(scope="module")
def regions_url(cluster: Cluster, template_database: str) -> Iterator[str]:
    with copied_database(cluster, template_database) as url:
        with connect(url) as made:
            add_regions(made)
        yield url


@pytest.fixture
def report(regions_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs ``lode report``; gives exit code and messages."""
    monkeypatch.setenv("LODE_DATABASE_URL", regions_url)

    def run(*arguments: str | Path) -> tuple[int, str]:
        code = lode.run(["report", *map(str, arguments)])
        return code, capfd.readouterr().err

    return run


def a_map_of_somebody(path: Path) -> None:
    """A GeoPackage that is no report: another program's layers."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("create table gpkg_contents (table_name text, description text)")
        file.execute("insert into gpkg_contents values ('fields', '')")
        file.commit()


STRANGERS: dict[str, Callable[[Path], object]] = {
    "csv": lambda path: path.write_text("mine_code,owner\nM1,Wang\n"),
    "json": lambda path: path.write_text('{"mine": "M1"}'),
    "gpkg": a_map_of_somebody,
    "html": lambda path: path.write_text("<!doctype html><title>notes</title>"),
}


@pytest.mark.parametrize("style", FORMATS)
def test_what_is_no_report_is_replaced_only_when_asked(report: Run, tmp_path: Path, style: str) -> None:
    out = tmp_path / f"edge.{style}"
    STRANGERS[style](out)
    before = out.read_bytes()
    code, said = report("mine", "edge", "--out", out)
    assert code == 1
    assert (
        f"lode: error: {out}: exists and is not this report; name another file, or give --overwrite" in said
    )
    assert out.read_bytes() == before
    code, said = report("mine", "edge", "--out", out, "--overwrite")
    assert code == 0
    assert f"replaced {out}" in said
    assert out.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("style", FORMATS)
def test_a_newer_report_replaces_an_older_one(report: Run, tmp_path: Path, style: str) -> None:
    """Of another mine too: the columns are the same."""
    out = tmp_path / f"mine.{style}"
    assert report("mine", "edge", "--out", out) == (0, f"wrote {out}\n")
    out.chmod(0o640)
    first = out.read_bytes()
    code, said = report("mine", "inside", "--out", out)
    assert (code, f"replaced {out}" in said) == (0, True)
    assert out.read_bytes() != first
    assert out.stat().st_mode & 0o777 == 0o640


def test_another_table_is_another_report(report: Run, tmp_path: Path) -> None:
    out = tmp_path / "edge.csv"
    assert report("mine", "edge", "--table", "gaps", "--out", out)[0] == 0
    assert report("mine", "edge", "--table", "change", "--out", out)[0] == 1
    rows = tmp_path / "rows.json"
    assert report("ranking", "--out", rows)[0] == 0
    assert report("ranking", "--out", rows)[0] == 0
    assert report("gaps", "--out", rows)[0] == 1
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert report("ranking", "--out", empty)[0] == 0


def test_a_link_stays_a_link(report: Run, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    target, link = tmp_path / "archive" / "edge.csv", tmp_path / "edge.csv"
    link.symlink_to(target)
    assert report("mine", "edge", "--out", link)[0] == 0
    assert link.is_symlink()
    assert target.read_text("utf-8").startswith("mine_code,")


def test_what_is_no_file_is_left_alone(report: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    code, said = report("ranking", "--out", pipe, "--overwrite")
    assert (code, f"{pipe}: is no file" in said) == (1, True)
    assert pipe.is_fifo()


@pytest.mark.parametrize("style", ["csv", "gpkg"])
def test_a_full_disk_leaves_the_old_report_and_names_the_file(
    regions_url: str, report: Run, tmp_path: Path, style: str
) -> None:
    """No file of the process may grow beyond 1 KiB: GDAL, too, can write only a part."""
    out = tmp_path / f"edge.{style}"
    assert report("mine", "edge", "--out", out)[0] == 0
    before = out.read_bytes()
    command = [sys.executable, "-m", "lode", "report", "mine", "edge", "--out", str(out)]
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 1; exec {shlex.join(command)}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "LODE_DATABASE_URL": regions_url, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert f"lode: error: {out}: cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_page_holds_every_table(report: Run, tmp_path: Path) -> None:
    code, said = report("mine", "edge", "--table", "gaps", "--out", tmp_path / "edge.html")
    assert (code, "a page holds all tables" in said) == (1, True)
