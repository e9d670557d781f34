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
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

import numpy as np
from psycopg import Connection, errors, sql

from db.errors import RetryError, UsageError
from db.raster.codec import encode_header, encode_tile
from db.raster.grid import MAX_FACTOR, Grid
from db.raster.pixels import Dtype, Nodata

RASTER_SCHEMA = "lode_raster"
PARENT_KEYS: dict[str, str] = {"scene_tile": "scene_id", "probability": "run_id"}

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
        table: name inside the schema ``lode_raster``.
        grid: grid of this table (of the overview, for an overview).
        dtype: pixel type.
        nodata: value of each band, or None.
        tile_px: side of a full tile.
        storage: ``external`` keeps tiles as they are (imagery does not shrink), ``lz4`` compresses them.
        owner_key: column with the id of the scene or run; None for overviews.
        owner_id: that id.
        comment: comment on the table.

    """

    table: str
    grid: Grid
    dtype: Dtype
    nodata: tuple[Nodata, ...]
    tile_px: int
    storage: Storage
    owner_key: str | None
    owner_id: int
    comment: str

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


def create_table(conn: Connection[Any], layout: TableLayout) -> None:
    """Create an empty raster table with key, constraints, index, storage and comment, not yet attached."""
    columns: list[sql.Composable] = [sql.SQL("rid integer primary key")]
    if layout.owner_key is not None:
        columns.append(
            sql.SQL("{} integer not null constraint {} check ({} = {})").format(
                sql.Identifier(layout.owner_key),
                sql.Identifier(f"enforce_{layout.owner_key}"),
                sql.Identifier(layout.owner_key),
                sql.Literal(layout.owner_id),
            )
        )
    columns.append(sql.SQL("rast raster not null"))
    try:
        conn.execute(sql.SQL("create table {} ({})").format(layout.identifier, sql.SQL(", ").join(columns)))
    except errors.DuplicateTable as error:
        raise UsageError(f"{RASTER_SCHEMA}.{layout.table} exists already: drop that table first") from error
    except errors.InvalidSchemaName as error:
        raise UsageError(f"schema {RASTER_SCHEMA} is missing: run `lode db upgrade`") from error
    _give_to_parents_owner(conn, layout)
    _set_storage(conn, layout)
    _add_constraints(conn, layout)
    conn.execute(
        sql.SQL("create index {} on {} using gist (st_convexhull(rast))").format(
            sql.Identifier(f"{layout.table}_st_convexhull_idx"), layout.identifier
        )
    )
    conn.execute(
        sql.SQL("comment on table {} is {}").format(layout.identifier, sql.Literal(layout.comment)),
    )


def _give_to_parents_owner(conn: Connection[Any], layout: TableLayout) -> None:
    """Hand the table to the role of the workers, whoever makes it: only its owner may attach it.

    Who may read the parent may read it too: what that role's own tables are born with, others' are not.
    """
    row = conn.execute(
        "select pg_get_userbyid(c.relowner)::text, array(select distinct r.rolname::text"
        "  from aclexplode(c.relacl) a join pg_roles r on r.oid = a.grantee"
        "  where a.privilege_type = 'SELECT' and a.grantee <> c.relowner)"
        " from pg_class c"
        " where c.oid = to_regclass('lode_raster.scene_tile') and c.relowner <> current_user::regrole"
        " and pg_has_role(c.relowner, 'usage')"
    ).fetchone()
    if row is None:
        return
    owner, readers = row
    conn.execute(sql.SQL("alter table {} owner to {}").format(layout.identifier, sql.Identifier(owner)))
    if readers:
        listed = sql.SQL(", ").join(sql.Identifier(reader) for reader in readers)
        conn.execute(sql.SQL("grant select on {} to {}").format(layout.identifier, listed))


def _set_storage(conn: Connection[Any], layout: TableLayout) -> None:
    alter: LiteralString = "alter table {} alter column rast set storage external"
    if layout.storage == "lz4":
        # Main, not extended: a class map's tile shrinks to a few hundred bytes and then stays in its row.
        alter = "alter table {} alter column rast set storage main"
    conn.execute(sql.SQL(alter).format(layout.identifier))
    if layout.storage == "lz4" and _server_has_lz4(conn):
        conn.execute(
            sql.SQL("alter table {} alter column rast set compression lz4").format(layout.identifier)
        )


def _server_has_lz4(conn: Connection[Any]) -> bool:
    """Whether PostgreSQL was built with lz4; without it tiles are compressed by pglz, slower but the same."""
    row = conn.execute(
        "select 'lz4' = any (enumvals) from pg_settings where name = 'default_toast_compression'"
    ).fetchone()
    return row is not None and bool(row[0])


def _add_constraints(conn: Connection[Any], layout: TableLayout) -> None:
    grid, tile_px = layout.grid, layout.tile_px
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
    facts = conn.execute(
        "select _raster_constraint_nodata_values(r)::text, _raster_constraint_pixel_types(r)::text,"
        " _raster_constraint_out_db(r)::text from st_rastfromwkb(%b) r",
        (sample,),
    ).fetchone()
    extent = conn.execute(
        "select st_ashexewkb(st_makeenvelope(%s, %s, %s, %s, %s))", (*grid.bounds(tile_px), grid.srid)
    ).fetchone()
    if facts is None or extent is None:
        raise RuntimeError("PostGIS did not describe a sample tile")
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
    # The scales pass through double precision, as those of the tiles do: the literal itself would be compared
    # with all its digits, where numeric takes 15 of a double.
    checks: tuple[tuple[str, LiteralString, tuple[object, ...]], ...] = (
        ("srid", "st_srid(rast) = {}", (grid.srid,)),
        (
            "scalex",
            "round(st_scalex(rast)::numeric, 10) = round({}::double precision::numeric, 10)",
            (grid.resolution_x,),
        ),
        (
            "scaley",
            "round(st_scaley(rast)::numeric, 10) = round({}::double precision::numeric, 10)",
            (-grid.resolution_y,),
        ),
        ("width", "st_width(rast) in ({})", (_sides(grid.width_px, tile_px),)),
        ("height", "st_height(rast) in ({})", (_sides(grid.height_px, tile_px),)),
        ("same_alignment", "st_samealignment(rast, {}::raster)", (alignment.hex().upper(),)),
        ("num_bands", "st_numbands(rast) = {}", (len(layout.nodata),)),
        ("nodata_values", "_raster_constraint_nodata_values(rast)::numeric[] = {}::numeric[]", (facts[0],)),
        ("pixel_types", "_raster_constraint_pixel_types(rast) = {}::text[]", (facts[1],)),
        ("out_db", "_raster_constraint_out_db(rast) = {}::boolean[]", (facts[2],)),
        ("max_extent", "st_envelope(rast) @ {}::geometry", (extent[0],)),
    )
    added = [
        sql.SQL("add constraint {} check ({})").format(
            sql.Identifier(f"enforce_{name}_rast"),
            sql.SQL(check).format(*(_literal(value) for value in values)),
        )
        for name, check, values in checks
    ]
    conn.execute(sql.SQL("alter table {} {}").format(layout.identifier, sql.SQL(", ").join(added)))


def _literal(value: object) -> sql.Composable:
    if isinstance(value, tuple):
        return sql.SQL(", ").join(sql.Literal(item) for item in value)
    return sql.Literal(value)


def _sides(size_px: int, tile_px: int) -> tuple[int, ...]:
    """Sides that tiles have in one direction, the usual one first: raster_columns shows the first."""
    full, rest = divmod(size_px, tile_px)
    return ((tile_px,) if full else ()) + ((rest,) if rest else ())


def register_overview(conn: Connection[Any], layout: TableLayout, *, base_table: str, factor: int) -> None:
    """Register an overview as ``AddOverviewConstraints`` does, after its tiles are in.

    The constraint looks its base table up in raster_columns for every row, which takes longer than the row
    itself: it is added without checking the rows that are there (``not valid``).
    """
    conn.execute(
        sql.SQL(
            "alter table {} add constraint enforce_overview_rast"
            " check (_overview_constraint(rast, {}, {}, {}, 'rast')) not valid"
        ).format(layout.identifier, sql.Literal(factor), sql.Literal(RASTER_SCHEMA), sql.Literal(base_table))
    )


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
        parent: ``scene_tile`` or ``probability``.
        owner_id: id of the scene or run.
        table: the raster table.
        wait_s: how long to try.

    Raises:
        UsageError: the parent is missing, or has a partition of this owner already.
        RetryError: the lock was not to be had within ``wait_s``.

    """
    attach = sql.SQL("alter table {} attach partition {} for values in ({})").format(
        sql.Identifier(RASTER_SCHEMA, parent), sql.Identifier(RASTER_SCHEMA, table), sql.Literal(owner_id)
    )
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with conn.transaction():
                before = set_locally(conn, "lock_timeout", f"{_ATTACH_ATTEMPT_MS}ms")
                conn.execute(attach)
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
