"""A package on disk: a folder or an unpacked archive, whose files were checked one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ingest.files import SourceFile


@dataclass(frozen=True)
class Package:
    """The files of a package.

    Attributes:
        name: the folder's or archive's own name, for messages and the catalogue.
        folder: where the files lie.
        files: every regular file, by its path inside the package with ``/`` between folders; in order of the
            path. Empty files are not refused here: ``size_bytes`` 0 is the reader's to refuse, with
            the reason that counts there.
        named: path inside the package of the one file that the user named; None when it was a folder or an
            archive.

    """

    name: str
    folder: Path
    files: Mapping[str, SourceFile]
    named: str | None = None
