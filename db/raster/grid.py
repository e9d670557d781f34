"""The grid of a scene and the arithmetic of its tiles.

Tiles are counted in rows from the upper left, from 1: that number is the ``rid`` of a raster table. Tiles at
the right and lower edge are smaller than the others and never padded, so that GDAL sees the true size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from db.errors import UsageError

MAX_FACTOR = 1024
"""Coarsest overview: of a scene 260,000 px wide it fits in one tile of 256 px."""


@dataclass(frozen=True)
class TileBox:
    """A tile's place in its grid: number and pixel window."""

    rid: int
    row_px: int
    col_px: int
    height_px: int
    width_px: int


@dataclass(frozen=True)
class Grid:
    """A north-up grid of pixels.

    Attributes:
        srid: EPSG code of the CRS, above 0.
        origin_x, origin_y: upper left corner of the upper left pixel, in units of the CRS.
        resolution_x, resolution_y: pixel size, both positive, in units of the CRS (metres for UTM).
        width_px, height_px: size of the whole grid.

    """

    srid: int
    origin_x: float
    origin_y: float
    resolution_x: float
    resolution_y: float
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        numbers = (self.origin_x, self.origin_y, self.resolution_x, self.resolution_y)
        if not all(math.isfinite(number) for number in numbers):
            raise UsageError(f"origin and resolution of a grid must be finite, got {numbers}")
        if self.resolution_x <= 0 or self.resolution_y <= 0:
            raise UsageError(
                f"resolutions of a grid must be positive, got {self.resolution_x} x {self.resolution_y}: "
                "warp rotated or south-up rasters to a north-up grid first"
            )
        if self.width_px <= 0 or self.height_px <= 0:
            raise UsageError(f"a grid needs at least one pixel, got {self.width_px} x {self.height_px}")
        if self.srid <= 0:
            raise UsageError(f"a grid needs the EPSG code of its CRS, got {self.srid}")

    def tiles_across(self, tile_px: int) -> int:
        """Number of tiles in a row."""
        return -(-self.width_px // tile_px)

    def tiles_down(self, tile_px: int) -> int:
        """Number of rows of tiles."""
        return -(-self.height_px // tile_px)

    def tile_id(self, row: int, col: int, tile_px: int) -> int:
        """``rid`` of the tile in tile row ``row`` and tile column ``col``, both from 0."""
        return row * self.tiles_across(tile_px) + col + 1

    def tile_box(self, rid: int, tile_px: int) -> TileBox:
        """Pixel window of a tile; ValueError when the grid has no such tile."""
        row, col = divmod(rid - 1, self.tiles_across(tile_px))
        if not 0 <= row < self.tiles_down(tile_px):
            raise ValueError(f"tile {rid} is outside a grid of {self.width_px} x {self.height_px} px")
        row_px, col_px = row * tile_px, col * tile_px
        return TileBox(
            rid,
            row_px,
            col_px,
            min(tile_px, self.height_px - row_px),
            min(tile_px, self.width_px - col_px),
        )

    def tiles_in_window(self, row: int, col: int, height: int, width: int, tile_px: int) -> Iterator[TileBox]:
        """Tiles that share a pixel with a window (in pixels), row by row; the window may lie outside."""
        top, bottom = max(row, 0), min(row + height, self.height_px)
        left, right = max(col, 0), min(col + width, self.width_px)
        if top >= bottom or left >= right:
            return
        for tile_row in range(top // tile_px, (bottom - 1) // tile_px + 1):
            for tile_col in range(left // tile_px, (right - 1) // tile_px + 1):
                yield self.tile_box(self.tile_id(tile_row, tile_col, tile_px), tile_px)

    def x_of_col(self, col_px: int) -> float:
        """X of the left edge of a pixel column, in units of the CRS."""
        return self.origin_x + col_px * self.resolution_x

    def y_of_row(self, row_px: int) -> float:
        """Y of the upper edge of a pixel row, in units of the CRS."""
        return self.origin_y - row_px * self.resolution_y

    def bounds(self, tile_px: int) -> tuple[float, float, float, float]:
        """West, south, east, north as PostGIS computes them from the outermost tiles.

        The tile size matters in the last bit only: PostGIS adds the tile's own size to its rounded corner,
        and the extent constraint must contain exactly that.
        """
        last = self.tile_box(self.tiles_across(tile_px) * self.tiles_down(tile_px), tile_px)
        east = self.resolution_x * last.width_px + self.x_of_col(last.col_px)
        south = -self.resolution_y * last.height_px + self.y_of_row(last.row_px)
        return self.origin_x, south, east, self.origin_y

    def overview(self, factor: int) -> Grid:
        """The grid of an overview: pixels ``factor`` times as large, partial ones at the edges included."""
        return replace(
            self,
            resolution_x=self.resolution_x * factor,
            resolution_y=self.resolution_y * factor,
            width_px=-(-self.width_px // factor),
            height_px=-(-self.height_px // factor),
        )

    def overview_factors(self, tile_px: int) -> tuple[int, ...]:
        """2, 4, 8, ... 1024 until the whole overview fits in one tile; none when the grid itself does."""
        factors: list[int] = []
        factor = 1
        side_px = max(self.width_px, self.height_px)
        while -(-side_px // factor) > tile_px and factor < MAX_FACTOR:
            factor *= 2
            factors.append(factor)
        return tuple(factors)
