"""The folder of the Unix socket: private to one user, and with a path that the kernel accepts."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from db.embedded.account import Account, last_line
from db.embedded.configuration import PORT
from db.errors import UsageError

SOCKET_NAME = f".s.PGSQL.{PORT}"
LONGEST_SOCKET_PATH_BYTES = 107
"""``sun_path`` of Linux holds 108 bytes with its closing zero."""


def socket_folder(home: Path, account: Account) -> Path:
    """Where the socket of a cluster goes: ``<home>/run``, or a short folder when that will not do.

    Commas separate hosts in libpq and folders in the server, and quotes and backslashes are special in
    the server's configuration: a home with any of them gets the short folder too.
    """
    preferred = home / "run"
    path_bytes = len(os.fsencode(preferred / SOCKET_NAME))
    is_plain = str(preferred).isprintable() and not set(str(preferred)) & set(",\"'\\")
    if path_bytes <= LONGEST_SOCKET_PATH_BYTES and is_plain:
        return preferred
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    # Not the temporary folder of TMPDIR: it may differ between two shells of one user.
    return Path("/tmp") / f"lode-{account.uid}-{digest}"  # noqa: S108 - ownership is verified


def make_socket_folder(folder: Path, account: Account) -> None:
    """Make the folder when it is missing (after a reboot) and verify it.

    Raises:
        UsageError: it cannot be made, or is not private to the account.

    """
    done = account.run(["mkdir", "-m", "0700", folder])
    if done.returncode != 0 and not os.path.lexists(folder):
        raise UsageError(f"cannot make the socket's folder: {last_line(done.stderr)}")
    verify_socket_folder(folder, account)


def verify_socket_folder(folder: Path, account: Account) -> None:
    """See that nobody but the account can put a socket into the folder.

    Raises:
        UsageError: somebody else made it, it is a link, or others may enter it.

    """
    try:
        facts = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != account.uid or facts.st_mode & 0o077:
        raise UsageError(
            f"{folder} must be a folder that belongs to the user {account.name} and that nobody else may "
            "enter (mode 0700): remove it, or set LODE_HOME to another folder"
        )
