"""Files that users name: only regular local files inside the allowed folders are ever opened."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.errors import UsageError

HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file that may be read.

    Attributes:
        path: where it really lies: absolute, symbolic links followed.
        name: its own name, for messages and the catalogue.
        size_bytes: size.
        stamp: inode and time of the last change, to notice a file that changes while it is read.

    """

    path: Path
    name: str
    size_bytes: int
    stamp: tuple[int, int]

    def head(self, count: int) -> bytes:
        """The first bytes."""
        with self.path.open("rb") as stream:
            return stream.read(count)

    def sha256(self) -> str:
        """SHA-256 of the content."""
        digest = hashlib.sha256()
        with self.path.open("rb") as stream:
            while block := stream.read(HASH_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was found.

        Raises:
            UsageError: size, inode or time of change differ.

        """
        found = self.path.stat()
        if (found.st_ino, found.st_mtime_ns) != self.stamp or found.st_size != self.size_bytes:
            raise UsageError(f"{self.name}: it changed while it was read; try again when it is complete")


def source_file(given: str | Path, roots: Sequence[Path] = ()) -> SourceFile:
    """Find a file that a user named.

    Args:
        given: path as typed. URLs and GDAL's virtual paths (``/vsicurl/...``) are refused.
        roots: resolved folders that the file must lie in, after following links; empty: any folder.

    Raises:
        UsageError: it is no readable, regular, non-empty local file inside the roots.

    """
    text = os.fspath(given)
    if "://" in text or re.match("/+vsi", text):
        raise UsageError(
            f"{text}: only files on this machine are read, no URLs and no /vsi paths; fetch it first"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r}: the file name is not UTF-8; rename the file") from None
    try:
        path = Path(text).resolve(strict=True)
        found = path.stat()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{text}: cannot be found: {reason}") from None
    if roots and not any(path.is_relative_to(root) for root in roots):
        raise UsageError(
            f"{text}: lies outside the folders that may be read (LODE_ALLOWED_ROOTS): "
            + ", ".join(map(str, roots))
        )
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{text}: is not a regular file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{text}: may not be read by this user")
    if found.st_size == 0:
        raise UsageError(f"{text}: the file is empty (0 bytes)")
    return SourceFile(path, Path(text).name or path.name, found.st_size, (found.st_ino, found.st_mtime_ns))


def describe_start(head: bytes) -> str:
    """Say what a file that is not what its name claims seems to be, from its first bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = (
        (b"<!doctype html", "a web page"),
        (b"<html", "a web page"),
        (b"<vrtdataset", "a GDAL virtual raster (VRT)"),
        (b"<ogrvrtdatasource", "a GDAL virtual data source (VRT)"),
        (b"<gdal_wms", "a GDAL WMS description"),
        (b"<gdaltileindexdataset", "a GDAL tile index"),
        (b"<", "XML or HTML"),
        (b"{", "JSON"),
        (b"pk\x03\x04", "a zip archive"),
        (b"sqlite format 3", "an SQLite database"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"\x89png", "a PNG image"),
    )
    return next((what for start, what in known if text.startswith(start)), "something else")
