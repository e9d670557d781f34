"""A scene of the database as a source of reflectance on the grid of another scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from affine import Affine
from psycopg import Connection
from rasterio.features import rasterize

from db.errors import UsageError
from db.raster.grid import Grid
from db.raster.pixels import is_nodata
from db.scenes import Scene, open_scene
from ingest.clouds import transformed
from ingest.crs import WGS84_SRID
from ingest.processing.source import FloatArray, WindowSource

ALIGNED = 0.01
"""Grids share pixels when their corners differ by less than this share of one."""


class StoredSource(WindowSource):
    """Reflectance of a stored scene, seen through the grid of a new one.

    Args:
        conn: connection of its own: strips are read by another thread than the one that stores.
        scene: the stored scene.
        grid: the grid to look through; NaN where the scene does not reach.
        bands: names of the wanted bands.
        hide_clouds: whether its cloud and shadow count as without data.

    Raises:
        UsageError: a band is missing, the values are no reflectance, or the grids do not share pixels.

    """

    def __init__(
        self,
        conn: Connection[Any],
        scene: Scene,
        grid: Grid,
        bands: Sequence[str],
        *,
        hide_clouds: bool = True,
    ) -> None:
        missing = [name for name in bands if name not in scene.band_names]
        if missing:
            raise UsageError(
                f"the reference {scene.product} has no band {', '.join(missing)}; "
                f"its bands: {', '.join(scene.band_names[:20])}"
            )
        if not scene.processing_level.endswith("reflectance"):
            raise UsageError(
                f"the reference {scene.product} holds {scene.processing_level}, not reflectance: "
                "bring it in as reflectance first"
            )
        self._scene = scene
        self._grid = grid
        self._row, self._col = offset_between(scene, grid)
        self._reader = open_scene(conn, scene)
        self._bands = [scene.band_names.index(name) + 1 for name in bands]
        self._clouded: shapely.Geometry | None = None
        if hide_clouds and scene.clouded is not None:
            self._clouded = transformed(scene.clouded, WGS84_SRID, grid.srid)

    @property
    def grid(self) -> Grid:
        """The grid that is looked through."""
        return self._grid

    @property
    def band_count(self) -> int:
        """Number of wanted bands."""
        return len(self._bands)

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Reflectance of a window of the new scene's grid (bands, height, width), NaN without data."""
        return self._read(self._bands, row, col, height, width)

    def read_bands(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of some of the wanted bands (places from 0)."""
        return self._read([self._bands[place] for place in places], row, col, height, width)

    def _read(self, bands: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        out = np.full((len(bands), height, width), np.nan, np.float32)
        grid = self._scene.grid
        top, left = max(row + self._row, 0), max(col + self._col, 0)
        bottom = min(row + self._row + height, grid.height_px)
        right = min(col + self._col + width, grid.width_px)
        if top >= bottom or left >= right:
            return out
        stored = self._reader.read(top, left, bottom - top, right - left, bands=bands)
        part = stored.astype(np.float32)
        part += np.float32(self._scene.value_offset)
        part *= np.float32(self._scene.value_scale)
        if self._scene.nodata is not None:
            part[is_nodata(stored, self._scene.nodata)] = np.nan
        place = (
            slice(top - row - self._row, bottom - row - self._row),
            slice(left - col - self._col, right - col - self._col),
        )
        out[:, *place] = part
        if self._clouded is not None:
            out[:, _inside(self._clouded, self._grid, row, col, height, width)] = np.nan
        return out


def offset_between(scene: Scene, grid: Grid) -> tuple[int, int]:
    """Rows and columns from a stored scene's upper left corner to that of a grid.

    Raises:
        UsageError: the two do not share pixels.

    """
    own = scene.grid
    how = (
        f"the reference {scene.product} (EPSG:{own.srid}, {own.resolution_x:g} m, origin {own.origin_x:g} "
        f"{own.origin_y:g}) and this scene (EPSG:{grid.srid}, {grid.resolution_x:g} m, origin "
        f"{grid.origin_x:g} {grid.origin_y:g})"
    )
    same = own.srid == grid.srid and abs(own.resolution_x - grid.resolution_x) < 1e-6 * own.resolution_x
    if not same:
        raise UsageError(f"{how} have different grids: only scenes of one zone and pixel size are compared")
    row = (own.origin_y - grid.origin_y) / own.resolution_y
    col = (grid.origin_x - own.origin_x) / own.resolution_x
    if max(abs(row - round(row)), abs(col - round(col))) > ALIGNED:
        raise UsageError(f"{how} have the same pixel size but do not share pixels")
    return round(row), round(col)


def _inside(
    outline: shapely.Geometry, grid: Grid, row: int, col: int, height: int, width: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    x = grid.origin_x + col * grid.resolution_x
    y = grid.origin_y - row * grid.resolution_y
    if outline.is_empty:
        return np.zeros((height, width), bool)
    affine = Affine(grid.resolution_x, 0.0, x, 0.0, -grid.resolution_y, y)
    burnt: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = rasterize(
        [(outline, 1)], (height, width), transform=affine, dtype="uint8", all_touched=True
    )
    return burnt.astype(bool)
