"""Deposits with mapped outlines: how files of them get into ``lode.deposit``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import shapely
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from db.geology import TABLES
from db.labels import ewkb_hex


def insert_deposits(
    conn: Connection[Any],
    features: Iterable[tuple[shapely.Geometry, Sequence[str | None]]],
    *,
    source_id: int,
) -> int:
    """Store deposits; where one is an outline, a point on it stands for it on maps.

    Args:
        conn: connection inside a transaction.
        features: Point or MultiPolygon in EPSG:4326, and texts in the order of ``TABLES``.
        source_id: the file they came from.

    Returns:
        How many were stored.

    """
    table, columns = TABLES["deposits"]
    statement = SQL("copy {} ({}) from stdin").format(
        Identifier("lode", table),
        SQL(", ").join(map(Identifier, (*columns, "geom", "body", "feature_source_id"))),
    )
    count = 0
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for shape, texts in features:
            is_body = shape.geom_type == "MultiPolygon"
            point = shapely.point_on_surface(shape) if is_body else shape
            copy.write_row((*texts, ewkb_hex(point), ewkb_hex(shape) if is_body else None, source_id))
            count += 1
    return count
