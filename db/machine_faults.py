"""Faults of this machine itself, told apart from those of the work and of the database server.

A disk without room, or a GPU that others have filled or that fails, lets everything fail that is begun on its
machine: the work is not to blame, and another machine may do it. So the work is given back, and whoever works
on this machine pauses.
"""

from __future__ import annotations

from db.errors import MachineError, RetryError, UsageError
from db.local_disk import is_disk_errno


def machine_fault(error: BaseException) -> MachineError | OSError | None:
    """What of this machine was in the way: the error itself, or a cause of it; None: nothing was.

    What was refused (another ``UsageError``) stays refused: a folder that somebody named for one source may
    lie on a disk that is never written to, and that is no reason to stop working.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MachineError):
            return cause
        if isinstance(cause, UsageError) and not isinstance(cause, RetryError):
            return None
        if isinstance(cause, OSError) and is_disk_errno(cause.errno):
            return cause
        cause = cause.__cause__
    return None
