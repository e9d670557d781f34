"""Storing what was trained: hours of work must not be lost to a moment's trouble of the database."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import Connection
from psycopg.rows import TupleRow

from db.connection import connect, retrying
from db.errors import UsageError
from db.registry import ModelRecord, NewModel, load_model, model_by_name, store_model


def keep_model(url: str, new: NewModel, report: Callable[[str], None]) -> ModelRecord:
    """Store a model in a transaction of its own, on a connection of its own.

    The one that the training began with may be hours old and gone. Where the database restarts or its disk is
    full it is tried again for a while.

    Args:
        url: libpq URL of the database.
        new: the model.
        report: hears before each further attempt.

    Raises:
        RetryError: it could not be stored; names the cause.
        UsageError: the name was taken meanwhile.

    """
    tried = False

    def once() -> ModelRecord:
        nonlocal tried
        with connect(url, application_name="lode train") as conn:
            # a connection that was lost at the commit does not tell whether it came about
            if not (tried and _is_stored(conn, new)):
                tried = True
                store_model(conn, new)
                conn.commit()
            return model_by_name(conn, new.name)

    return retrying(once, report=report)


def _is_stored(conn: Connection[TupleRow], new: NewModel) -> bool:
    try:
        return load_model(conn, new.name).weights == new.weights
    except UsageError:
        return False
