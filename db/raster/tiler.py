"""Strips of pixels become encoded tiles of the scene and of all its overviews; no database here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db.errors import UsageError
from db.raster.codec import (
    HEADER_BYTES,
    band_prefixes,
    bands_all_nodata,
    encode_header,
    tile_bytes,
)
from db.raster.grid import Grid
from db.raster.overviews import Resampling, halve
from db.raster.pixels import Dtype, Nodata, Pixels


@dataclass(frozen=True)
class EncodedTile:
    """A tile ready to be sent: its number and its raster WKB."""

    rid: int
    wkb: memoryview


@dataclass(frozen=True)
class TileBatch:
    """Encoded tiles of one overview level (factor 1 is the scene itself), and empty ones by their numbers."""

    factor: int
    tiles: tuple[EncodedTile, ...]
    empty: tuple[int, ...] = ()


class Tiler:
    """Cuts strips, given from top to bottom, into tiles, and halves them for the overviews as it goes.

    At most one row of tiles is held per level. Tiles without a single valid pixel are left out where nodata
    is 0 in all bands: QGIS 3.22 draws 0 where a tile is not stored. A level whose every tile is empty keeps
    its first: GDAL cannot open a table without a tile to read band types from.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        dtype: Dtype,
        nodata: Sequence[Nodata],
        tile_px: int,
        overview_factors: Sequence[int],
        resampling: Resampling,
    ) -> None:
        self.grid = grid
        self.dtype = dtype
        self.nodata = tuple(nodata)
        self.tile_px = tile_px
        self.resampling = resampling
        self._stores_empty = any(value != 0 for value in self.nodata)
        self._kept = {1, *overview_factors}
        self._last_factor = max(self._kept)
        self._levels: dict[int, _Level] = {}
        factor = 1
        while factor <= self._last_factor:
            self._levels[factor] = _Level(grid.overview(factor), len(self.nodata), dtype, tile_px)
            factor *= 2

    @property
    def rows_left(self) -> int:
        """Rows of the scene that have not been given yet."""
        return self._levels[1].rows_left

    def push(self, pixels: Pixels) -> list[TileBatch]:
        """Take the next rows of the scene and return the tiles that they complete.

        Args:
            pixels: array (bands, rows, width) of the scene's pixel type, any number of rows.

        Raises:
            UsageError: another type or shape than the scene's, or more rows than it has.

        """
        expected = (len(self.nodata), self.grid.width_px)
        if pixels.ndim != 3 or (pixels.shape[0], pixels.shape[2]) != expected:
            raise UsageError(
                f"rows of shape {pixels.shape} do not fit: give (bands, rows, width) with {expected[0]} "
                f"bands and a width of {expected[1]} px"
            )
        if pixels.dtype != self.dtype:
            raise UsageError(f"rows of type {pixels.dtype} do not fit a raster of type {self.dtype}")
        if pixels.shape[1] > self.rows_left:
            raise UsageError(f"{pixels.shape[1]} rows were given where {self.rows_left} are left")
        batches: list[TileBatch] = []
        self._push_level(1, pixels, batches)
        return batches

    def _push_level(self, factor: int, pixels: Pixels, batches: list[TileBatch]) -> None:
        level = self._levels[factor]
        for tile_row, strip in level.strips(pixels):
            if factor in self._kept:
                tiles, empty = encode_strip(strip, level.grid, tile_row, self.tile_px, self.nodata)
                level.has_tiles = level.has_tiles or bool(tiles)
                if not self._stores_empty:
                    is_last = level.rows_left == 0 and tile_row + 1 == level.grid.tiles_down(self.tile_px)
                    empty = [1] if is_last and not level.has_tiles else []
                batches.append(TileBatch(factor, tuple(tiles), tuple(empty)))
            if factor < self._last_factor:
                self._push_level(2 * factor, halve(strip, self.nodata, self.resampling), batches)


