"""Fetching tiles by binary COPY.

A SELECT, prepared and with binary results, took 1.7 times as long: libpq collects a whole result, and psycopg
copies each value, before the first tile can be decoded. COPY hands over row by row, without that copy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from psycopg import Connection, errors, sql

from db.errors import UsageError
from db.raster.tables import RASTER_SCHEMA

# A signature, flags and an extension length first; then rows of field count, and length and bytes of each
# field; -1 at the end.
_COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_COPY_HEADER_BYTES = len(_COPY_SIGNATURE) + 8
_COPY_ROW = struct.Struct(">hiii")
_COPY_TRAILER = b"\xff\xff"


def fetch_tiles(
    conn: Connection[Any], table: str, rids: Sequence[int], bands: Sequence[int] | None
) -> Iterator[tuple[int, memoryview]]:
    """Yield (rid, raster WKB) of the tiles that are stored, in any order.

    Args:
        conn: connection.
        table: raster table in schema ``lode_raster``.
        rids: numbers of the tiles.
        bands: band numbers from 1 to pick on the server, or None for all.

    Raises:
        UsageError: the table is gone.

    """
    tile: sql.Composable = sql.SQL("rast")
    if bands is not None:
        tile = sql.SQL("st_band(rast, {}::integer[])").format(sql.Literal(list(bands)))
    query = sql.SQL(
        "copy (select rid, st_asbinary({}) from {} where rid = any ({}::integer[])) to stdout (format binary)"
    ).format(tile, sql.Identifier(RASTER_SCHEMA, table), sql.Literal(list(rids)))
    try:
        with conn.cursor() as cursor, cursor.copy(query) as copy:
            yield from _rows(copy)
    except errors.UndefinedTable as error:
        raise UsageError(f"{RASTER_SCHEMA}.{table} was dropped meanwhile") from error


def _rows(messages: Iterable[bytes | bytearray | memoryview]) -> Iterator[tuple[int, memoryview]]:
    """Rows (rid, wkb) of COPY's binary format; the server sends each in a message of its own."""
    for message in messages:
        row = memoryview(message)
        if row[: len(_COPY_SIGNATURE)] == _COPY_SIGNATURE:
            row = row[_COPY_HEADER_BYTES:]
        if row.nbytes == 0 or row == _COPY_TRAILER:
            continue
        fields, rid_bytes, rid, wkb_bytes = _COPY_ROW.unpack_from(row)
        if (fields, rid_bytes, wkb_bytes) != (2, 4, row.nbytes - _COPY_ROW.size):
            raise ValueError(f"COPY sent a row of {row.nbytes} bytes that is not (rid, tile)")
        yield rid, row[_COPY_ROW.size :]
