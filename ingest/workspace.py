"""A private folder for working files, which is gone afterwards even when a process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "lode-ingest-"
_LOCK = ".lock"


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder below TMPDIR, and remove those that killed processes left there.

    A folder in use holds a lock file that its process keeps locked; the system lets go of the lock with the
    process, whatever ended it.

    Yields:
        The folder.

    """
    parent = Path(tempfile.gettempdir())
    _remove_left_behind(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            # A folder without a lock file is just being made, or was killed in that very moment.
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
