"""Reading windows of a raster table as arrays.

Tile numbers follow from the window by arithmetic, so a read is one lookup by primary key. The tiles come as
``bytea`` by binary COPY and are decoded in place: a SELECT, prepared and binary, took 1.7 times as long,
because libpq collects its whole result and psycopg copies each value before the first tile can be decoded.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from psycopg import Connection, errors, sql

from db.errors import UsageError
from db.raster.codec import decode_tile
from db.raster.grid import Grid, TileBox
from db.raster.pixels import Dtype, Nodata, Pixels, dtype_of_postgis_name
from db.raster.tables import OVERVIEW_FACTORS, RASTER_SCHEMA, overview_name

# Binary COPY: a signature, flags and an extension length first; then rows of field count, and length and
# bytes of each field; -1 at the end.
_COPY_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_COPY_HEADER_BYTES = len(_COPY_SIGNATURE) + 8
_COPY_ROW = struct.Struct(">hiii")
_COPY_TRAILER = b"\xff\xff"

# Windows that overlap, as those of a sliding window do, need most tiles several times.
_CACHE_BYTES = 64 << 20
_ENTRY_BYTES = 200  # what a key and an empty entry take

_TileKey = tuple[str, int, tuple[int, ...] | None]

# The names of overviews are ours, so they are asked for by name: raster_overviews would look at every raster
# table of the database, and raster_columns does so too unless it is given names.
_RASTER_FACTS = """
with c as materialized (
  select
    r_table_name::text, srid, scale_x, scale_y, extent, blocksize_x, blocksize_y, pixel_types, nodata_values
  from raster_columns
  where r_table_schema = %(schema)s and r_table_name = any (%(tables)s::name[])
)
select
  r_table_name, srid, scale_x, -scale_y, st_xmin(extent), st_ymax(extent),
  round((st_xmax(extent) - st_xmin(extent)) / scale_x)::integer,
  round((st_ymax(extent) - st_ymin(extent)) / -scale_y)::integer,
  greatest(blocksize_x, blocksize_y), pixel_types, nodata_values
