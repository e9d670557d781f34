"""Writing a raster: strips of pixels in, a published raster table with overviews out.

Everything happens in the caller's one transaction. A load that is killed is rolled back by the server and
leaves nothing to sweep; and because the tables are created in that transaction, PostgreSQL writes no WAL for
their tiles where ``wal_level`` is ``minimal`` (it syncs the files at commit instead), so a second connection
would cost more than it gains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy.typing as npt
from psycopg import Connection, pq

from db.errors import UsageError
from db.raster.grid import Grid
from db.raster.overviews import Resampling, check_resampling
from db.raster.pixels import Nodata, Pixels, check_pixel_type, nodata_per_band
from db.raster.tables import (
    OVERVIEW_FACTORS,
    PARENT_KEYS,
    Storage,
    TableLayout,
    analyze_table,
    attach_partition,
    check_table_name,
    create_table,
    register_overview,
    set_locally,
    store_empty_tiles,
)
from db.raster.tiler import TileBatch, Tiler
from db.raster.transfer import send_tiles

# PostGIS stores a tile's sides in 16 bits; overviews halve tiles, so sides are even.
_TILE_PX_LIMITS = (16, 4096)


class RasterWriter:
    """Writes one raster from top to bottom.

    The caller owns the transaction: after ``finish`` it commits, and after any exception it rolls back, upon
    which nothing is left. ``finish`` attaches the table to its parent and so keeps other loads from finishing
    until the commit: do everything else before it.

    ``write_rows(pixels)`` is ``send(encode_rows(pixels))``; the two halves are there for callers that encode
    in one thread (which needs no connection) while another sends.

    Args:
        conn: connection that is not in autocommit mode, or is inside a transaction block.
        parent: partitioned table, a key of `PARENT_KEYS`.
        owner_id: scene, run, ... that the tiles belong to.
        table: name of the new table in schema ``lode_raster``.
        grid: the raster's grid.
        dtype: pixel type (see ``check_pixel_type``).
        band_count: number of bands.
        nodata: one value, one per band, or None.
        tile_px: side of a tile, even.
        overview_factors: powers of two; by default 2, 4, 8, ... until an overview fits in one tile.
        resampling: how overviews are made: ``average`` for imagery, ``mode`` or ``nearest`` for class maps.
        storage: ``external`` (imagery) or ``lz4`` (class maps, probabilities).
        comment: comment on the table, for clients that show it.

    Raises:
        UsageError: something that cannot be stored, or a table that exists already.

    """

    def __init__(
        self,
        conn: Connection[Any],
        *,
        parent: str,
        owner_id: int,
        table: str,
        grid: Grid,
        dtype: npt.DTypeLike,
        band_count: int,
        nodata: Nodata | Sequence[Nodata],
        tile_px: int = 256,
        overview_factors: Sequence[int] | None = None,
        resampling: Resampling = "average",
        storage: Storage = "external",
        comment: str | None = None,
    ) -> None:
        if conn.autocommit and conn.info.transaction_status == pq.TransactionStatus.IDLE:
            raise UsageError("a raster is written inside a transaction: switch autocommit off or open one")
        pixel_type = check_pixel_type(dtype)
        check_table_name(table)
        check_resampling(resampling)
        if parent not in PARENT_KEYS:
            raise UsageError(f"{parent!r} has no raster tables: choose one of {', '.join(PARENT_KEYS)}")
        if storage not in get_args(Storage):
            raise UsageError(
                f"storage {storage!r} is not known: choose one of {', '.join(get_args(Storage))}"
            )
        if not 1 <= band_count <= 65535:
            raise UsageError(f"a raster has 1 to 65535 bands, got {band_count}")
        if tile_px % 2 or not _TILE_PX_LIMITS[0] <= tile_px <= _TILE_PX_LIMITS[1]:
            raise UsageError(
                f"tiles of {tile_px} px cannot be written: choose an even side from 16 to 4096 px"
            )
        factors = grid.overview_factors(tile_px) if overview_factors is None else tuple(overview_factors)
        _check_factors(factors)
        self.grid = grid
        self.dtype = pixel_type
        self._conn = conn
        self._parent = parent
        self._owner_id = owner_id
        self._is_finished = False
        values = nodata_per_band(nodata, band_count, pixel_type)
        self._tiler = Tiler(
            grid,
            dtype=pixel_type,
            nodata=values,
            tile_px=tile_px,
            overview_factors=factors,
            resampling=resampling,
        )
        about = comment or (
            f"Tiles of {PARENT_KEYS[parent].removesuffix('_id')} {owner_id}: "
            f"{band_count} bands of {pixel_type.name}, "
            f"{grid.width_px} x {grid.height_px} px, EPSG:{grid.srid}"
        )
        self._empty: dict[int, list[int]] = {}
        self._layouts: dict[int, TableLayout] = {}
        for factor in (1, *factors):
            self._layouts[factor] = TableLayout(
                grid=grid.overview(factor),
                dtype=pixel_type,
                nodata=values,
                tile_px=tile_px,
                storage=storage,
                base_table=table,
                factor=factor,
                parent=parent,
                owner_id=owner_id,
                comment=about if factor == 1 else f"Overview 1:{factor} of {table} ({resampling}). {about}",
            )
        self._create()

    def _create(self) -> None:
        # Otherwise the server plans the first executions of an insert with the tiles as constants in the
        # plan, which it folds and copies: a quarter of its time.
        self._plan_cache_mode = set_locally(self._conn, "plan_cache_mode", "force_generic_plan")
        for layout in self._layouts.values():
            create_table(self._conn, layout)

    def write_rows(self, pixels: Pixels) -> None:
        """Write the next rows, (bands, rows, width), from top to bottom, any number at a time."""
        self.send(self.encode_rows(pixels))

    def encode_rows(self, pixels: Pixels) -> list[TileBatch]:
        """Encode the next rows; uses no connection. Pixels are copied, and the array may be used again."""
        return self._tiler.push(pixels)

    def send(self, batches: Sequence[TileBatch]) -> None:
        """Send what ``encode_rows`` returned, in any order, each batch once."""
        for batch in batches:
            send_tiles(self._conn, self._layouts[batch.factor], batch.tiles)
            self._empty.setdefault(batch.factor, []).extend(batch.empty)

    def finish(self) -> None:
        """Store empty tiles, register overviews, gather statistics and attach the table to its parent.

        The caller then commits.

        Raises:
            UsageError: rows are missing.
            RetryError: the parent was locked by others for five minutes.

        """
        if self._is_finished:
            raise UsageError("the raster has been finished already")
        if self._tiler.rows_left:
            raise UsageError(
                f"{self._tiler.rows_left} of {self.grid.height_px} rows were not written: "
                "write them, or roll back"
            )
        self._is_finished = True
        base = self._layouts[1].table
        for factor, layout in self._layouts.items():
            store_empty_tiles(self._conn, layout, self._empty.get(factor, ()))
            if factor != 1:
                register_overview(self._conn, layout)
            analyze_table(self._conn, layout)
        set_locally(self._conn, "plan_cache_mode", self._plan_cache_mode)
        attach_partition(self._conn, parent=self._parent, owner_id=self._owner_id, table=base)


def _check_factors(factors: Sequence[int]) -> None:
    if list(factors) != [factor for factor in OVERVIEW_FACTORS if factor in factors]:
        raise UsageError(f"overview factors are rising powers of two from 2 to 1024, got {tuple(factors)}")
