"""Advisory locks by name, held to the end of the transaction, and bounds on how long one waits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, errors

from db.errors import RetryError

WAIT_S = 1800
"""How long one waits for another process's transaction, seconds: loading a scene takes minutes."""

ROW_WAIT_S = 60
"""How long one waits at a time for a row of a run, seconds; then the transaction is begun anew."""

SILENT_S = 60
"""How long a client that holds what others wait for may say nothing, seconds."""

GONE_S = 2
"""How often the server looks, within a statement, whether such a client is still connected, seconds."""


def advisory_key(name: str) -> int:
    """Key of a lock: the first 63 bits of the name's SHA-256."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def hold(conn: Connection[Any], name: str, report: Callable[[str], None], *, wait_s: int = WAIT_S) -> None:
    """Take an advisory lock, waiting for whoever holds it.

    Args:
        conn: connection inside a transaction; its end releases the lock.
        name: what is locked, for instance ``scene product X``.
        report: takes a line when one has to wait.
        wait_s: longest wait, seconds.

    Raises:
        RetryError: it was not to be had in time.

    """
    key = advisory_key(name)
    row = conn.execute("select pg_try_advisory_xact_lock(%s)", (key,)).fetchone()
    if row is not None and row[0]:
        return
    report(f"another process works on {name}: waiting for it")
    before = conn.execute(
        "select current_setting('lock_timeout'), set_config('lock_timeout', %s, true)", (f"{wait_s}s",)
    ).fetchone()
    try:
        conn.execute("select pg_advisory_xact_lock(%s)", (key,))
    except errors.LockNotAvailable as error:
        raise RetryError(f"another process has worked on {name} for {wait_s} s; try again later") from error
    if before is not None:
        conn.execute("select set_config('lock_timeout', %s, true)", (before[0],))


@contextmanager
def waiting_in_parts(conn: Connection[Any]) -> Iterator[None]:
    """Wait for no lock longer than ``ROW_WAIT_S``, within the ``with`` only.

    Whoever waited in vain begins anew, and is heard of meanwhile: what holds the lock may be a publication of
    minutes, or a process that was stopped.

    Raises:
        LockNotAvailable: a lock was not to be had in time; the transaction is to be rolled back.

    """
    before = conn.execute(
        "select current_setting('lock_timeout'), set_config('lock_timeout', %s, true)",
        (f"{round(1000 * ROW_WAIT_S)}ms",),
    ).fetchone()
    yield
    if before is not None:
        conn.execute("select set_config('lock_timeout', %s, true)", (before[0],))


def allow_long_transaction(conn: Connection[Any]) -> None:
    """Keep the server from ending this transaction while a file is read between two statements."""
    conn.execute("select set_config('idle_in_transaction_session_timeout', '0', true)")


def end_sessions(conn: Connection[Any], application_name: str) -> None:
    """End this login's other sessions of that name in this database; their transactions are rolled back."""
    conn.execute(
        "select pg_terminate_backend(a.pid) from pg_stat_activity a where a.application_name = %s"
        " and a.datname = current_database() and a.usename = session_user and a.pid <> pg_backend_pid()",
        (application_name,),
    )


def end_when_silent(conn: Connection[Any], silent_s: int = SILENT_S) -> None:
    """Let the server end this transaction when its client falls silent in the middle of it.

    For short transactions that hold what others wait for: the client may have been stopped, or its network
    cut, which the server would notice after two hours by itself; or killed while a statement waits or works,
    which the server would notice at its end.

    Args:
        conn: connection inside a transaction.
        silent_s: longest time between two statements, or without an answer of the client's machine, seconds.

    """
    # On other systems the server cannot look whether a client is there, and refuses the setting.
    conn.execute(
        "select set_config('idle_in_transaction_session_timeout', %(ms)s, true),"
        " case when version() ~* 'linux|darwin|bsd'"
        " then set_config('client_connection_check_interval', %(gone_ms)s, true) end,"
        " set_config('tcp_user_timeout', %(ms)s, true), set_config('tcp_keepalives_idle', '20', true),"
        " set_config('tcp_keepalives_interval', '10', true), set_config('tcp_keepalives_count', '3', true)",
        {"ms": str(1000 * silent_s), "gone_ms": str(1000 * GONE_S)},
    )
