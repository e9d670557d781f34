"""Disks of this machine without room, or that cannot be written to; see ``db.machine_faults``.

What lacks room on the server is a ``psycopg`` error.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from db.errors import MachineError, UsageError

_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class LocalDiskError(MachineError):
    """A disk of this machine has no room now, or cannot be written to."""


def is_disk_errno(number: int | None) -> bool:
    """Whether the system says by this number that a disk has no room or cannot be written to."""
    return number in _ERRNOS


def temporary_folder() -> Path:
    """Where working files go: ``TMPDIR``, else the system's folder for them.

    Raises:
        LocalDiskError: nothing can be written there. Python only says that it found no folder.

    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise LocalDiskError(
            "no folder for working files can be written to (TMPDIR, /tmp, /var/tmp): "
            "make room there, or point TMPDIR elsewhere"
        ) from error


def lacks_room(
    folder: Path, needed_bytes: int, message: str, never: type[UsageError] = UsageError
) -> UsageError:
    """What to raise where a folder's disk has less than is needed: it may have it later, or never will.

    Args:
        folder: on the disk.
        needed_bytes: how much must be free, bytes.
        message: what the error says.
        never: the error where the whole disk is smaller; a ``RetryError`` leaves the work to another machine.

    """
    is_for_now = needed_bytes <= shutil.disk_usage(folder).total
    return (LocalDiskError if is_for_now else never)(message)
