"""Derived areas: deriving them again, all of them.

Which ground counts for which mine and year, its classes, damage and change are derived by the functions
``sql/functions/accounts``. Triggers on what they stand on (runs, scenes, labels, mines) call them in the
same transaction, whoever changes it and with whatever client, so nothing here is needed to keep areas right.
Deriving everything from nothing gives the same rows; it is for upgrades that bring other rules, and for
whoever wants to see that it does.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import Any, LiteralString, Self

from psycopg import Connection, Cursor, Error

from db.api import rules_sha256
from db.connection import connect

ACCOUNTING_LOCK = 0x10DE0003
"""Key of the advisory lock under which areas are derived (``lode_api.lock_accounts``)."""

BATCH_MINES = 25
"""Mines derived in one transaction when everything is."""

Progress = Callable[[int, int], None]


def derive_all(conn: Connection[Any]) -> None:
    """Derive everything from nothing, in the caller's transaction; holds the accounting lock to its end."""
    conn.execute("select lode_api.derive_all()")


def refresh_all(url: str, *, jobs: int | None = None, progress: Progress = lambda _done, _total: None) -> int:
    """Derive everything again in batches of runs, then of mines, each a transaction, side by side.

    No publication is let in between; readers see each mine's old areas until its new ones are there.

    Args:
        url: libpq URL.
        jobs: connections that derive at the same time; None: one for each processor.
        progress: takes mines done and mines in all.

    Returns:
        The number of mines.

    """
    with connect(url, application_name="lode db refresh") as conn:
        # To the end of the session: over all the transactions of this and the other connections.
        conn.execute("select pg_advisory_lock(%s)", (ACCOUNTING_LOCK,))
        conn.execute("select lode_api.derive_base()")
        runs = [
            row[0] for row in conn.execute("select run_id from lode.run where is_current order by run_id")
        ]
        mines = [row[0] for row in conn.execute("select mine_id from lode.mine order by mine_id")]
        conn.commit()
        with Deriving(url, jobs or os.cpu_count() or 1) as deriving:
            deriving.each(("select lode_api.derive_outlines(%s)",), [[run] for run in runs])
            deriving.each(
                ("select lode_api.derive_anew(%s)",),
                in_batches(mines),
                lambda done: progress(done, len(mines)),
            )
        conn.execute("select lode_api.derive_shared()")
        _record_rules(conn)
        conn.commit()
    return len(mines)


def in_batches(mines: Sequence[int]) -> list[Sequence[int]]:
    """Mines as they are derived: some in a transaction."""
    return [mines[start : start + BATCH_MINES] for start in range(0, len(mines), BATCH_MINES)]


class Deriving:
    """Some connections that derive side by side, each batch in a transaction; on an error they are cancelled.

    Args:
        url: libpq URL.
        jobs: how many connections.

    """

    def __init__(self, url: str, jobs: int) -> None:
        self._url = url
        self._pool = ThreadPoolExecutor(jobs)
        self._local = threading.local()
        self._opened: list[Connection[Any]] = []
        self._futures: list[Future[int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            # Again and again: one that is between two statements has nothing to cancel yet.
            while kind is not None and not all(future.done() for future in self._futures):
                for conn in self._opened:
                    with suppress(Error):  # the server is gone: then the statement ends by itself
                        conn.cancel()
                time.sleep(0.1)
            self._pool.shutdown()
        finally:
            for conn in self._opened:
                conn.close()

    def each(
        self,
        statements: Sequence[LiteralString],
        batches: Sequence[Sequence[int]],
        progress: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """Run these statements on every batch of keys; returns when all are committed.

        Args:
            statements: each takes the keys as its only parameter.
            batches: keys.
            progress: takes the number of keys done.

        Raises:
            psycopg.Error: of the first batch that failed; others may have been committed.

        """
        done = 0
        self._futures = [self._pool.submit(self._derive, statements, keys) for keys in batches]
        for future in as_completed(self._futures):
            done += future.result()
            progress(done)

    def _derive(self, statements: Sequence[LiteralString], keys: Sequence[int]) -> int:
        conn = getattr(self._local, "conn", None)
        if conn is None:
            conn = self._local.conn = connect(self._url, application_name="lode db refresh")
            self._opened.append(conn)
        with conn.transaction():
            for statement in statements:
                conn.execute(statement, (list(keys),))
        return len(keys)


def derive_after_upgrade(cursor: Cursor[Any]) -> bool:
    """Derive everything when what is there was derived by other rules; whether that was so."""
    cursor.execute("select 1 from lode.derivation where rules_sha256 = %s", (rules_sha256(),))
    if cursor.fetchone() is not None:
        return False
    cursor.execute("select lode_api.derive_all()")
    _record_rules(cursor)
    return True


def _record_rules(cursor: Cursor[Any] | Connection[Any]) -> None:
    cursor.execute(
        "insert into lode.derivation (derivation_id, rules_sha256) values (1, %s)"
        " on conflict (derivation_id) do update set rules_sha256 = excluded.rules_sha256, derived_at = now()",
        (rules_sha256(),),
    )