from c
"""


@dataclass(frozen=True)
class _Level:
    """One table of the raster: itself or an overview."""

    table: str
    grid: Grid
    tile_px: int


class RasterReader:
    """Reads windows of one raster table and its overviews.

    Use one reader and connection per thread; any number may read at once. The reader never ends the caller's
    transaction.

    Args:
        conn: connection.
        table: name in schema ``lode_raster``, such as ``scene_7``.
        cache_bytes: tiles are kept up to this size, since overlapping windows need them again. Raster tables
            are never changed once they are published, so that a tile does not get old.

    Attributes:
        grid: grid of the raster itself; ``grid.overview(factor)`` is an overview's.
        dtype: pixel type.
        band_count: number of bands.
        nodata_values: nodata value of each band, or None.
        tile_px: side of a full tile.
        overviews: factors of the overviews, rising.

    Raises:
        UsageError: no such table, or one without raster constraints.

    """

    def __init__(self, conn: Connection[Any], table: str, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self._conn = conn
        self._cache = _TileCache(cache_bytes)
        self._levels: dict[int, _Level] = {}
        factors = {table: 1} | {overview_name(table, factor): factor for factor in OVERVIEW_FACTORS}
        arguments = {"schema": RASTER_SCHEMA, "tables": list(factors)}
        pixel_types: list[str] = []
        listed: list[Nodata] = []
        for name, srid, *numbers, tile_px, types, nodata in conn.execute(_RASTER_FACTS, arguments):
            if None in (*numbers, tile_px, types, nodata):
                raise UsageError(
                    f"{RASTER_SCHEMA}.{name} lacks raster constraints: `lode db check` says how to repair it"
                )
            resolution_x, resolution_y, origin_x, origin_y, width_px, height_px = numbers
            grid = Grid(srid, origin_x, origin_y, resolution_x, resolution_y, width_px, height_px)
            self._levels[factors[name]] = _Level(name, grid, tile_px)
            if name == table:
                pixel_types, listed = types, nodata
        if 1 not in self._levels:
            raise UsageError(f"there is no raster table {RASTER_SCHEMA}.{table}")
        if len(set(pixel_types)) != 1:
            raise UsageError(
                f"{RASTER_SCHEMA}.{table} has bands of different types: {', '.join(pixel_types)}"
            )
        self.dtype: Dtype = dtype_of_postgis_name(pixel_types[0])
        self.band_count = len(pixel_types)
        self.nodata_values: tuple[Nodata, ...]
        self.grid, self.nodata_values = self._exact_facts(self._levels[1].grid, listed)

    def _exact_facts(self, grid: Grid, listed: Sequence[Nodata]) -> tuple[Grid, tuple[Nodata, ...]]:
        """Resolution and nodata as the tiles have them: the catalogue rounds to 10 decimals and 15 digits."""
        found = self._conn.execute(
            sql.SQL(
                "select st_scalex(rast), -st_scaley(rast), (m).nodatavalue"
                " from (select rast, st_bandmetadata(rast, array[]::integer[]) m"
                " from (select rast from {} limit 1) t) b order by (m).bandnum"
            ).format(sql.Identifier(RASTER_SCHEMA, self._levels[1].table))
        ).fetchall()
        if found:
            grid = replace(grid, resolution_x=found[0][0], resolution_y=found[0][1])
            listed = [row[2] for row in found]
        return grid, tuple(None if value is None else float(self.dtype.type(value)) for value in listed)

    @property
    def tile_px(self) -> int:
        """Side of a full tile in pixels."""
        return self._levels[1].tile_px

    @property
    def overviews(self) -> tuple[int, ...]:
        """Factors of the overviews, rising."""
        return tuple(sorted(factor for factor in self._levels if factor > 1))

    @property
    def nodata(self) -> Nodata:
        """The nodata value that all bands share, or None; UsageError when they differ."""
        if len({repr(value) for value in self.nodata_values}) > 1:
            raise UsageError(f"bands have different nodata values, {self.nodata_values}: use nodata_values")
        return self.nodata_values[0]

    def read(
        self,
        row: int,
        col: int,
        height: int,
        width: int,
        *,
        bands: Sequence[int] | None = None,
        overview: int = 1,
        fill: float = 0,
    ) -> Pixels:
        """Read a window.

        Args:
            row: top of the window, in pixels of the level that is read; may be negative.
            col: left of the window, in pixels of the level that is read; may be negative.
            height: height of the window in pixels of that level; may reach beyond the raster.
            width: width of the window in pixels of that level; may reach beyond the raster.
            bands: band numbers from 1, in the order wanted; by default all.
            overview: factor of the overview to read; 1 is the raster itself.
            fill: value outside the raster for bands that have no nodata value.

        Returns:
            Array (bands, height, width) of the raster's type. Pixels outside the raster and in tiles that are
            not stored have the band's nodata value.

        Raises:
            UsageError: an overview or band that does not exist, an empty window, or a tile that is missing
                from a raster that has no nodata value.

        """
        if overview not in self._levels:
            raise UsageError(
                f"there is no overview of factor {overview}: choose one of {(1, *self.overviews)}"
            )
        if height <= 0 or width <= 0:
            raise UsageError(f"a window needs at least one pixel, got {height} x {width}")
        chosen = tuple(range(1, self.band_count + 1)) if bands is None else tuple(bands)
        if not chosen or not all(1 <= band <= self.band_count for band in chosen):
            raise UsageError(f"bands {chosen} do not exist: choose from 1 to {self.band_count}")
        level = self._levels[overview]
        window = np.empty((len(chosen), height, width), self.dtype)
        for target, band in zip(window, chosen, strict=True):
            nodata = self.nodata_values[band - 1]
            target[...] = fill if nodata is None else nodata
        # The server copies a tile once more to pick bands from it, which pays when half of them stay behind.
        is_subset = 2 * len(set(chosen)) <= self.band_count
        is_all = chosen == tuple(range(1, self.band_count + 1))
        picked = None if is_subset or is_all else [band - 1 for band in chosen]
        boxes = list(level.grid.tiles_in_window(row, col, height, width, level.tile_px))
        for box, pixels in self._tiles(level, boxes, chosen if is_subset else None):
            if pixels is None:
                self._expect_missing(level)
            else:
                _paste(window, pixels if picked is None else pixels[picked], box, row, col)
        return window

    def _expect_missing(self, level: _Level) -> None:
        """A tile without a valid pixel is not stored; without nodata there are no such tiles."""
        if None in self.nodata_values:
            raise UsageError(
                f"a tile is missing from {RASTER_SCHEMA}.{level.table}, which has no nodata value: "
                "load the raster again"
            )

    def _tiles(
        self, level: _Level, boxes: list[TileBox], bands: tuple[int, ...] | None
    ) -> Iterator[tuple[TileBox, Pixels | None]]:
        """Yield all tiles of ``boxes``, in any order, from the cache or the database; None if not stored."""
        wanted: dict[int, TileBox] = {}
        for box in boxes:
            key = (level.table, box.rid, bands)
            if key in self._cache:
                yield box, self._cache.get(key)
            else:
                wanted[box.rid] = box
        if not wanted:
            return
        tile = sql.SQL("rast")
        if bands is not None:
            tile = sql.SQL("st_band(rast, {}::integer[])").format(sql.Literal(list(bands)))
        query = sql.SQL(
            "copy (select rid, st_asbinary({}) from {} where rid = any ({}::integer[]))"
            " to stdout (format binary)"
        ).format(tile, sql.Identifier(RASTER_SCHEMA, level.table), sql.Literal(list(wanted)))
        try:
            with self._conn.cursor() as cursor, cursor.copy(query) as copy:
                for rid, wkb in _rows(copy):
                    pixels = decode_tile(wkb).pixels
                    self._cache.put((level.table, rid, bands), pixels)
                    yield wanted.pop(rid), pixels
        except errors.UndefinedTable as error:
            raise UsageError(f"{RASTER_SCHEMA}.{level.table} was dropped meanwhile") from error
        for rid, box in wanted.items():
            self._cache.put((level.table, rid, bands), None)
            yield box, None


class _TileCache:
    """The tiles used last, up to a number of bytes; an absent tile is remembered too."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._tiles: OrderedDict[_TileKey, Pixels | None] = OrderedDict()

    def __contains__(self, key: _TileKey) -> bool:
        return key in self._tiles

    def get(self, key: _TileKey) -> Pixels | None:
        self._tiles.move_to_end(key)
        return self._tiles[key]

    def put(self, key: _TileKey, pixels: Pixels | None) -> None:
        self._tiles[key] = pixels
        self._held_bytes += _ENTRY_BYTES + (0 if pixels is None else pixels.nbytes)
        while self._held_bytes > self._capacity_bytes:
            _, dropped = self._tiles.popitem(last=False)
            self._held_bytes -= _ENTRY_BYTES + (0 if dropped is None else dropped.nbytes)


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


def _paste(window: Pixels, pixels: Pixels, box: TileBox, row: int, col: int) -> None:
    """Copy the part of a tile that lies in the window whose upper left pixel is (row, col)."""
    _, height, width = window.shape
    top, bottom = max(box.row_px, row), min(box.row_px + box.height_px, row + height)
    left, right = max(box.col_px, col), min(box.col_px + box.width_px, col + width)
    window[:, top - row : bottom - row, left - col : right - col] = pixels[
        :, top - box.row_px : bottom - box.row_px, left - box.col_px : right - box.col_px
    ]
