"""The tables that hold tiles: their DDL, constraints, registration and attachment.

The layout is the one GIS clients need: a plain table per raster, whose only key is ``rid``; the constraints
of ``AddRasterConstraints`` under their own names, so that ``raster_columns`` knows everything without a scan;
an index on ``st_convexhull(rast)``; overviews named ``o_<factor>_<table>``. The constraints are made on the
empty table: the server checks every tile once as it arrives, where ``AddRasterConstraints`` would read all of
them back once per constraint.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from psycopg import Connection, errors, sql

from db.errors import RetryError, UsageError
from db.raster.codec import encode_header, encode_tile
from db.raster.grid import MAX_FACTOR, Grid, TileBox
from db.raster.pixels import Dtype, Nodata

RASTER_SCHEMA = "lode_raster"
PARENT_KEYS: dict[str, str] = {
    "scene_tile": "scene_id",
    "probability": "run_id",
    "evidence_tile": "evidence_layer_id",
    "geology_tile": "geology_raster_id",
    "prospect_score": "prospect_run_id",
}
"""Partitioned tables of tiles and the key of what their tiles belong to; `tile_owner_key` says so in SQL."""

# "o_1024_" in front and "_st_convexhull_idx" behind still fit the 63 bytes of a name.
_TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,37}")
OVERVIEW_FACTORS = tuple(2**power for power in range(1, MAX_FACTOR.bit_length()))
_ATTACH_ATTEMPT_MS = 1000
_ATTACH_WAIT_S = 300.0

Storage = Literal["external", "lz4"]


@dataclass(frozen=True)
class TableLayout:
    """What one raster table holds.

    Attributes:
        grid: grid of this table (of the overview, for an overview).
        dtype: pixel type.
        nodata: value of each band, or None.
        tile_px: side of a full tile.
        storage: ``external`` keeps tiles as they are (imagery does not shrink), ``lz4`` compresses them.
        base_table: the table itself, or the one that this is an overview of.
        factor: 1, or how many pixels an overview makes one of.
        parent: a key of `PARENT_KEYS`.
        owner_id: id of what the tiles belong to.
        comment: comment on the table.

    """

    grid: Grid
    dtype: Dtype
    nodata: tuple[Nodata, ...]
    tile_px: int
    storage: Storage
    base_table: str
    factor: int
    parent: str
    owner_id: int
    comment: str

    @property
    def table(self) -> str:
        """Name inside the schema ``lode_raster``."""
        return self.base_table if self.factor == 1 else overview_name(self.base_table, self.factor)

    @property
    def owner_key(self) -> str | None:
        """Column with the id of what the tiles belong to; None for overviews."""
        return PARENT_KEYS[self.parent] if self.factor == 1 else None

    @property
    def identifier(self) -> sql.Identifier:
        """Qualified name for SQL."""
        return sql.Identifier(RASTER_SCHEMA, self.table)


def check_table_name(table: str) -> str:
    """Return the name if it is lower-case ASCII and leaves room for overviews and index; else UsageError."""
    if not _TABLE_NAME.fullmatch(table):
        raise UsageError(
            f"{table!r} cannot name a raster table: use up to 38 lower-case letters, digits and underscores"
        )
    return table


def overview_name(table: str, factor: int) -> str:
    """Name of an overview table, as raster2pgsql and QGIS expect it."""
    return f"o_{factor}_{table}"


@contextmanager
def _upgraded() -> Iterator[None]:
    try:
        yield
    except (errors.UndefinedFunction, errors.InvalidSchemaName) as error:
        raise UsageError(
            f"schema {RASTER_SCHEMA}, or what makes tables in it, is missing: run `lode db upgrade`"
        ) from error


def create_table(conn: Connection[Any], layout: TableLayout) -> None:
    """Create an empty raster table with key, constraints, index, storage and comment, not yet attached.

    The database makes it, with the rights of its owner: this login need own nothing.
    """
    grid = layout.grid
    # PostGIS itself says how it would write the band facts of such a tile.
    sample = encode_tile(
        np.zeros((len(layout.nodata), 1, 1), layout.dtype),
        srid=grid.srid,
        origin_x=0,
        origin_y=0,
        resolution_x=1,
        resolution_y=1,
        nodata=layout.nodata,
    )
    alignment = encode_header(
        band_count=0,
        height=1,
        width=1,
        srid=grid.srid,
        origin_x=grid.origin_x,
        origin_y=grid.origin_y,
        resolution_x=grid.resolution_x,
        resolution_y=grid.resolution_y,
    )
    min_x, min_y, max_x, max_y = grid.bounds(layout.tile_px)
    try:
        with _upgraded():
            conn.execute(
                "select lode_api.create_tile_table(%(table)s, %(factor)s, %(parent)s, %(owner_id)s,"
                " st_rastfromwkb(%(sample)b), st_rastfromwkb(%(alignment)b),"
                " %(min_x)s::float8, %(min_y)s::float8, %(max_x)s::float8, %(max_y)s::float8,"
                " %(scale_x)s::float8, %(scale_y)s::float8, %(widths)s::integer[], %(heights)s::integer[],"
                " %(storage)s, %(about)s)",
                {
                    "table": layout.base_table,
                    "factor": layout.factor,
                    "parent": layout.parent,
                    "owner_id": layout.owner_id,
                    "sample": sample,
                    "alignment": alignment,
                    "min_x": min_x,
                    "min_y": min_y,
                    "max_x": max_x,
                    "max_y": max_y,
                    "scale_x": grid.resolution_x,
                    "scale_y": -grid.resolution_y,
                    "widths": list(_sides(grid.width_px, layout.tile_px)),
                    "heights": list(_sides(grid.height_px, layout.tile_px)),
                    "storage": layout.storage,
                    "about": layout.comment,
                },
            )
    except errors.DuplicateTable as error:
        raise UsageError(f"{RASTER_SCHEMA}.{layout.table} exists already: drop that table first") from error


def _sides(size_px: int, tile_px: int) -> tuple[int, ...]:
    """Sides that tiles have in one direction, the usual one first: raster_columns shows the first."""
    full, rest = divmod(size_px, tile_px)
    return ((tile_px,) if full else ()) + ((rest,) if rest else ())


def store_empty_tiles(conn: Connection[Any], layout: TableLayout, rids: Sequence[int]) -> None:
    """Store tiles without a valid pixel, compressed; the database writes them, one of each size is sent."""
    grid = layout.grid
    by_size: dict[tuple[int, int], list[TileBox]] = {}
    for rid in rids:
        box = grid.tile_box(rid, layout.tile_px)
        by_size.setdefault((box.height_px, box.width_px), []).append(box)
    for (height, width), boxes in by_size.items():
        pixels = np.empty((len(layout.nodata), height, width), layout.dtype)
        for band, value in zip(pixels, layout.nodata, strict=True):
            band[...] = value
        tile = encode_tile(
            pixels,
            srid=grid.srid,
            origin_x=grid.origin_x,
            origin_y=grid.origin_y,
            resolution_x=grid.resolution_x,
            resolution_y=grid.resolution_y,
            nodata=layout.nodata,
        )
        with _upgraded():
            conn.execute(
                "select lode_api.store_empty_tiles(%(table)s, %(factor)s, %(parent)s, %(owner_id)s,"
                " st_rastfromwkb(%(tile)b), %(rids)s::integer[], %(west)s::float8[], %(north)s::float8[])",
                {
                    "table": layout.base_table,
                    "factor": layout.factor,
                    "parent": layout.parent,
                    "owner_id": layout.owner_id,
                    "tile": tile,
                    "rids": [box.rid for box in boxes],
                    "west": [grid.x_of_col(box.col_px) for box in boxes],
                    "north": [grid.y_of_row(box.row_px) for box in boxes],
                },
            )


def register_overview(conn: Connection[Any], layout: TableLayout) -> None:
    """Register an overview as ``AddOverviewConstraints`` does, after its tiles are in."""
    conn.execute("select lode_api.register_overview(%s, %s)", (layout.base_table, layout.factor))


def analyze_table(conn: Connection[Any], layout: TableLayout) -> None:
    """Gather a table's statistics, as only its owner may."""
    conn.execute("select lode_api.analyze_tile_table(%s)", (layout.table,))


