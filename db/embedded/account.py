"""The operating system user that a private cluster runs as.

PostgreSQL refuses to run as root. Root therefore acts through the ``postgres`` user: whatever happens
inside the cluster's home happens with that user's rights, so that nobody who owns the home can lead root
through a symbolic link.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.errors import UsageError

SERVER_USER = "postgres"
"""The user that PostgreSQL's packages create."""

WORKPLACES = ("cache", "reports")
"""Folders in a home that workers of another server use too, where nothing else is set."""

PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Account:
    """An operating system user.

    Attributes:
        uid: numeric user.
        gid: its own group.
        name: login name, or the number where there is none.
        home: its home folder.

    """

    uid: int
    gid: int
    name: str
    home: str

    @property
    def is_self(self) -> bool:
        """Whether this process already runs as the account."""
        return self.uid == os.geteuid()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        text: str | None = None,
        timeout_s: float | None = None,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as the account and wait for it.

        The environment is built anew: a ``PGDATA``, ``PGOPTIONS`` or ``PROJ_LIB`` of the caller must not
        reach the server. The working folder is ``/``, which every account can enter.

        Args:
            command: program and arguments.
            text: what the program reads from standard input; nothing by default.
            timeout_s: seconds after which the program is killed; none by default.
            pass_fds: file descriptors that stay open in the program.

        Raises:
            subprocess.TimeoutExpired: the program took longer than ``timeout_s``.

        """
        environment = {"PATH": PROGRAM_PATH, "LC_ALL": "C", "HOME": self.home}
        arguments = [str(part) for part in command]
        switch = not self.is_self
        return subprocess.run(
            arguments,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            input=text or "",
            timeout=timeout_s,
            cwd="/",
            env=environment,
            user=self.uid if switch else None,
            group=self.gid if switch else None,
            extra_groups=[] if switch else None,
            umask=0o077,
            pass_fds=pass_fds,
        )

    def write(self, path: Path, text: str) -> None:
        """Replace a small text file in one step, as the account.

        Raises:
            UsageError: the file cannot be written.

        """
        script = 'set -e; rm -f "$1.new"; cat > "$1.new"; mv -f "$1.new" "$1"'
        done = self.run(["sh", "-c", script, "sh", path], text=text)
        if done.returncode != 0:
            raise UsageError(f"cannot write {path}: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    """The last line of a program's messages that is not empty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def account_of(uid: int) -> Account:
    """The account with a number, whether or not it has a name."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, os.getegid(), str(uid), "/")
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir)


def account_for(data: Path) -> Account:
    """The account that a cluster runs as: the owner of its data, else whoever may make one here.

    Args:
        data: data directory, which need not exist.

    Raises:
        UsageError: the data belongs to another user, or root has no ``postgres`` user to act through.

    """
    try:
        owner = data.stat().st_uid
    except FileNotFoundError:
        return _account_for_new()
    except PermissionError as error:
        raise UsageError(
            f"{data} belongs to another user: run lode as that user or as root, "
            "or set LODE_HOME to a folder of your own"
        ) from error
    except OSError as error:
        raise UsageError(
            f"{data} cannot be used: {error.strerror}; set LODE_HOME to another folder"
        ) from error
    if owner == 0:
        raise UsageError(
            f"{data} belongs to root, and PostgreSQL refuses to run as root: "
            f"if Lode made it, give it back to its user (chown -R {SERVER_USER} {data}); "
            "else set LODE_HOME to another folder"
        )
    if owner != os.geteuid() and os.geteuid() != 0:
        raise UsageError(
            f"{data} belongs to the user {account_of(owner).name}: run lode as that user or as root, "
            "or set LODE_HOME to a folder of your own"
        )
    return account_of(owner)


def _account_for_new() -> Account:
    if os.geteuid() != 0:
        return account_of(os.geteuid())
    try:
        return account_of(pwd.getpwnam(SERVER_USER).pw_uid)
    except KeyError:
        raise UsageError(
            "PostgreSQL refuses to run as root and there is no user "
            f"{SERVER_USER!r} to run it: install PostgreSQL (apt-get install postgresql postgresql-postgis), "
            "or run lode as an ordinary user"
        ) from None


def _is_workplace(path: Path) -> bool:
    """Whether root's own workers made a folder: what they fetch or report lies there by default."""
    found = path.lstat()
    return path.name in WORKPLACES and stat.S_ISDIR(found.st_mode) and found.st_uid == 0


def prepare_home(home: Path, account: Account) -> None:
    """Make the cluster's home and see that the account can write in it.

    Root makes a missing home and hands it over; an empty one is handed over as well, and one in which root
    has only worked for another server. A folder that holds anything else keeps its owner.

    Raises:
        UsageError: the home cannot be made or the account cannot reach it.

    """
    is_new = not home.exists()
    try:
        home.mkdir(parents=True, mode=0o700, exist_ok=True)
        if os.geteuid() == 0 and home.stat().st_uid == 0 and all(map(_is_workplace, home.iterdir())):
            os.chown(home, account.uid, account.gid)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {home}: {error.strerror}; set LODE_HOME to a folder that can be written"
        ) from error
    if account.run(["sh", "-c", 'test -w "$1" && test -x "$1"', "sh", home]).returncode != 0:
        if is_new:
            home.rmdir()
        where = "" if account.is_self else " whose parents everyone may enter, such as /var/lib/lode"
        raise UsageError(
            f"the user {account.name}, who runs the private cluster, cannot write in {home}: "
            f"set LODE_HOME to an empty folder of its own{where}"
        )
