"""The server's process: told from its pid file, never confused with another process of the same number."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from db.embedded.account import Account
from db.embedded.socket_folder import SOCKET_NAME
from db.errors import UsageError

PID_FILE = "postmaster.pid"


@dataclass(frozen=True)
class Postmaster:
    """A running server.

    Attributes:
        pid: its process.
        state: what it wrote last: ``starting``, ``ready`` or ``stopping``.

    """

    pid: int
    state: str


def find_postmaster(data: Path, account: Account) -> Postmaster | None:
    """The server of a data directory, or None when none runs.

    A pid file outlives a crash, and its number may by then belong to any other process: the process
    counts only when it works in the data directory, as a postmaster does.
    """
    done = account.run(["cat", data / PID_FILE])
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    if not lines or not lines[0].strip().isdigit():
        return None
    pid = int(lines[0])
    if _working_folder(pid, account) != os.path.realpath(data):
        return None
    state = lines[7].strip() if len(lines) > 7 else "starting"
    return Postmaster(pid, state)


def sweep_after_crash(data: Path, sockets: Path, account: Account, *, patience_s: float = 3.0) -> None:
    """Remove what a killed server left: processes still at work, its pid file, its socket.

    To be called under the home's lock, when ``find_postmaster`` finds none. PostgreSQL itself refuses to
    start when the number in a left-over file belongs to any process of the same user.

    Args:
        data: data directory.
        sockets: folder of the socket.
        account: who the cluster runs as.
        patience_s: seconds that left-over processes get to notice, before and after they are asked to quit.

    Raises:
        UsageError: a left-over process does not end.

    """
    if not _wait_for_end(data, account, patience_s):
        for pid in _processes_in(data, account):
            account.run(["kill", f"-{signal.SIGQUIT.name.removeprefix('SIG')}", str(pid)])
        if not _wait_for_end(data, account, patience_s):
            left = " ".join(map(str, _processes_in(data, account)))
            raise UsageError(
                f"processes of a server that was killed still work in {data} and do not end: "
                f"end them (kill -9 {left}) and run `lode up` again"
            )
    leftovers = [data / PID_FILE, sockets / SOCKET_NAME, sockets / f"{SOCKET_NAME}.lock"]
    account.run(["rm", "-f", "--", *leftovers])


def _wait_for_end(data: Path, account: Account, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while _processes_in(data, account):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _working_folder(pid: int, account: Account) -> str | None:
    """Working folder of a process of the account; None when there is none.

    Asked as the account itself: in a container even root may not look at processes of another user.
    """
    done = account.run(["readlink", f"/proc/{pid}/cwd"])
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def _processes_in(data: Path, account: Account) -> list[int]:
    """Processes named postgres that work in the data directory."""
    command = ["find", "/proc", "-mindepth", "2", "-maxdepth", "2", "-name", "cwd", "-printf", "%h %l\n"]
    lines = account.run(command).stdout.splitlines()
    wanted = os.path.realpath(data)
    pids = []
    for line in lines:
        process, _, folder = line.partition(" ")
        if folder == wanted and _program_name(process) == "postgres":
            pids.append(int(process.removeprefix("/proc/")))
    return pids


def _program_name(process: str) -> str:
    try:
        return Path(process, "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
