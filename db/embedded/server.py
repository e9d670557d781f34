"""Starting and stopping the server of a cluster that exists."""

from __future__ import annotations

import time
from collections.abc import Callable

from db.embedded.account import last_line
from db.embedded.configuration import CONFIGURATION_FILE
from db.embedded.installation import Installation
from db.embedded.layout import Layout
from db.embedded.postmaster import find_postmaster, sweep_after_crash
from db.embedded.socket_folder import make_socket_folder
from db.errors import RetryError, UsageError

LARGEST_LOG_BYTES = 16 * 1024**2
FULL_DISK_BYTES = 32 * 1024**2
"""Two segments of the write-ahead log: with less the server cannot work."""

STOP_MODES = (("fast", 120), ("immediate", 30))
"""A fast stop writes a checkpoint; a server that cannot finish it is cut off, and recovers when started."""

START_HINTS = {
    "No space left on device": "the disk is full: free some space, then run `lode up` again",
    "could not resize shared memory": "too little shared memory: give the container more (--shm-size=1g)",
    "could not map anonymous shared memory": "too little memory: stop other programs, then run `lode up`",
    "already exists and is owned by": "another server uses this socket: run `lode status`",
    "contains errors": "correct postgresql.conf in the data folder, then run `lode up` again",
    "could not locate a valid checkpoint": "the data is damaged: restore it from a backup",
    "invalid page": "the data is damaged (a disk that fails?): restore it from a backup",
}
"""What to do, by what the log says."""


def start_server(
    layout: Layout,
    installation: Installation,
    configuration: str,
    *,
    timeout_s: int,
    report: Callable[[str], None],
) -> None:
    """Start the server, or wait for one that is on its way. The home's lock is held.

    Args:
        layout: where.
        installation: the PostgreSQL of the data's version.
        configuration: text of the configuration that Lode keeps.
        timeout_s: seconds to wait; recovery after a crash may take minutes.
        report: takes a line of progress.

    Raises:
        RetryError: it is still on its way after ``timeout_s``.
        UsageError: it does not start; gives the end of its log.

    """
    if _wait_for_postmaster(layout, timeout_s, report):
        return
    account = layout.account
    make_socket_folder(layout.sockets, account)
    sweep_after_crash(layout.data, layout.sockets, account)
    path = layout.data / CONFIGURATION_FILE
    if account.run(["cat", path]).stdout != configuration:  # on a full disk, the same text needs no room
        account.write(path, configuration)
    if layout.log.exists() and layout.log.stat().st_size > LARGEST_LOG_BYTES:
        account.run(["mv", "-f", "--", layout.log, layout.log.with_suffix(".log.1")])
    report(f"starting PostgreSQL {installation.version}")
    logged_before = layout.log.stat().st_size if layout.log.exists() else 0
    waiting = ["-w", "-t", str(timeout_s), "-s"]
    program = installation.program("pg_ctl")
    done = account.run([program, "start", "-D", layout.data, "-l", layout.log, *waiting])
    if done.returncode != 0:
        if find_postmaster(layout.data, account) is not None:
            raise RetryError(
                f"the server has not been ready for {timeout_s} s; after a crash it may still be recovering: "
                f"see {layout.log}, and run `lode up` again later"
            )
        raise UsageError(_why_not_started(layout, done.stderr, logged_before))


def stop_server(layout: Layout, installation: Installation) -> bool:
    """Stop the server, rolling back open transactions. The home's lock is held.

    Returns:
        Whether a server was running.

    Raises:
        UsageError: it does not stop.

    """
    if find_postmaster(layout.data, layout.account) is None:
        return False
    said = ""
    for mode, patience_s in STOP_MODES:
        waiting = ["-w", "-t", str(patience_s), "-s"]
        program = installation.program("pg_ctl")
        done = layout.account.run([program, "stop", "-D", layout.data, "-m", mode, *waiting])
        if done.returncode == 0 or find_postmaster(layout.data, layout.account) is None:
            return True
        said = last_line(done.stderr)
    raise UsageError(f"the server does not stop ({said}): see {layout.log}")


def _wait_for_postmaster(layout: Layout, timeout_s: float, report: Callable[[str], None]) -> bool:
    """Wait for a server that is starting or stopping; whether one is ready in the end."""
    deadline = time.monotonic() + timeout_s
    said = ""
    while (postmaster := find_postmaster(layout.data, layout.account)) is not None:
        if postmaster.state == "ready":
            return True
        if time.monotonic() > deadline:
            raise RetryError(
                f"the server (process {postmaster.pid}) has been {postmaster.state} for {timeout_s:.0f} s: "
                f"see {layout.log}, and run `lode up` again later"
            )
        if said != postmaster.state:
            report(f"waiting for a server that is {postmaster.state}")
            said = postmaster.state
        time.sleep(0.1)
    return False


def _why_not_started(layout: Layout, said: str, logged_before: int) -> str:
    """Put the end of the log, from this start on, beside what to do."""
    log = layout.account.run(["tail", "-c", f"+{logged_before + 1}", "--", layout.log]).stdout
    hint = next((advice for sign, advice in START_HINTS.items() if sign in log), None)
    if layout.free_bytes() < FULL_DISK_BYTES:
        hint = START_HINTS["No space left on device"]
    lines = [f"the private cluster in {layout.home} did not start ({last_line(said)})"]
    lines += [f"  {line}" for line in log.splitlines()[-15:]]
    lines.append(f"the log is {layout.log}")
    return "\n".join([*lines, hint] if hint else lines)
