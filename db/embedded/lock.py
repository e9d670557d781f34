"""One start, stop or making of a cluster at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from db.embedded.account import Account
from db.errors import RetryError, UsageError


@contextmanager
def locked(path: Path, account: Account, report: Callable[[str], None], timeout_s: float) -> Iterator[int]:
    """Hold a lock file.

    Args:
        path: the file; made when it is missing, and never removed.
        account: who shall own it.
        report: told when somebody else holds it.
        timeout_s: seconds to wait for it.

    Yields:
        The file's descriptor. A program that inherits it keeps the lock when this process is killed.

    Raises:
        RetryError: somebody else held it all the time.
        UsageError: the file cannot be opened or locked.

    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot open {path}: {error.strerror}") from error
    try:
        if not account.is_self:
            os.fchown(descriptor, account.uid, account.gid)
        _wait(descriptor, path, report, timeout_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, report: Callable[[str], None], timeout_s: float) -> None:
    started = time.monotonic()
    said = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited_s = time.monotonic() - started
            if waited_s > timeout_s:
                raise RetryError(
                    f"another lode has been starting or stopping this cluster for {waited_s:.0f} s "
                    f"(it holds {path}): try again when it has ended"
                ) from None
            if waited_s > 1 and not said:
                report("waiting for another lode that starts or stops this cluster")
                said = True
            time.sleep(0.05)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be locked ({error.strerror}): set LODE_HOME to a folder on a local disk"
            ) from error
        else:
            return
