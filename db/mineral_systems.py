"""Mineral systems that people wrote: all SQL about ``lode.mineral_system``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

_COLUMNS = "select name, definition, sha256, imported_by, imported_at from lode.mineral_system"


@dataclass(frozen=True)
class StoredSystem:
    """A mineral system as it is stored.

    Attributes:
        name: its name.
        definition: TOML.
        sha256: of the definition.
        imported_by: who brought it in.
        imported_at: when.

    """

    name: str
    definition: str
    sha256: str
    imported_by: str
    imported_at: datetime


def list_stored(conn: Connection[Any]) -> list[StoredSystem]:
    """All of them, by name."""
    return [StoredSystem(*row) for row in conn.execute(_COLUMNS + " order by name")]


def find_stored(conn: Connection[Any], name: str) -> StoredSystem | None:
    """Find one by its name; None when there is none."""
    row = conn.execute(_COLUMNS + " where name = %s", (name,)).fetchone()
    return None if row is None else StoredSystem(*row)


def store_system(conn: Connection[Any], name: str, definition: str, *, is_replacing: bool) -> bool:
    """Store a system, in the place of one of that name only where told so; tells whether it was stored."""
    stored = conn.execute(
        "insert into lode.mineral_system as there (name, definition, sha256) values (%s, %s, %s)"
        " on conflict (name) do update set definition = excluded.definition, sha256 = excluded.sha256,"
        " imported_by = session_user, imported_at = now() where %s",
        (name, definition, hashlib.sha256(definition.encode()).hexdigest(), is_replacing),
    )
    return stored.rowcount > 0


def delete_system(conn: Connection[Any], name: str) -> bool:
    """Delete a system; tells whether there was one."""
    return conn.execute("delete from lode.mineral_system where name = %s", (name,)).rowcount > 0
