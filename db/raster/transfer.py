"""Sending encoded tiles to a raster table as fast as the server takes them.

The raster type has no binary input, so a tile goes as a binary ``bytea`` parameter of ``st_rastfromwkb``.
Tiles are sent in libpq's pipeline mode, below psycopg's cursors, with the socket in blocking mode. In the
non-blocking mode that psycopg uses, libpq moves the unsent rest of its buffer after every partial write:
512 MB took the client 0.6 s of processor time in messages of 0.5 MB and 35 s in messages of 10 MB; and
psycopg holds the interpreter's lock while it flushes. Blocking sends take 0.3 s at any size and release the
lock, so that tiles are encoded in another thread meanwhile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, errors, pq, sql

from db.raster.tables import TableLayout
from db.raster.tiler import EncodedTile

_STATEMENT_BYTES = 4 << 20
_STATEMENT_TILES = 16
_INT4_OID = 23
_BYTEA_OID = 17


def send_tiles(conn: Connection[Any], layout: TableLayout, tiles: Sequence[EncodedTile]) -> None:
    """Insert tiles; returns when the server has taken them all.

    Several small tiles share a statement: the server prepares the table's eleven check constraints anew for
    every statement, which would cost more than a tile of 64 kB.

    Raises:
        psycopg.Error: the server refused a tile; the transaction is then aborted as after any error.

    """
    if not tiles:
        return
    largest = max(len(tile.wkb) for tile in tiles)
    together = max(1, min(_STATEMENT_TILES, _STATEMENT_BYTES // largest))
    full = len(tiles) - len(tiles) % together
    with conn.lock, _pipeline(conn.pgconn):
        _send(conn, layout, tiles[:full], together)
        _send(conn, layout, tiles[full:], len(tiles) - full)


def _send(conn: Connection[Any], layout: TableLayout, tiles: Sequence[EncodedTile], together: int) -> None:
    if not tiles:
        return
    pgconn = conn.pgconn
    pgconn.send_prepare(b"", _insert(conn, layout, together), [_INT4_OID, _BYTEA_OID] * together)
    for start in range(0, len(tiles), together):
        values: list[Any] = []
        for tile in tiles[start : start + together]:
            values += (struct.pack(">i", tile.rid), tile.wkb)
        pgconn.send_query_prepared(b"", values, [pq.Format.BINARY] * len(values))


def _insert(conn: Connection[Any], layout: TableLayout, together: int) -> bytes:
    """The statement that inserts ``together`` tiles from parameters rid, wkb, rid, wkb, ..."""
    if layout.owner_key is None:
        target = sql.SQL("insert into {} (rid, rast) values ").format(layout.identifier)
        rows = ", ".join(f"(${n}, st_rastfromwkb(${n + 1}))" for n in range(1, 2 * together, 2))
    else:
        target = sql.SQL("insert into {} (rid, {}, rast) values ").format(
            layout.identifier, sql.Identifier(layout.owner_key)
        )
        owner = int(layout.owner_id)
        rows = ", ".join(f"(${n}, {owner}, st_rastfromwkb(${n + 1}))" for n in range(1, 2 * together, 2))
    return target.as_bytes(conn) + rows.encode()


@contextmanager
def _pipeline(pgconn: pq.abc.PGconn) -> Iterator[None]:
    """Blocking pipeline mode around a block; the connection is left in its usual state whatever happens."""
    pgconn.nonblocking = 0
    pgconn.enter_pipeline_mode()
    try:
        yield
    finally:
        try:
            _drain(pgconn)
        finally:
            pgconn.nonblocking = 1


def _drain(pgconn: pq.abc.PGconn) -> None:
    """Wait for all results, leave pipeline mode and raise the first error."""
    failure: errors.Error | None = None
    pgconn.pipeline_sync()
    while True:
        result = pgconn.get_result()
        if result is None:
            # The end of one statement's results, or of the connection.
            if pgconn.status == pq.ConnStatus.BAD:
                raise failure or errors.OperationalError("the server closed the connection")
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            break
        if result.status == pq.ExecStatus.FATAL_ERROR and failure is None:
            failure = errors.error_from_result(result)
    pgconn.exit_pipeline_mode()
    if failure is not None:
        raise failure
