"""Archives that somebody brought: what may be unpacked, and how much of it."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from db.errors import UsageError
from ingest.files import SourceFile

COPY_BYTES = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class UnpackLimits:
    """What an archive may hold before it counts as an attack or an accident.

    Attributes:
        entries: number of files.
        bytes: unpacked size of all.
        small_bytes: an archive that unpacks to no more than this may be packed as tightly as it likes.
        ratio: unpacked size over packed size, above small_bytes.

    """

    entries: int
    bytes: int
    small_bytes: int = 64 << 20
    ratio: int = 200


SHAPEFILES = UnpackLimits(entries=1000, bytes=4 * GIB)
"""Real shapefiles pack 3 to 20 times."""

PRODUCTS = UnpackLimits(entries=20_000, bytes=64 * GIB)
"""Scenes pack 1 to 10 times; the largest products unpack to about 20 GiB."""


def check_place(entry: str, file: SourceFile) -> PurePosixPath:
    """Refuse a path that leaves the archive.

    Raises:
        UsageError: it is absolute, climbs, or cannot be a file name.

    """
    path = PurePosixPath(entry.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise UsageError(f"{file.name}: holds a file that would land elsewhere: {entry!r}")
    if not path.parts or "\0" in entry:
        raise UsageError(f"{file.name}: holds a file without a name: {entry!r}")
    return path


def check_amount(count: int, unpacked: int, file: SourceFile, limits: UnpackLimits) -> None:
    """Refuse an archive that would fill the disk.

    Args:
        count: number of its files.
        unpacked: their size, bytes.
        file: the archive.
        limits: what is allowed.

    Raises:
        UsageError: it holds too many files or unpacks to too much.

    """
    if count > limits.entries:
        raise UsageError(f"{file.name}: holds {count} files; at most {limits.entries} are looked at")
    if unpacked > max(limits.small_bytes, min(limits.bytes, limits.ratio * file.size_bytes)):
        raise UsageError(
            f"{file.name}: unpacks from {file.size_bytes} to {unpacked} bytes, more than {limits.ratio} "
            f"times its size or {limits.bytes // GIB} GiB: it is made to fill the disk"
        )


def check_zip(entries: Iterable[zipfile.ZipInfo], file: SourceFile, limits: UnpackLimits) -> None:
    """Refuse a zip archive whose table of contents is suspicious.

    Raises:
        UsageError: an entry leaves the archive, is a link or encrypted, or there is too much of it.

    """
    sizes = []
    for entry in entries:
        check_place(entry.filename, file)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise UsageError(f"{file.name}: holds a symbolic link: {entry.filename!r}")
        if entry.flag_bits & 0x1:
            raise UsageError(f"{file.name}: is encrypted; unpack it first")
        sizes.append(entry.file_size)
    check_amount(len(sizes), sum(sizes), file, limits)


def unpack_entry(
    source: IO[bytes], target: Path, stated_bytes: int, left: int, entry: str, file: SourceFile
) -> int:
    """Unpack one file; what the archive says about its size is not believed.

    Args:
        source: the entry, opened.
        target: file to write.
        stated_bytes: size that the archive states.
        left: how much may still be written.
        entry: its name, for messages.
        file: the archive, for messages.

    Returns:
        Bytes written.

    Raises:
        UsageError: there is more of it than stated.

    """
    written = 0
    with target.open("wb") as sink:
        while block := source.read(COPY_BYTES):
            written += len(block)
            if written > left or written > stated_bytes:
                raise UsageError(f"{file.name}: {entry!r} is larger than the archive says")
            sink.write(block)
    return written
