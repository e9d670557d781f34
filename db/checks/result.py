"""What a check is, what it finds, and how it is run so that it can neither hang nor change anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection, errors

DAY_S = 86_400.0
LOCK_S = 5.0
"""Longest wait for a lock, seconds: an upgrade may hold some."""
WHO_SEES = "lode_check may (docs/operations.md)"
"""Told where the role may not look: the login that is made for checks reads all and writes nothing."""


@dataclass(frozen=True)
class Limits:
    """From where on something is told; of two figures the first is a warning, the second a fault.

    Attributes:
        stuck_s: silence of a worker after which what it does is stuck, seconds: what the reaper waits too.
        waiting_s: time after which a waiting job is told, seconds: where no living worker takes from its
            queue (a fault), and where one does (a warning).
        recent_s: failures of so long ago are told, seconds.
        transaction_s: age of a transaction, seconds.
        idle_s: idleness within a transaction, seconds.
        notifications_share: of the server's room for notifications.
        dead_share: share of a table's rows that is dead.
        dead_bytes: room that the dead rows take, bytes: small tables are not told.
        transaction_ids: age of a database in transactions; the server stops at two thousand million.
        kept_wal_bytes: write-ahead log that a replication slot holds back, bytes.
        free_bytes: room left on the server's disk, bytes.
        clock_s: difference between the clocks of the server and of this machine, seconds.

    """

    stuck_s: float = 60.0
    waiting_s: tuple[float, float] = (3600.0, DAY_S)
    recent_s: float = DAY_S
    transaction_s: tuple[float, float] = (3600.0, DAY_S)
    idle_s: float = 900.0
    notifications_share: float = 0.5
    dead_share: float = 0.4
    dead_bytes: int = 64 * 1024**2
    transaction_ids: tuple[int, int] = (500_000_000, 1_200_000_000)
    kept_wal_bytes: tuple[int, int] = (1_000_000_000, 10_000_000_000)
    free_bytes: tuple[int, int] = (10_000_000_000, 1_000_000_000)
    clock_s: tuple[float, float] = (5.0, 60.0)


@dataclass
class Found:
    """What a check found.

    Attributes:
        faults: something is wrong, or will be soon: exit code 1.
        warnings: somebody should look, nothing is wrong yet.
        unseen: what could not be checked here, and why.

    """

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CheckResult:
    """Outcome of a check; ``faults`` and ``warnings`` are empty when all is well."""

    title: str
    faults: list[str]
    hint: str
    warnings: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """A check: what must hold, how to find what does not, and what to do then.

    Attributes:
        title: what holds when all is well.
        hint: what to do else.
        find: looks; it only reads.
        timeout_s: longest single statement, seconds.

    """

    title: str
    hint: str
    find: Callable[[Connection[Any], Limits], Found]
    timeout_s: float = 30.0


def run_check(conn: Connection[Any], check: Check, limits: Limits) -> CheckResult:
    """Run one check within a savepoint that is always rolled back.

    A check that takes too long is a fault: nobody knows whether all is well. What the role may not read is no
    fault, but told.
    """
    found = Found()
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(
                "select set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
                (f"{round(check.timeout_s * 1000)}ms", f"{round(min(check.timeout_s, LOCK_S) * 1000)}ms"),
            )
            found = check.find(conn, limits)
    except (errors.QueryCanceled, errors.LockNotAvailable):
        found = Found(faults=[f"this could not be checked within {check.timeout_s:g} s; check again later"])
    except errors.InsufficientPrivilege as error:
        said = error.diag.message_primary or str(error)
        found = Found(unseen=[f"this role may not look: {said}; {WHO_SEES}"])
    return CheckResult(check.title, found.faults, check.hint, found.warnings, found.unseen)


def seconds_in_words(seconds: float) -> str:
    """A duration for people: 90 s, 12 min, 5 h, 3 days."""
    for unit, size, least in (("days", DAY_S, 2.0), ("h", 3600.0, 2.0), ("min", 60.0, 2.0)):
        if seconds >= least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def bytes_in_words(size_bytes: float) -> str:
    """A size for people, in powers of ten."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
