"""Beside a worker's work: small statements on a connection of their own, and the end of chores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from psycopg import Connection

from db.connection import connect, describe, is_transient
from db.errors import UsageError
from service import logs

Result = TypeVar("Result")

STATEMENT_S = 30


class Aside:
    """Does something small in a thread; trouble is logged and left: the work does not depend on it.

    Args:
        url: libpq URL of the database.
        name: what ``pg_stat_activity`` shows.
        on_trouble: told when the database did not do it.

    """

    def __init__(self, url: str, name: str, on_trouble: Callable[[], None]) -> None:
        self._url = url
        self._name = name
        self._on_trouble = on_trouble
        self._lock = threading.Lock()  # a thread goes on when whoever waited for it is cancelled
        self._conn: Connection[Any] | None = None

    async def do(self, action: Callable[[Connection[Any]], Result]) -> Result | None:
        """Do something in a transaction of its own; None when it could not be done."""
        return await asyncio.to_thread(self._do, action)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._conn is not None:
                self._conn.close()

    def _do(self, action: Callable[[Connection[Any]], Result]) -> Result | None:
        with self._lock:
            try:
                if self._conn is None or self._conn.closed:
                    self._conn = connect(self._url, application_name=self._name)
                    self._conn.execute(f"set statement_timeout = '{STATEMENT_S}s'")
                    self._conn.commit()
                with self._conn.transaction():
                    return action(self._conn)
            except Exception as error:
                self._on_trouble()
                if self._conn is not None:
                    self._conn.close()
                log = logs.logger(__name__)
                if isinstance(error, UsageError) or is_transient(error):
                    log.warning("beside the work", reason=describe(error))
                else:
                    log.exception("beside the work")
                return None


async def end_all(tasks: Iterable[asyncio.Task[None]], patience_s: float = 5.0) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: ``asyncio.wait_for`` of Python 3.11, on which drivers wait, forgets a cancellation
    that comes at the very moment when what it waits for is done.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=patience_s)
