"""A project as a .qgz file: whole or not at all, and never in the place of what somebody else made."""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from db.errors import UsageError

MARK = b"written by Lode"
"""Comment of the archive. QGIS writes none, so that a project loses it when somebody saves it there."""


def is_ours(path: Path) -> bool:
    """Whether a file is a project as Lode wrote it, which nobody has saved since."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == MARK
    except (OSError, zipfile.BadZipFile):
        return False


def check_target(out: Path) -> None:
    """Refuse a name under which no project may be written, before any work is done.

    Raises:
        UsageError: it ends in something else than .qgz, its folder is missing or closed, or it is there
            already and is no project as Lode wrote it.

    """
    if out.suffix != ".qgz":
        raise UsageError(f"--out is {out}; a project's name ends in .qgz")
    if not out.parent.is_dir():
        raise UsageError(
            f"cannot write {out}: there is no folder {out.parent}; make it or choose another --out"
        )
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write {out}: folder {out.parent} is closed to you; choose another --out")
    if out.is_dir():
        raise UsageError(f"cannot write {out}: it is a folder; choose another --out")
    if os.path.lexists(out) and not is_ours(out):
        raise UsageError(
            f"{out} is there already and was not written by Lode, or was saved in QGIS since; it stays as it "
            "is: choose another --out, or move it away"
        )


def write_project(out: Path, content: bytes) -> None:
    """Write a project beside its place and move it there; a failure leaves what was there.

    Args:
        out: the file.
        content: the archive, with ``MARK`` as its comment.

    Raises:
        UsageError: as ``check_target``, or the disk is full.

    """
    check_target(out)
    try:
        with tempfile.TemporaryDirectory(prefix=".lode-", dir=out.parent) as folder:
            made = Path(folder) / out.name
            made.write_bytes(content)
            if out.exists():
                made.chmod(out.stat().st_mode & 0o777)
            os.replace(made, out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}; choose another --out") from error
