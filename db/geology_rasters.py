"""Geology as rasters, kept until the geology changes: all SQL about ``lode.geology_raster``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection, errors
from psycopg.types.json import Jsonb

from db.connection import Report
from db.locks import hold
from db.raster import RASTER_SCHEMA, Grid, RasterReader, RasterWriter
from db.raster.tables import set_locally

_TILE_PX = 256
_DROP_WAIT_MS = 200
"""How long a drop may keep others waiting for the table of all tiles, ms."""

_STRIP_PX = 256


@dataclass(frozen=True)
class StoredRaster:
    """A row of ``lode.geology_raster``.

    Attributes:
        geology_raster_id: key.
        tile_table: its tiles in ``lode_raster``.
        band_names: what its bands hold, in order.
        content_digest: SHA-256 of what it was computed from.

    """

    geology_raster_id: int
    tile_table: str
    band_names: tuple[str, ...]
    content_digest: str


def hold_content(conn: Connection[Any], content_digest: str, report: Report) -> None:
    """Let nobody else compute rasters of this content until the transaction ends; waits for who does.

    Raises:
        RetryError: it took longer than ``db.locks.WAIT_S``.

    """
    hold(conn, f"geology raster {content_digest}", report)


def stored_raster(conn: Connection[Any], content_digest: str) -> StoredRaster | None:
    """The rasters of a content, which nobody removes until the transaction ends; None: there are none.

    A row whose table of tiles is gone does not count.
    """
    row = conn.execute(
        "select geology_raster_id, tile_table, band_names from lode.geology_raster"
        " where content_digest = %s and to_regclass(format('lode_raster.%%I', tile_table)) is not null"
        " for key share",
        (content_digest,),
    ).fetchone()
    if row is None:
        return None
    return StoredRaster(row[0], row[1], tuple(row[2]), content_digest)


def read_values(conn: Connection[Any], stored: StoredRaster, grid: Grid) -> npt.NDArray[np.float32]:
    """All its values, (bands, height, width)."""
    reader = RasterReader(conn, stored.tile_table, cache_bytes=0)
    values: npt.NDArray[np.float32] = reader.read(0, 0, grid.height_px, grid.width_px)
    return values


def store_raster(
    conn: Connection[Any],
    grid: Grid,
    band_names: Sequence[str],
    values: npt.NDArray[np.float32],
    *,
    parameters: Mapping[str, float],
    content_digest: str,
) -> StoredRaster:
    """Store rasters of geology; the caller holds their content, and commits soon.

    Args:
        conn: connection inside a transaction.
        grid: their grid.
        band_names: what the bands hold.
        values: (bands, height, width), finite.
        parameters: settings they were computed with.
        content_digest: SHA-256 of grid, settings and geology.

    Raises:
        RetryError: the table of all such tiles was locked by others for long.

    """
    # A row whose tiles are gone.
    conn.execute("delete from lode.geology_raster where content_digest = %s", (content_digest,))
    row = conn.execute(
        "insert into lode.geology_raster (geology_raster_id, srid, origin_x, origin_y, resolution_m,"
        " resolution_y_m, width_px, height_px, band_names, parameters, content_digest, tile_table)"
        " select k.key, %(srid)s, %(origin_x)s, %(origin_y)s, %(resolution_m)s, %(resolution_y_m)s,"
        " %(width_px)s, %(height_px)s, %(band_names)s, %(parameters)s, %(content_digest)s,"
        " 'geology_' || k.key"
        " from nextval(pg_get_serial_sequence('lode.geology_raster', 'geology_raster_id')) as k(key)"
        " returning geology_raster_id, tile_table",
        {
            **_columns(grid),
            "band_names": list(band_names),
            "parameters": Jsonb(dict(parameters)),
            "content_digest": content_digest,
        },
    ).fetchone()
    if row is None:
        raise RuntimeError("an insert returned no row")
    stored = StoredRaster(row[0], row[1], tuple(band_names), content_digest)
    writer = RasterWriter(
        conn,
        parent="geology_tile",
        owner_id=stored.geology_raster_id,
        table=stored.tile_table,
        grid=grid,
        dtype=np.float32,
        band_count=len(band_names),
        nodata=None,
        tile_px=_TILE_PX,
        comment=f"Geology on a grid of EPSG:{grid.srid}: {', '.join(band_names)}",
    )
    for top in range(0, grid.height_px, _STRIP_PX):
        writer.write_rows(values[:, top : top + _STRIP_PX])
    writer.finish()
    return stored


def remove_outdated(
    conn: Connection[Any],
    grid: Grid,
    *,
    parameters: Mapping[str, float],
    content_digest: str,
    report: Report,
) -> int:
    """Remove rasters of the same grid and settings that other geology was the source of, with their tables.

    Tables are dropped with their owner's rights, so that workers, who own none, remove them too. A drop
    locks the table of all such tiles until the transaction ends, so that readers of it wait for the caller's
    commit; whoever reads right now is not waited for. What is being read stays for the next time, and so does
    a table that is not the owner's or is no table of tiles; the report says so.

    Args:
        conn: connection inside a transaction.
        grid: the grid.
        parameters: the settings.
        content_digest: the content that holds now.
        report: takes a line for each that stays.

    Returns:
        How many were removed.

    """
    rows = conn.execute(
        "select geology_raster_id, tile_table,"
        " to_regclass(format('lode_raster.%%I', tile_table)) is not null"
        " from lode.geology_raster where srid = %(srid)s"
        " and origin_x = %(origin_x)s and origin_y = %(origin_y)s and resolution_m = %(resolution_m)s"
        " and resolution_y_m = %(resolution_y_m)s and width_px = %(width_px)s and height_px = %(height_px)s"
        " and parameters = %(parameters)s and content_digest <> %(content_digest)s"
        " order by geology_raster_id for update skip locked",
        {**_columns(grid), "parameters": Jsonb(dict(parameters)), "content_digest": content_digest},
    ).fetchall()
    removed = 0
    for key, table, has_tiles in rows:
        try:
            with conn.transaction():
                before = set_locally(conn, "lock_timeout", f"{_DROP_WAIT_MS}ms")
                conn.execute("delete from lode.geology_raster where geology_raster_id = %s", (key,))
                if has_tiles:
                    conn.execute("select lode_api.drop_tile_table('geology_tile', %s, %s)", (key, table))
                set_locally(conn, "lock_timeout", before)
        except errors.LockNotAvailable:
            report(f"{RASTER_SCHEMA}.{table} holds geology that has changed, but is in use: it stays")
        except (errors.InsufficientPrivilege, errors.InvalidParameterValue) as error:
            said = error.diag.message_primary
            report(f"{RASTER_SCHEMA}.{table} holds geology that has changed, but stays: {said}")
        else:
            removed += 1
    return removed


def _columns(grid: Grid) -> dict[str, float]:
    return {
        "srid": grid.srid,
        "origin_x": grid.origin_x,
        "origin_y": grid.origin_y,
        "resolution_m": grid.resolution_x,
        "resolution_y_m": grid.resolution_y,
        "width_px": grid.width_px,
        "height_px": grid.height_px,
    }
