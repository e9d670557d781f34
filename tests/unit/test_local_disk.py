"""A full disk of this machine: what is said of it, and that it is told from a refusal, wherever it shows."""

from __future__ import annotations

import errno
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest

import lode
from db.errors import RetryError, UsageError
from db.local_disk import LocalDiskError, is_disk_errno, temporary_folder
from db.machine_faults import machine_fault
from inference.maps import mapped_file
from ingest.files import SourceFile
from ingest.processing.sensor_geometry import corrected_hyperspectral
from ingest.processing.treatment import Treatment
from ingest.products.gathering import gather
from ingest.sources.cache import cache_folder
from ingest.sources.fetching import Wanted, fetch
from ingest.sources.settings import SourceSettings
from ingest.sources.web import Web
from ingest.workspace import workspace
from service import protocol
from service.outcomes import carry_out
from tests.source_runs import quiet
from tests.stac_server import served
from tests.unit.test_products_gathering import tar_of, zip_of

NUMBERS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS]


def failing(number: int) -> Any:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(number, "no disk to write on")

    return fail


def disk(monkeypatch: pytest.MonkeyPatch, free: int, total: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=free, total=total))


@pytest.fixture
def no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that has not looked for its folder yet, and finds none where it can write."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])


def use_workspace() -> dict[str, Any]:
    with workspace():
        return {}


def use_maps() -> dict[str, Any]:
    mapped_file((3, 3))
    return {}


@pytest.mark.usefixtures("no_folder")
@pytest.mark.parametrize("work", [use_workspace, use_maps])
def test_a_process_that_finds_no_folder_for_working_files_is_unwell(work: Any) -> None:
    with pytest.raises(LocalDiskError, match="TMPDIR"):
        temporary_folder()
    assert carry_out(work).end == protocol.UNWELL


def test_the_folder_for_working_files_is_the_systems() -> None:
    assert temporary_folder() == Path(tempfile.gettempdir())


@pytest.mark.parametrize("number", [*NUMBERS, errno.EACCES])
def test_a_cache_on_a_full_disk_is_told_from_a_forbidden_one(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", failing(number))
    with (
        pytest.raises(
            UsageError, match=r"cannot be written to \(no disk to write on\); let LODE_CACHE"
        ) as caught,
        cache_folder(tmp_path / "cache", "one"),
    ):
        pass
    assert (machine_fault(caught.value) is not None) is is_disk_errno(number)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("place", ["tempfile.mkdtemp", "pathlib.Path.open"])
def test_a_workspace_on_a_full_disk_is_a_fault_of_the_disk(
    place: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(place, failing(number))
    with pytest.raises(LocalDiskError, match="point TMPDIR elsewhere"), workspace():
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [*NUMBERS, errno.EIO])
@pytest.mark.parametrize("place", ["ingest.products.gathering.unpack_entry", "tempfile.mkdtemp"])
def test_a_disk_that_fills_while_an_archive_is_unpacked(
    place: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zip_of(tmp_path / "p.zip")
    monkeypatch.setattr(place, failing(number))
    with pytest.raises(UsageError, match=r"p\.zip: cannot be unpacked: no disk to write on") as caught:
        gather(str(archive), (), tmp_path)
    assert (machine_fault(caught.value) is not None) is is_disk_errno(number)


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_an_archive_waits_for_room_unless_it_never_fits(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make(tmp_path / ("p.zip" if make is zip_of else "p.tar.gz"))
    disk(monkeypatch, 99, 1 << 40)
    with pytest.raises(LocalDiskError, match="make room, point TMPDIR elsewhere"):
        gather(str(archive), (), tmp_path)
    # Where all of its 68 bytes fit, but not what shall stay free beside them.
    disk(monkeypatch, (1 << 30) + 10, (1 << 30) + 67)
    with pytest.raises(UsageError, match="make room, point TMPDIR elsewhere") as caught:
        gather(str(archive), (), tmp_path)
    assert not isinstance(caught.value, RetryError)


@pytest.mark.parametrize(("total", "kind"), [(1 << 40, LocalDiskError), (1 << 20, UsageError)])
def test_a_working_file_waits_for_room_unless_it_never_fits(
    total: int, kind: type[UsageError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk(monkeypatch, 99, total)
    image = cast(Any, SimpleNamespace(width=10, height=0))
    layer = SimpleNamespace(index=1, files=(SourceFile(tmp_path / "x.tif", "x.tif", 1, (1, 1)),))
    part = cast(Any, SimpleNamespace(layers=(layer,), nodata=None, role="image"))
    monkeypatch.setattr("ingest.processing.sensor_geometry._bad_bands", lambda part, _figures: (part, []))
    with ExitStack() as stack, pytest.raises(UsageError, match="make room or point TMPDIR") as caught:
        corrected_hyperspectral(image, part, Treatment(destripe=True), stack, tmp_path)
    assert type(caught.value) is kind


def test_a_fetch_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.tif").write_bytes(b"II*\0")
    disk(monkeypatch, 99, 1 << 60)
    with served(tmp_path / "served") as server:
        web = Web(SourceSettings(fetch_spare_bytes=1000), server.address, quiet)
        with pytest.raises(LocalDiskError, match="make room, or set LODE_CACHE"):
            fetch(web, Wanted(server.url("a.tif"), tmp_path / "a.tif"), lambda _have: None)


def test_a_command_says_so_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    archive = zip_of(tmp_path / "p.zip")
    disk(monkeypatch, 99, 1 << 40)

    @click.command()
    def command() -> None:
        gather(str(archive), (), tmp_path)

    monkeypatch.setitem(lode.SUBCOMMANDS, "fake", lode.Subcommand(f"{__name__}:fake", "Fake."))
    monkeypatch.setitem(globals(), "fake", command)
    assert lode.run(["fake"]) == 1
    said = capfd.readouterr().err
    assert said.startswith("lode: error: p.zip: unpacks to ")
    assert "Traceback" not in said
