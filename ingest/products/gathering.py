"""From what a user names to a package: a folder, an archive, or one file and what lies beside it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from db.errors import UsageError
from db.local_disk import LocalDiskError, is_disk_errno, lacks_room
from ingest.files import SourceFile, describe_start, source_file
from ingest.products.belonging import own_names, stated_paths
from ingest.products.package import Package
from ingest.products.sentinel2 import GRANULES, is_metadata_name
from ingest.unpacking import COPY_BYTES, PRODUCTS, check_amount, check_place, check_zip, unpack_entry

MAX_FILES = PRODUCTS.entries
MAX_DEPTH = 12
LARGEST_HEADER = 4 << 20
LARGEST_PADDING = 64 << 20
"""What may follow a tar's end mark: tape blocks are filled up with zeros."""

_SPARE_BYTES = 1 << 30
_ENDINGS = (".tar.gz", ".tgz", ".tar", ".zip")
# NotImplementedError is zipfile's word for a method of compression that it does not know.
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def gather(path: str, roots: Sequence[Path], workspace: Path) -> Package:
    """Find the files of a package.

    A folder is taken as it lies; symbolic links in it are followed, but only to files inside the roots. An
    archive is unpacked into the workspace. A single file stands for the product it belongs to: what lies
    beside it counts as the package.

    Args:
        path: what the user named.
        roots: folders that files must lie in, after following links; empty: any.
        workspace: private folder for what is unpacked.

    Raises:
        UsageError: it cannot be read, is empty, damaged or suspicious, or never fits on the disk.
        LocalDiskError: the disk has no room for what is unpacked now.

    """
    given = Path(path)
    if "://" not in path and not path.startswith("/vsi") and given.is_dir():
        folder = given.resolve()
        _check_root(folder, path, roots)
        return _package(folder.name, folder, roots)
    file = source_file(path, roots)
    head = file.head(512)
    if head.startswith(b"PK\x03\x04"):
        return _unpacked(file, workspace, _unpack_zip)
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")) or head[257:262] == b"ustar":
        return _unpacked(file, workspace, _unpack_tar)
    if file.name.lower().endswith(_ENDINGS):
        raise UsageError(
            f"{file.name}: is no archive: it begins as {describe_start(head)}; fetch it anew, complete"
        )
    return _beside(file, roots)


def _check_root(folder: Path, given: str, roots: Sequence[Path]) -> None:
    if roots and not any(folder.is_relative_to(root) for root in roots):
        raise UsageError(
            f"{given}: lies outside the folders that may be read (LODE_ALLOWED_ROOTS): "
            + ", ".join(map(str, roots))
        )


def _beside(file: SourceFile, roots: Sequence[Path]) -> Package:
    """The package of one file: what begins with its product's name, and what its side files name by path.

    Other products may lie in the same folder, as many as there are: they are not looked at.
    """
    folder, named = file.path.parent, file.path.name
    try:
        with os.scandir(folder) as entries:
            is_folder = {entry.name: entry.is_dir() for entry in entries}
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {error.strerror}") from None
    files: dict[str, SourceFile] = {}
    stated: set[str] = set()
    for name in own_names(named, [name for name, is_one in is_folder.items() if not is_one]):
        found = _regular(folder / name, name, roots)
        if found is not None:
            files[name] = found
            stated |= stated_paths(name, found)
    for path in stated - files.keys():
        found = _regular(folder / path, path, roots) if path.split("/")[0] in is_folder else None
        if found is not None:
            files[path] = found
    if is_metadata_name(named):
        below = _found(folder / GRANULES, roots)
        files |= {f"{GRANULES}/{path}": each for path, each in below}
    return Package(file.name, folder, dict(sorted(files.items())), named)


def _package(name: str, folder: Path, roots: Sequence[Path]) -> Package:
    files = dict(_found(folder, roots))
    if not files:
        raise UsageError(f"{name}: the package is empty: there is no file in it")
    return Package(name, folder, files)


def _found(folder: Path, roots: Sequence[Path]) -> Iterator[tuple[str, SourceFile]]:
    listed: list[tuple[str, Path]] = []
    for parent, folders, names in os.walk(folder):
        level = len(Path(parent).relative_to(folder).parts)
        if level >= MAX_DEPTH:
            folders.clear()
        listed += [(str(Path(parent, name).relative_to(folder)), Path(parent, name)) for name in names]
        if len(listed) > MAX_FILES:
            raise UsageError(
                f"{folder.name}: holds more than {MAX_FILES} files; name the product's own folder or file"
            )
    for name, path in sorted(listed):
        found = _regular(path, name, roots)
        if found is not None:
            yield name, found