class _Level:
    """Collects rows of one level until a row of tiles is complete."""

    def __init__(self, grid: Grid, band_count: int, dtype: Dtype, tile_px: int) -> None:
        self.grid = grid
        self._shape = (band_count, tile_px, grid.width_px)
        self._dtype = dtype
        self._tile_px = tile_px
        self._buffer: Pixels | None = None
        self._buffered = 0
        self._tile_row = 0
        self._rows_done = 0
        self.has_tiles = False

    @property
    def rows_left(self) -> int:
        return self.grid.height_px - self._rows_done

    def strips(self, pixels: Pixels) -> list[tuple[int, Pixels]]:
        """Rows of tiles completed by these rows, with their numbers; each is valid until the next call."""
        complete: list[tuple[int, Pixels]] = []
        start = 0
        while start < pixels.shape[1]:
            needed = min(self._tile_px, self.grid.height_px - self._tile_row * self._tile_px) - self._buffered
            rows = min(needed, pixels.shape[1] - start)
            if self._buffered == 0 and rows == needed:
                complete.append((self._tile_row, pixels[:, start : start + rows]))
                self._tile_row += 1
            else:
                if self._buffer is None:
                    self._buffer = np.empty(self._shape, self._dtype)
                self._buffer[:, self._buffered : self._buffered + rows] = pixels[:, start : start + rows]
                self._buffered += rows
                if rows == needed:
                    complete.append((self._tile_row, self._buffer[:, : self._buffered]))
                    self._buffer = None
                    self._buffered = 0
                    self._tile_row += 1
            start += rows
        self._rows_done += start
        return complete


def encode_strip(
    strip: Pixels, grid: Grid, tile_row: int, tile_px: int, nodata: Sequence[Nodata]
) -> tuple[list[EncodedTile], list[int]]:
    """Encode one row of tiles.

    Args:
        strip: array (bands, rows, width) over the grid's whole width, one tile high.
        grid: the grid that the tile numbers count in.
        tile_row: row of tiles, from 0.
        tile_px: side of a full tile.
        nodata: value of each band, or None.

    Returns:
        The tiles from left to right, and the numbers of those that hold no valid pixel.

    """
    tiles: list[EncodedTile] = []
    empty: list[int] = []
    band_count, rows, width = strip.shape
    item = strip.dtype.itemsize
    prefixes: dict[tuple[bool, ...], Pixels] = {}
    rows_as_bytes = np.ascontiguousarray(strip, strip.dtype.newbyteorder("<")).view(np.uint8)
    # One buffer for the strip: first use of memory is the main cost here, and is less in large pieces.
    across = grid.tiles_across(tile_px)
    buffer = np.empty(across * tile_bytes(band_count, rows, min(width, tile_px), strip.dtype), np.uint8)
    used = 0
    for tile_col in range(across):
        left, right = tile_col * tile_px, min(width, (tile_col + 1) * tile_px)
        all_nodata = bands_all_nodata(strip[:, :, left:right], nodata)
        rid = grid.tile_id(tile_row, tile_col, tile_px)
        if all(all_nodata):
            empty.append(rid)
            continue
        if all_nodata not in prefixes:
            prefixes[all_nodata] = band_prefixes(nodata, all_nodata, strip.dtype)
        header = encode_header(
            band_count=band_count,
            height=rows,
            width=right - left,
            srid=grid.srid,
            origin_x=grid.x_of_col(left),
            origin_y=grid.y_of_row(tile_row * tile_px),
            resolution_x=grid.resolution_x,
            resolution_y=grid.resolution_y,
        )
        stored = buffer[used : used + tile_bytes(band_count, rows, right - left, strip.dtype)]
        used += stored.size
        stored[:HEADER_BYTES] = np.frombuffer(header, np.uint8)
        bands = stored[HEADER_BYTES:].reshape(band_count, -1)
        bands[:, : 1 + item] = prefixes[all_nodata]
        bands[:, 1 + item :].reshape(band_count, rows, -1)[...] = rows_as_bytes[
            :, :, left * item : right * item
        ]
        tiles.append(EncodedTile(rid, stored.data))
    return tiles, empty
