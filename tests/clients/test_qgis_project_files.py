"""`lode qgis project --out`: a file that is there whole or not at all, and nobody else's is lost."""

from __future__ import annotations

import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from db.errors import UsageError
from db.qgis.commands import qgis_group
from db.qgis.project_files import is_ours
from tests.clients.programs import run_qgis
from tests.clients.world import World

SAVE_AGAIN = """
project = QgsProject.instance()
found = [project.read(arguments["path"]), project.write()]
"""


@pytest.fixture
def district(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("LODE_DATABASE_URL", world.url)
    return world


def write(out: Path, *options: str) -> str:
    done = CliRunner().invoke(qgis_group, ["project", "--out", str(out), *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file grows larger, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_project_of_ours_is_replaced(district: World, tmp_path: Path) -> None:
    out = tmp_path / "lode.qgz"
    assert write(out) == f"wrote {out}\n"
    out.chmod(0o640)
    first = out.read_bytes()
    write(out)
    assert out.read_bytes() == first
    write(out, "--name", "other")
    assert zipfile.ZipFile(out).namelist() == ["other.qgs"]
    assert out.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [out]


def test_a_project_saved_in_qgis_stays(district: World, tmp_path: Path) -> None:
    out = tmp_path / "lode.qgz"
    write(out)
    assert is_ours(out)
    assert run_qgis(SAVE_AGAIN, tmp_path / "home", path=str(out)) == [True, True]
    assert not is_ours(out)
    saved = out.read_bytes()
    with pytest.raises(UsageError, match=r"lode\.qgz is there already and .* saved in QGIS since"):
        write(out)
    assert out.read_bytes() == saved


@pytest.mark.parametrize("content", [b"", b"thesis", b"PK\x03\x04 torn"])
def test_any_other_file_stays(district: World, tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "lode.qgz"
    out.write_bytes(content)
    with pytest.raises(UsageError, match=r"lode\.qgz is there already and was not written by Lode"):
        write(out)
    assert out.read_bytes() == content


def test_a_link_to_nowhere_stays(district: World, tmp_path: Path) -> None:
    out = tmp_path / "lode.qgz"
    out.symlink_to(tmp_path / "unmounted" / "lode.qgz")
    with pytest.raises(UsageError, match="is there already"):
        write(out)
    assert out.is_symlink()


def test_a_failure_leaves_what_was_there(district: World, tmp_path: Path) -> None:
    out = tmp_path / "lode.qgz"
    write(out)
    before = out.read_bytes()
    assert len(before) > 5000
    with files_up_to(5000), pytest.raises(UsageError, match=r"cannot write .*lode\.qgz: File too large"):
        write(out, "--scenes", "0")
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lode.qgs", r"lode\.qgs; a project's name ends in \.qgz"),
        ("no/lode.qgz", r"cannot write .*lode\.qgz: there is no folder .*no"),
        ("folder.qgz", r"cannot write .*folder\.qgz: it is a folder"),
        ("/proc/lode.qgz", r"cannot write /proc/lode\.qgz"),
    ],
)
def test_a_bad_place_is_named(district: World, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.qgz").mkdir()
    with pytest.raises(UsageError, match=said):
        write(tmp_path / name)