def _regular(path: Path, name: str, roots: Sequence[Path]) -> SourceFile | None:
    """The file, links followed; None for what is no regular file, lies outside, or has an unreadable name."""
    try:
        name.encode()
        resolved = path.resolve(strict=True)
        facts = resolved.stat()
    except (OSError, RuntimeError, ValueError):
        return None
    if not stat.S_ISREG(facts.st_mode) or (
        roots and not any(resolved.is_relative_to(root) for root in roots)
    ):
        return None
    return SourceFile(resolved, path.name, facts.st_size, (facts.st_ino, facts.st_mtime_ns))


def _unpacked(file: SourceFile, workspace: Path, unpack: Callable[[SourceFile, Path], None]) -> Package:
    try:
        folder = Path(tempfile.mkdtemp(prefix="unpacked-", dir=workspace))
        unpack(file, folder)
    except _DAMAGED as error:
        raise UsageError(
            f"{file.name}: the archive is truncated, damaged or of an unsupported kind: {error}; "
            "fetch it anew"
        ) from None
    except OSError as error:
        kind = LocalDiskError if is_disk_errno(error.errno) else UsageError
        raise kind(f"{file.name}: cannot be unpacked: {error.strerror or error}") from error
    file.check_unchanged()
    name = file.name
    for ending in _ENDINGS:
        name = name[: -len(ending)] if name.lower().endswith(ending) else name
    return _package(name, folder, ())


def _check_room(needed: int, folder: Path, file: SourceFile, written: int = 0) -> None:
    """Refuse to unpack so many bytes more, after those that were written, where there is no room for them."""
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise lacks_room(
            folder,
            written + needed + _SPARE_BYTES,
            f"{file.name}: unpacks to {needed >> 20} MiB and {folder.parent.parent} has {free >> 20} MiB "
            "free; make room, point TMPDIR elsewhere, or unpack it yourself and name the folder",
        )


def _target(folder: Path, entry: str, file: SourceFile) -> Path:
    target = folder.joinpath(*check_place(entry, file).parts)
    if target.exists():
        raise UsageError(f"{file.name}: holds {entry!r} twice")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _unpack_zip(file: SourceFile, folder: Path) -> None:
    with zipfile.ZipFile(file.path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        check_zip(archive.infolist(), file, PRODUCTS)
        _check_room(sum(entry.file_size for entry in entries), folder, file)
        left = PRODUCTS.bytes
        for entry in entries:
            target = _target(folder, entry.filename, file)
            with archive.open(entry) as source:
                left -= unpack_entry(source, target, entry.file_size, left, entry.filename, file)


def _unpack_tar(file: SourceFile, folder: Path) -> None:
    """Unpack in one pass: a compressed tar has no table of contents, so each entry is checked as it comes."""
    count = unpacked = 0
    with _tar_stream(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for entry in archive:
            if entry.isdir():
                check_place(entry.name, file)
                continue
            if entry.issym() or entry.islnk():
                raise UsageError(f"{file.name}: holds a link: {entry.name!r}")
            if not entry.isreg():
                raise UsageError(f"{file.name}: holds something that is no file: {entry.name!r}")
            count, unpacked = count + 1, unpacked + entry.size
            check_amount(count, unpacked, file, PRODUCTS)
            _check_room(entry.size, folder, file, unpacked - entry.size)
            target = _target(folder, entry.name, file)
            source = archive.extractfile(entry)
            if source is None:
                raise UsageError(f"{file.name}: {entry.name!r} cannot be unpacked")
            with source:
                written = unpack_entry(source, target, entry.size, entry.size, entry.name, file)
            if written != entry.size:
                raise EOFError(f"{entry.name!r} ends early")
        _check_end(archive, file)


class _Wary(io.BufferedIOBase):
    """A stream of which no large part is read at once: headers of a tar are read whole into memory."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name

    def read(self, size: int | None = -1) -> bytes:
        """Some bytes; a header of a tar that claims more than any has is refused."""
        if size is None or size < 0 or size > LARGEST_HEADER:
            raise UsageError(
                f"{self._name}: a header in it claims {size} bytes; it is damaged or made to do harm"
            )
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return self._stream.tell()

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
        super().close()


def _tar_stream(file: SourceFile) -> _Wary:
    """The tar's bytes, unpacked as they are read."""
    head = file.head(6)
    opener: Callable[[Path, str], Any] = open
    for start, each in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open)):
        if head.startswith(start):
            opener = each
    return _Wary(opener(file.path, "rb"), file.name)


def _check_end(archive: tarfile.TarFile, file: SourceFile) -> None:
    """Read a tar to its very end: only there a cut shows that fell between two entries."""
    stream = archive.fileobj
    if stream is None or stream.tell() < archive.offset + tarfile.BLOCKSIZE:
        raise EOFError("its end mark is missing")
    left = LARGEST_PADDING
    while block := stream.read(COPY_BYTES):
        left -= len(block)
        if left < 0:
            raise UsageError(f"{file.name}: goes on after the archive's end mark; get it anew")
