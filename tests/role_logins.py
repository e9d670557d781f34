"""Connections as the roles of the service, and what they must be denied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from db.connection import connect


def url_of(url: str, role: str) -> str:
    """The URL of the same database for another login."""
    return make_conninfo(url, user=role)


def login(url: str, role: str, *, autocommit: bool = True) -> Connection[Any]:
    """A connection as a role, which the private cluster trusts."""
    return connect(url_of(url, role), autocommit=autocommit)


@contextmanager
def denied(sqlstate: str) -> Iterator[None]:
    """Whatever happens within must be refused with this SQLSTATE."""
    with pytest.raises(psycopg.Error) as raised:
        yield
    assert raised.value.sqlstate == sqlstate, raised.value


def error_of(conn: Connection[Any], query: str, parameters: Mapping[str, Any] | None = None) -> str:
    """What the server says against a query; empty when it runs."""
    try:
        conn.execute(query.encode(), parameters)
    except psycopg.Error as error:
        return str(error) or type(error).__name__
    return ""
