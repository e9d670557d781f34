"""Files for interpreters: whole or not at all, and never over another file."""

from __future__ import annotations

import csv
import io
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyogrio
import pytest

from db.assessments.catalogue import Assessment, SamplePoint
from db.errors import UsageError
from ingest.sample_files import sample_file_writer

ABOUT = Assessment(
    1, "a", 2021, "class", "drawn", None, 1e6, 1, "li", datetime(2024, 1, 1, tzinfo=UTC), None, 4000, 0
)
POINTS = [SamplePoint(number, 87 + number * 1e-5, 44.0) for number in range(1, 4001)]
ENDINGS = pytest.mark.parametrize("ending", ["csv", "gpkg"])


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow larger: writing fails half-way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def points_in(path: Path) -> list[int]:
    """Numbers of the points that a file holds."""
    if path.suffix == ".csv":
        return [int(row["point"]) for row in csv.DictReader(io.StringIO(path.read_text("utf-8-sig")))]
    meta, _ids, _wkb, columns = pyogrio.raw.read(path)
    return [int(number) for number in dict(zip(meta["fields"], columns, strict=True))["point"]]


@ENDINGS
@pytest.mark.parametrize("size_bytes", [100, 20_000, 150_000])
def test_a_disk_that_fills_leaves_no_half_file(tmp_path: Path, ending: str, size_bytes: int) -> None:
    """At the beginning, among the points and near the end; with room the same call writes the whole file."""
    path = tmp_path / f"points.{ending}"
    write = sample_file_writer(path)
    with disk_of(size_bytes), pytest.raises(UsageError) as refused:
        write(ABOUT, POINTS)
    assert str(refused.value).startswith(f"{path}: cannot be written: ")
    assert list(tmp_path.iterdir()) == []
    write(ABOUT, POINTS)
    assert list(tmp_path.iterdir()) == [path]
    assert points_in(path) == list(range(1, 4001))


@ENDINGS
def test_a_disk_of_any_size_holds_all_points_or_no_file(tmp_path: Path, ending: str) -> None:
    """Whatever GDAL still writes after the last point: what is there is whole."""
    whole = tmp_path / f"whole.{ending}"
    sample_file_writer(whole)(ABOUT, POINTS)
    size = whole.stat().st_size
    fates = set()
    for missing in range(-4096, size // 3, 8192):
        path = tmp_path / f"{missing}.{ending}"
        try:
            with disk_of(size - missing):
                sample_file_writer(path)(ABOUT, POINTS)
        except UsageError:
            assert not path.exists()
        else:
            assert points_in(path) == list(range(1, 4001))
            assert path.stat().st_size == size
        fates.add(path.exists())
    assert fates == {True, False}


@ENDINGS
def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"points.{ending}"
    write = sample_file_writer(path)
    path.write_text("answers of a week")
    with pytest.raises(UsageError, match="exists already and may hold answers"):
        write(ABOUT, POINTS)
    assert path.read_text() == "answers of a week"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UsageError, match="exists already and may hold answers"):
        sample_file_writer(path)
    link = tmp_path / f"link.{ending}"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already and may hold answers"):
        sample_file_writer(link)(ABOUT, POINTS)
    assert link.is_symlink()


@ENDINGS
def test_file_systems_without_links_are_written_to_as_well(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT answers link() with EPERM; there, too, no other file is overwritten and no empty one stays."""

    def refuse(_source: object, _target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / f"points.{ending}"
    write = sample_file_writer(path)
    write(ABOUT, POINTS)
    assert points_in(path) == list(range(1, 4001))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already and may hold answers"):
        write(ABOUT, POINTS[:5])
    assert path.read_bytes() == before


@ENDINGS
def test_a_folder_that_is_gone_is_named(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    write = sample_file_writer(folder / f"points.{ending}")
    folder.rmdir()
    with pytest.raises(UsageError, match=r"gone/points\.\w+: cannot be written: No such file"):
        write(ABOUT, POINTS)
