"""Making a private cluster, in such a way that an interruption never leaves half a one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from db.embedded.account import Account, last_line
from db.embedded.configuration import CONFIGURATION_FILE
from db.embedded.installation import Installation
from db.embedded.layout import MARKER, Layout
from db.errors import UsageError

SUPERUSER = "lode_admin"

ACCESS_RULES = """\
# The socket lies in a folder that only its owner may enter: whoever comes through it is the owner.
local all all trust
"""


def make_cluster(
    layout: Layout,
    installation: Installation,
    *,
    lock: int,
    durable: bool,
    least_free_bytes: int,
    report: Callable[[str], None],
) -> None:
    """Run initdb beside the data's place, mark the result, and move it there in one step.

    Args:
        layout: where; the home exists and its lock is held.
        installation: the PostgreSQL to use.
        lock: descriptor of the lock.
        durable: whether to sync what was written.
        least_free_bytes: room asked for.
        report: takes a line of progress.

    Raises:
        UsageError: too little room, or initdb failed; nothing is left behind.

    """
    free = layout.free_bytes()
    if free < least_free_bytes:
        raise UsageError(
            f"a new cluster needs {least_free_bytes / 1e6:.0f} MB, and {layout.home} has "
            f"{free / 1e6:.0f} MB free: free some space, or set LODE_HOME to a folder on another disk"
        )
    report(f"making a private PostgreSQL {installation.version} cluster in {layout.home}")
    account = layout.account
    _remove_unfinished(layout)
    unfinished = layout.home / f"data.new-{os.getpid()}"
    try:
        _initdb(account, installation, unfinished, lock, durable=durable)
        script = 'set -e; echo "include = \'$2\'" >> "$1/postgresql.conf"; : > "$1/$2"'
        _checked(account, ["sh", "-c", script, "sh", unfinished, CONFIGURATION_FILE])
        account.write(unfinished / "pg_hba.conf", ACCESS_RULES)
        account.write(unfinished / MARKER, f"made by Lode with PostgreSQL {installation.version}\n")
        _checked(account, ["mv", "-T", "--", unfinished, layout.data])
    finally:
        _remove_unfinished(layout)


def _initdb(account: Account, installation: Installation, folder: Path, lock: int, *, durable: bool) -> None:
    command: list[str | Path] = [installation.program("initdb"), "-D", folder, "-U", SUPERUSER]
    command += ["-E", "UTF8", "-A", "trust", "--data-checksums", "--no-instructions"]
    command += [] if durable else ["--no-sync"]
    for locale in ("C.UTF-8", "C"):
        # The lock stays with initdb: should this process be killed, the next one waits for initdb's end.
        done = account.run([*command, f"--locale={locale}", "--lc-messages=C"], pass_fds=(lock,))
        if done.returncode == 0:
            return
        if "invalid locale" not in done.stderr:
            break
    advice = (
        "\nfree some space, or set LODE_HOME to a folder on another disk" if "No space" in done.stderr else ""
    )
    raise UsageError(f"initdb failed in {folder.parent}:\n{done.stderr.strip()}{advice}")


def _remove_unfinished(layout: Layout) -> None:
    unfinished = list(layout.home.glob("data.new-*"))
    if unfinished:
        layout.account.run(["rm", "-rf", "--", *unfinished])


def _checked(account: Account, command: Sequence[str | Path]) -> None:
    done = account.run(command)
    if done.returncode != 0:
        raise UsageError(f"the new cluster could not be finished: {last_line(done.stderr)}")
