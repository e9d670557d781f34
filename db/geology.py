"""Mapped geology: all SQL about ``lode.fault``, ``lode.pluton``, ``lode.lithology`` and ``lode.deposit``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import shapely
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from db.labels import ewkb_hex

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "faults": ("fault", ("name", "fault_type")),
    "plutons": ("pluton", ("name", "lithology", "age")),
    "lithology": ("lithology", ("name", "rock", "age")),
    "deposits": ("deposit", ("name", "commodity", "deposit_type")),
}
"""Table and text columns of each kind of geological feature."""


def insert_features(
    conn: Connection[Any],
    kind: str,
    features: Iterable[tuple[shapely.Geometry, Sequence[str | None]]],
    *,
    source_id: int,
) -> int:
    """Store geological features.

    Args:
        conn: connection inside a transaction.
        kind: faults, plutons, lithology or deposits.
        features: geometry (MultiLineString, MultiPolygon or Point, EPSG:4326) and texts in the order of
            ``TABLES``.
        source_id: the file they came from.

    Returns:
        How many were stored.

    """
    table, columns = TABLES[kind]
    statement = SQL("copy {} ({}) from stdin").format(
        Identifier("lode", table), SQL(", ").join(map(Identifier, (*columns, "geom", "feature_source_id")))
    )
    count = 0
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for geometry, texts in features:
            copy.write_row((*texts, ewkb_hex(geometry), source_id))
            count += 1
    return count


def delete_features_of_source(conn: Connection[Any], kind: str, source_id: int) -> int:
    """Delete the features that came from a file; returns how many."""
    table, _columns = TABLES[kind]
    return conn.execute(
        SQL("delete from {} where feature_source_id = %s").format(Identifier("lode", table)), (source_id,)
    ).rowcount
