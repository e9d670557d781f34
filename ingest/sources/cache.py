"""Folders that files are fetched into: one an item, kept for the next attempt, swept when nobody needs it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from db.errors import UsageError
from db.local_disk import LocalDiskError, is_disk_errno

PREFIX = "item-"
KEPT_S = 2 * 86_400
"""What no attempt came back for after so many seconds is swept."""
_LOCK = ".lock"


class CacheFolder:
    """The folder of one item.

    Attributes:
        path: the folder.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_done = False

    def finish(self) -> None:
        """Say that nothing in it is needed any more: it is removed when it is left."""
        self._is_done = True

    @property
    def is_done(self) -> bool:
        """Whether nothing in it is needed any more."""
        return self._is_done


@contextmanager
def cache_folder(parent: Path, identity: str) -> Iterator[CacheFolder]:
    """The folder of an item, with what an earlier attempt on this machine left in it.

    A process that works in a folder holds its lock file; the system lets go of it with the process, whatever
    ended it. Where another process still holds it (one that was stopped and given up), a new folder is made.

    Args:
        parent: the cache; made where it is missing.
        identity: tells the item and its version from every other one.

    Yields:
        The folder; kept afterwards unless ``finish`` was called.

    Raises:
        LocalDiskError: there is no room in it now, or its disk is mounted read-only.
        UsageError: it cannot be made or written to.

    """
    name = PREFIX + hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(parent, name)
        folder, handle = _take(parent, name)
    except OSError as error:
        kind = LocalDiskError if is_disk_errno(error.errno) else UsageError
        raise kind(
            f"{parent}: cannot be written to ({error.strerror}); let LODE_CACHE name a folder that can"
        ) from error
    made = CacheFolder(folder)
    try:
        yield made
    finally:
        if made.is_done:
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _take(parent: Path, name: str) -> tuple[Path, int]:
    while True:
        folder = parent / name
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue  # swept in this moment
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            name = f"{name}-{uuid.uuid4().hex[:8]}"
            continue
        with suppress(OSError):
            if os.fstat(handle).st_ino == (folder / _LOCK).stat().st_ino:
                os.utime(folder)
                return folder, handle
        os.close(handle)


def _sweep(parent: Path, kept: str) -> None:
    """Remove what killed attempts left and nobody came back for."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            if folder.is_symlink() or facts.st_uid != os.getuid() or folder.name == kept:
                continue
            if time.time() - facts.st_mtime < KEPT_S:
                continue
            with (folder / _LOCK).open("a+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
