"""Packages: folders, archives and single files, and archives that were made to do harm."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from db.errors import UsageError
from ingest.products import gathering
from ingest.products.gathering import gather
from ingest.products.recognition import read_product

FILES = {"scene/a.xml": b"<x/>", "scene/deep/b.tif": b"II*\0" + b"\0" * 60, "scene/empty.tif": b""}


def tar_of(path: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def zip_of(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return path


def folder_of(path: Path) -> Path:
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("p.tar.gz", tar_of),
        ("p.tgz", tar_of),
        ("p.tar", lambda path: tar_of(path, "w")),
        ("p.tar.xz", lambda path: tar_of(path, "w:xz")),
        ("p.zip", zip_of),
        ("p", folder_of),
    ],
)
def test_folders_and_archives_hold_the_same_files(
    tmp_path: Path, workspace: Path, name: str, make: Callable[[Path], Path]
) -> None:
    package = gather(str(make(tmp_path / name)), (), workspace)
    assert list(package.files) == sorted(FILES)
    assert {path: file.path.read_bytes() for path, file in package.files.items()} == FILES
    assert package.name.startswith("p")
    assert package.named is None


def test_one_file_stands_for_what_has_its_name_and_what_that_names(tmp_path: Path, workspace: Path) -> None:
    folder = folder_of(tmp_path / "p") / "scene"
    for name in ("a-1.tif", "a1.tif", "mask.tif", "b.json", "deep/c.tif", "&.tif", "../outside.tif"):
        (folder / name).write_bytes(b"II*\0")
    own = {"a.xml", "a-1.tif"}

    def gathered(name: str, text: str | None = None) -> set[str]:
        if text is not None:
            (folder / name).write_text(text)
        package = gather(str(folder / name), (), workspace)
        assert package.named == name
        return set(package.files)

    assert gathered("a.xml") == own
    text = "<a>x/../deep/b.tif</a><b>&amp;.tif</b><c>../outside.tif</c><d>/etc/passwd</d><e>gone.tif</e>"
    assert gathered("a.xml", text) == own | {"deep/b.tif", "&.tif"}
    # An image stands for what describes it, with all that is described.
    assert gathered("a-1.tif") == own | {"deep/b.tif", "&.tif"}
    assert gathered("a1.tif") == {"a1.tif"}
    assert gathered("b.json", '["https://example.org/x/mask.tif?k=1", {"a": "./deep/c.tif"}]') == {
        "b.json", "mask.tif", "deep/c.tif",
    }  # fmt: skip
    assert gathered("b.json", '["mask.tif"') == {"b.json"}


def test_one_file_is_found_beside_more_than_a_package_may_hold(
    tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MAX_FILES", 5)
    folder = folder_of(tmp_path / "p") / "scene"
    for number in range(6):
        (folder / f"{number}.xml").write_bytes(b"<x/>")
        (folder / "deep" / f"{number}.xml").write_bytes(b"<x/>")
    assert set(gather(str(folder / "a.xml"), (), workspace).files) == {"a.xml"}
    with pytest.raises(UsageError, match="holds more than 5 files"):
        gather(str(folder), (), workspace)


def entry_tar(path: Path, **facts: object) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(str(facts.pop("name", "x")))
        content = facts.pop("content", b"")
        assert isinstance(content, bytes)
        entry.size = len(content)
        for key, value in facts.items():
            setattr(entry, key, value)
        archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"name": "../outside.xml"}, "would land elsewhere"),
        ({"name": "/etc/outside.xml"}, "would land elsewhere"),
        ({"name": "a/../../outside.xml"}, "would land elsewhere"),
        ({"name": "C:\\outside.xml"}, "would land elsewhere"),
        ({"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "holds a link"),
        ({"name": "link", "type": tarfile.LNKTYPE, "linkname": "x"}, "holds a link"),
        ({"name": "device", "type": tarfile.CHRTYPE}, "something that is no file"),
        ({"name": "pipe", "type": tarfile.FIFOTYPE}, "something that is no file"),
    ],
)
def test_tar_entries_that_would_do_harm(
    tmp_path: Path, workspace: Path, facts: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        gather(str(entry_tar(tmp_path / "p.tar.gz", **facts)), (), workspace)
    assert not (tmp_path / "outside.xml").exists()


def test_zip_entries_that_would_do_harm(tmp_path: Path, workspace: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../outside.xml", b"x")
    with pytest.raises(UsageError, match="would land elsewhere"):
        gather(str(path), (), workspace)
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UsageError, match="symbolic link"):
        gather(str(path), (), workspace)


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_truncated_archives(tmp_path: Path, workspace: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / ("p.zip" if make is zip_of else "p.tar.gz"))
    content = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UsageError, match=r"truncated, damaged|is no archive"):
            gather(str(path), (), workspace)


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_bombs_are_refused_before_they_fill_the_disk(tmp_path: Path, workspace: Path, ending: str) -> None:
    path = tmp_path / f"p.{ending}"
    zeros = bytes(90 << 20)
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("bomb", zeros)
    else:
        entry_tar(path, name="bomb", content=zeros)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UsageError, match="made to fill the disk"):
        gather(str(path), (), workspace)
    assert sum(file.stat().st_size for file in workspace.rglob("*") if file.is_file()) == 0


def test_a_name_twice_is_refused(tmp_path: Path, workspace: Path) -> None:
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("x"), io.BytesIO(b""))
    with pytest.raises(UsageError, match="twice"):
        gather(str(path), (), workspace)


def test_what_is_no_package(tmp_path: Path, workspace: Path) -> None:
    with pytest.raises(UsageError, match="cannot be found"):
        gather(str(tmp_path / "nowhere"), (), workspace)
    with pytest.raises(UsageError, match="no URLs"):
        gather("https://example.org/p.zip", (), workspace)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="the package is empty"):
        gather(str(tmp_path / "empty"), (), workspace)
    (tmp_path / "p.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(UsageError, match="a web page"):
        gather(str(tmp_path / "p.zip"), (), workspace)


def test_links_and_roots(tmp_path: Path, workspace: Path) -> None:
    """A folder's links count only where they lead to inside the allowed folders."""
    inside, outside = folder_of(tmp_path / "inside"), tmp_path / "outside.xml"
    outside.write_bytes(b"<x/>")
    (inside / "leads_out.xml").symlink_to(outside)
    (inside / "leads_in.xml").symlink_to(inside / "scene" / "a.xml")
    (inside / "circle").symlink_to(inside / "circle")
    os.mkfifo(inside / "pipe")
    package = gather(str(inside), (inside.resolve(),), workspace)
    assert set(package.files) == {*FILES, "leads_in.xml"}
    with pytest.raises(UsageError, match="LODE_ALLOWED_ROOTS"):
        gather(str(tmp_path), (inside.resolve(),), workspace)


def test_nothing_known_is_said_with_what_is(tmp_path: Path, workspace: Path) -> None:
    package = gather(str(folder_of(tmp_path / "p")), (), workspace)
    with pytest.raises(UsageError, match=r"no product that is known .*Sentinel-2.*Gaofen.*TOML"):
        read_product(package)
