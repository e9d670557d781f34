"""Reading windows of a raster table as arrays.

Tile numbers follow from the window by arithmetic, so a read is one lookup by primary key.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from psycopg import Connection, sql

from db.errors import UsageError
from db.raster.cache import TileCache
from db.raster.codec import decode_tile
from db.raster.fetch import fetch_tiles
from db.raster.grid import Grid, TileBox
from db.raster.pixels import Dtype, Nodata, Pixels, dtype_of_postgis_name
from db.raster.tables import OVERVIEW_FACTORS, RASTER_SCHEMA, overview_name

CACHE_BYTES = 128 << 20
"""Holds the tiles under a row of windows of 512 px across a scene 20,000 px wide, of four bands of uint16."""

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

    def __init__(self, conn: Connection[Any], table: str, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._conn = conn
        self._cache = TileCache(cache_bytes)
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
        with closing(self._tiles(level, boxes, chosen if is_subset else None)) as tiles:
            for box, pixels in tiles:
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
    ) -> Generator[tuple[TileBox, Pixels | None]]:
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
        for rid, wkb in fetch_tiles(self._conn, level.table, list(wanted), bands):
            pixels = decode_tile(wkb).pixels
            self._cache.put((level.table, rid, bands), pixels)
            yield wanted.pop(rid), pixels
        for rid, box in wanted.items():
            self._cache.put((level.table, rid, bands), None)
            yield box, None


def _paste(window: Pixels, pixels: Pixels, box: TileBox, row: int, col: int) -> None:
    """Copy the part of a tile that lies in the window whose upper left pixel is (row, col)."""
    _, height, width = window.shape
    top, bottom = max(box.row_px, row), min(box.row_px + box.height_px, row + height)
    left, right = max(box.col_px, col), min(box.col_px + box.width_px, col + width)
    window[:, top - row : bottom - row, left - col : right - col] = pixels[
        :, top - box.row_px : bottom - box.row_px, left - box.col_px : right - box.col_px
    ]
