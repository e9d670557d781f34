"""A private folder for working files, which is gone afterwards even when a process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from db.local_disk import LocalDiskError, is_disk_errno, temporary_folder

PREFIX = "lode-ingest-"
_LOCK = ".lock"


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder below TMPDIR, and remove those that killed processes left there.

    A folder in use holds a lock file that its process keeps locked; the system lets go of the lock with the
    process, whatever ended it.

    Yields:
        The folder.

    Raises:
        LocalDiskError: there is no room for it now.

    """
    parent = temporary_folder()
    _remove_left_behind(parent)
    folder, lock = _made(parent)
    try:
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(parent: Path) -> tuple[Path, IO[str]]:
    """A new folder, and its lock file."""
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        return folder, (folder / _LOCK).open("w")
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if not is_disk_errno(error.errno):
            raise
        raise LocalDiskError(
            f"{parent}: no folder for working files can be made ({error.strerror}); "
            "make room, or point TMPDIR elsewhere"
        ) from error


def _remove_left_behind(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            # A folder without a lock file is just being made, or was killed in that very moment.
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
