"""Reading windows of a raster table as arrays.

Tile numbers follow from the window by arithmetic, so a read is one lookup by primary key. The tiles come as
``bytea`` in the binary protocol and are decoded in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from psycopg import Connection, errors, sql

from db.errors import UsageError
from db.raster.codec import decode_tile
from db.raster.grid import Grid, TileBox
from db.raster.pixels import Dtype, Nodata, Pixels, dtype_of_postgis_name
from db.raster.tables import RASTER_SCHEMA

# libpq holds a whole result in memory before the first row can be read: larger windows are fetched in parts.
_FETCH_BYTES = 32 << 20

_RASTER_FACTS = """
select
  c.r_table_name::text, coalesce(o.overview_factor, 1), c.srid, c.scale_x, -c.scale_y,
  st_xmin(c.extent), st_ymax(c.extent),
  round((st_xmax(c.extent) - st_xmin(c.extent)) / c.scale_x)::integer,
  round((st_ymax(c.extent) - st_ymin(c.extent)) / -c.scale_y)::integer,
  greatest(c.blocksize_x, c.blocksize_y), c.pixel_types, c.nodata_values
from raster_columns c
left join raster_overviews o
  on (o.o_table_schema, o.o_table_name, o.o_raster_column)
   = (c.r_table_schema, c.r_table_name, c.r_raster_column)
where c.r_table_schema = %(schema)s
  and (c.r_table_name = %(table)s or (o.r_table_schema = %(schema)s and o.r_table_name = %(table)s))
order by 2
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

    def __init__(self, conn: Connection[Any], table: str) -> None:
        self._conn = conn
        self._levels: dict[int, _Level] = {}
        rows = conn.execute(_RASTER_FACTS, {"schema": RASTER_SCHEMA, "table": table}).fetchall()
        if not any(row[0] == table for row in rows):
            raise UsageError(f"there is no raster table {RASTER_SCHEMA}.{table}")
        # Of an overview table its own facts are read, as if it were a raster of its own.
        factors = {row[0]: 1 if row[0] == table else int(row[1]) for row in rows}
        pixel_types: list[str] = []
        listed: list[Nodata] = []
        for name, _, srid, *numbers, tile_px, types, nodata in rows:
            if None in (*numbers, tile_px, types, nodata):
                raise UsageError(
                    f"{RASTER_SCHEMA}.{name} lacks raster constraints: `lode db check` says how to repair it"
                )
            resolution_x, resolution_y, origin_x, origin_y, width_px, height_px = numbers
            grid = Grid(srid, origin_x, origin_y, resolution_x, resolution_y, width_px, height_px)
            self._levels[factors[name]] = _Level(name, grid, tile_px)
            if name == table:
                pixel_types, listed = types, nodata
        if len(set(pixel_types)) != 1:
            raise UsageError(f"{RASTER_SCHEMA}.{table} has bands of different types: {', '.join(pixel_types)}")
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
        """The nodata value that all bands share, or None; UsageError when bands differ (see ``nodata_values``)."""
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
            row, col: upper left pixel of the window, in pixels of the level that is read; may be negative.
            height, width: size of the window in pixels of that level, which may reach beyond the raster.
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
            raise UsageError(f"there is no overview of factor {overview}: choose one of {(1, *self.overviews)}")
        if height <= 0 or width <= 0:
            raise UsageError(f"a window needs at least one pixel, got {height} x {width}")
        chosen = tuple(range(1, self.band_count + 1)) if bands is None else tuple(bands)
        if not chosen or not all(1 <= band <= self.band_count for band in chosen):
            raise UsageError(f"bands {chosen} do not exist: choose from 1 to {self.band_count}")
        level = self._levels[overview]
        boxes = {box.rid: box for box in level.grid.tiles_in_window(row, col, height, width, level.tile_px)}
        window = np.empty((len(chosen), height, width), self.dtype)
        self._fill(window, chosen, fill)
        found = 0
        for rid, pixels in self._tiles(level, list(boxes), chosen):
            _paste(window, pixels, boxes[rid], row, col)
            found += 1
        if found < len(boxes) and None in self.nodata_values:
            raise UsageError(
                f"{len(boxes) - found} tiles are missing from {RASTER_SCHEMA}.{level.table}, which has no nodata "
                "value: load the raster again"
            )
        return window

    def _fill(self, window: Pixels, bands: Sequence[int], fill: float) -> None:
        for target, band in zip(window, bands, strict=True):
            nodata = self.nodata_values[band - 1]
            target[...] = fill if nodata is None else nodata

    def _tiles(self, level: _Level, rids: list[int], bands: tuple[int, ...]) -> Any:
        """Yield (rid, pixels (bands, height, width)) of the tiles that are stored."""
        # The server copies a tile once more to pick bands out of it, which pays when half of them stay behind.
        is_subset = 2 * len(set(bands)) <= self.band_count
        wanted = sql.SQL("st_band(rast, %(bands)s::integer[])") if is_subset else sql.SQL("rast")
        query = sql.SQL("select rid, st_asbinary({}) from {} where rid = any(%(rids)s)").format(
            wanted, sql.Identifier(RASTER_SCHEMA, level.table)
        )
        picked = None if is_subset or bands == tuple(range(1, self.band_count + 1)) else [band - 1 for band in bands]
        band_bytes = self.dtype.itemsize * level.tile_px**2
        together = max(1, _FETCH_BYTES // (band_bytes * (len(bands) if is_subset else self.band_count)))
        with self._conn.cursor(binary=True) as cursor:
            for start in range(0, len(rids), together):
                arguments: dict[str, Any] = {"rids": rids[start : start + together]}
                if is_subset:
                    arguments["bands"] = list(bands)
                try:
                    cursor.execute(query, arguments, prepare=True)
                except errors.UndefinedTable as error:
                    raise UsageError(f"{RASTER_SCHEMA}.{level.table} was dropped meanwhile") from error
                for rid, wkb in cursor:
                    pixels = decode_tile(wkb).pixels
                    yield rid, pixels if picked is None else pixels[picked]


def _paste(window: Pixels, pixels: Pixels, box: TileBox, row: int, col: int) -> None:
    """Copy the part of a tile that lies in the window whose upper left pixel is (row, col)."""
    _, height, width = window.shape
    top, bottom = max(box.row_px, row), min(box.row_px + box.height_px, row + height)
    left, right = max(box.col_px, col), min(box.col_px + box.width_px, col + width)
    window[:, top - row : bottom - row, left - col : right - col] = pixels[
        :, top - box.row_px : bottom - box.row_px, left - box.col_px : right - box.col_px
    ]
