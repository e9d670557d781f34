"""Faults of this machine's own disk, told apart from those of the work and of the database server.

A disk without room, or one that cannot be written to, lets everything fail that is begun on its machine: the
work is not to blame, and another machine may do it. What lacks room on the server is a ``psycopg`` error.
"""

from __future__ import annotations

import errno

from db.errors import RetryError, UsageError

_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class LocalDiskError(RetryError):
    """A disk of this machine has no room now, or cannot be written to."""


def is_local_disk_fault(error: BaseException) -> bool:
    """Whether a disk of this machine was in the way.

    What was refused (another ``UsageError``) stays refused: a folder that somebody named for one source may
    lie on a disk that is never written to, and that is no reason to stop working.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LocalDiskError):
            return True
        if isinstance(cause, UsageError) and not isinstance(cause, RetryError):
            return False
        if isinstance(cause, OSError) and cause.errno in _ERRNOS:
            return True
        cause = cause.__cause__
    return False
