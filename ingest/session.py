"""One connection and one transaction for one command, with messages for what is nobody's bug."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, errors

from db.connection import connect, describe, is_transient
from db.errors import RetryError, UsageError
from db.settings import Settings


@contextmanager
def transaction(settings: Settings) -> Iterator[Connection[Any]]:
    """Connect, commit at the end of the block, roll back after any exception.

    Raises:
        UsageError: the schema is missing or older than this program.
        RetryError: a lock, a restart or a full disk was in the way; nothing was stored.

    """
    try:
        with connect(settings, application_name="lode ingest") as conn:
            yield conn
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName) as error:
        raise UsageError(
            f"the database does not have this version's tables ({describe(error)}): run `lode db upgrade`"
        ) from error
    except errors.InsufficientPrivilege as error:
        raise UsageError(f"this database user may not store anything: {describe(error)}") from error
    except psycopg.Error as error:
        if not is_transient(error):
            raise
        raise RetryError(f"nothing was stored: {describe(error)}; try again") from error