def set_locally(conn: Connection[Any], name: str, value: str) -> str:
    """Change a setting until the transaction ends and return the value it had."""
    row = conn.execute(
        "select current_setting(%(name)s), set_config(%(name)s, %(value)s, true)",
        {"name": name, "value": value},
    ).fetchone()
    if row is None:
        raise RuntimeError(f"setting {name} has no value")
    return str(row[0])


def attach_partition(
    conn: Connection[Any], *, parent: str, owner_id: int, table: str, wait_s: float = _ATTACH_WAIT_S
) -> None:
    """Make a raster table a partition of its parent.

    Takes SHARE UPDATE EXCLUSIVE on the parent, which lets readers and writers pass and only keeps other
    attachments waiting, until the caller's transaction ends: call it last. The table's check on its owner
    spares the scan. Waits for the lock in short attempts, each in a savepoint.

    Args:
        conn: connection inside a transaction.
        parent: a key of `PARENT_KEYS`.
        owner_id: id of what the tiles belong to.
        table: the raster table.
        wait_s: how long to try.

    Raises:
        UsageError: the parent is missing, or has a partition of this owner already.
        RetryError: the lock was not to be had within ``wait_s``.

    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with _upgraded(), conn.transaction():
                before = set_locally(conn, "lock_timeout", f"{_ATTACH_ATTEMPT_MS}ms")
                conn.execute("select lode_api.attach_tile_table(%s, %s, %s)", (parent, owner_id, table))
                set_locally(conn, "lock_timeout", before)
        except errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise RetryError(
                    f"{RASTER_SCHEMA}.{parent} was locked by others for {wait_s:.0f} s: try again later"
                ) from error
        except errors.UndefinedTable as error:
            raise UsageError(f"{RASTER_SCHEMA}.{parent} is missing: run `lode db upgrade`") from error
        except errors.InvalidObjectDefinition as error:
            raise UsageError(
                f"{RASTER_SCHEMA}.{parent} has tiles of {PARENT_KEYS[parent]} {owner_id} already: "
                "drop them first"
            ) from error
        else:
            return
