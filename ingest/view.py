"""A scene as it will be stored: rows of pixels of the file, warped only where its grid demands it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from db.errors import UsageError
from db.raster.grid import Grid
from db.raster.pixels import is_nodata
from ingest.grid_raster import GridRaster
from ingest.gridding import GridPlan, affine_of
from ingest.nodata import Nodata, decide_nodata

RESAMPLINGS = {
    "nearest": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "cubic": Resampling.cubic,
}
STORABLE = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")
STRIP_BYTES = 64 << 20
"""Pixels of at most about this size are held at a time."""

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class SceneView(GridRaster):
    """Pixels on the grid of the plan.

    Attributes:
        dataset: what rows are read from: the file itself, or a warped view of it.
        grid: grid of the pixels.
        dtype: type they are stored in.
        nodata: value of pixels without data.
        is_warped: pixels were moved; those the file does not cover have no data.
        notes: what was decided about the pixel type.

    """

    dataset: Any
    grid: Grid
    dtype: np.dtype[Any]
    nodata: Nodata
    is_warped: bool
    notes: tuple[str, ...]

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return int(self.dataset.count)

    # What follows has rasterio's names: the loader reads a view as if it were an open file.

    @property
    def name(self) -> str:
        """Name of the file."""
        return str(self.dataset.name)

    @property
    def indexes(self) -> tuple[int, ...]:
        """Band numbers from 1."""
        return tuple(range(1, self.band_count + 1))

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Pixel type of each band."""
        return (self.dtype.name,) * self.band_count

    @property
    def nodatavals(self) -> tuple[float | None, ...]:
        """Nodata value of each band."""
        return (self.nodata.value,) * self.band_count

    @property
    def block_shapes(self) -> list[tuple[int, int]]:
        """Rows and columns that are decoded together, of each band."""
        return [(int(rows), int(columns)) for rows, columns in self.dataset.block_shapes]

    def read(self, indexes: Sequence[int], *, window: Window, out: Pixels | None = None) -> Pixels:
        """Read a window over the whole width: array (bands, height, width), ``out`` where it is given."""
        pixels, _replaced = self.read_rows(int(window.row_off), int(window.height), out=out)
        if tuple(indexes) != self.indexes:
            raise ValueError(f"a scene is read with all its bands {self.indexes}, not {tuple(indexes)}")
        return pixels

    def without_nodata(self) -> SceneView:
        """The same view of a scene in which every pixel proved valid."""
        return replace(self, nodata=Nodata(None, False, False, ()))

    def strip_rows(self) -> int:
        """Rows to read at a time: about a tile's height, within the memory."""
        return min(256, max(1, STRIP_BYTES // (self.band_count * self.grid.width_px * self.dtype.itemsize)))

    def read_rows(self, row: int, height: int, *, out: Pixels | None = None) -> tuple[Pixels, int]:
        """Read rows over the whole width.

        Args:
            row: first row.
            height: rows.
            out: array to read into, of the stored type; by default a new one.

        Returns:
            Pixels (bands, height, width), and how many values were NaN or infinite and became nodata.

        """
        window = Window(0, row, self.grid.width_px, height)
        if out is None:
            out = np.empty((self.band_count, height, self.grid.width_px), self.dtype)
        pixels: Pixels = self.dataset.read(window=window, out=out)
        replaced = 0
        if self.dtype.kind == "f" and self.nodata.value is not None:
            broken = ~np.isfinite(pixels)
            if self.nodata.in_source or self.is_warped:
                broken &= ~is_nodata(pixels, self.nodata.value)
            replaced = int(np.count_nonzero(broken))
            pixels[broken] = self.nodata.value
        if self.nodata.has_mask:
            pixels[:, self.dataset.dataset_mask(window=window) == 0] = self.nodata.value
        return pixels, replaced


@contextmanager
def scene_view(
    dataset: Any, plan: GridPlan, name: str, *, stated_nodata: float | None, resampling: str = "nearest"
) -> Iterator[SceneView]:
    """Open the pixels of a file on the grid of the plan.

    Args:
        dataset: rasterio dataset of the file.
        plan: the grid.
        name: the file, for messages.
        stated_nodata: nodata value from the user; goes before the file's own.
        resampling: for warped grids: nearest, bilinear or cubic.

    Raises:
        UsageError: pixel types differ, cannot be stored, or no value is free for nodata where one is needed.

    """
    types = set(dataset.dtypes)
    if len(types) > 1:
        raise UsageError(f"{name}: its bands have different pixel types ({', '.join(sorted(types))})")
    notes: list[str] = []
    source = np.dtype(types.pop())
    dtype = source
    if source.name == "int8":
        dtype = np.dtype("int16")
        notes.append("pixels of type int8 are stored as 16BSI: clients do not show 8BSI")
    if dtype.name not in STORABLE:
        raise UsageError(
            f"{name}: pixels of type {dtype.name} cannot be stored; convert them to one of "
            + ", ".join(STORABLE)
        )
    is_warped = plan.reason is not None and not plan.is_turned
    nodata = decide_nodata(dataset, dtype, stated_nodata, name, is_warped=is_warped)
    if plan.reason is None:
        yield SceneView(dataset, plan.grid, dtype, nodata, False, tuple(notes))
        return
    warped = WarpedVRT(
        dataset,
        src_crs=_definition(plan.source.crs),
        crs=_definition(plan.source.crs if plan.is_turned else CRS.from_epsg(plan.grid.srid)),
        transform=affine_of(plan.grid),
        width=plan.grid.width_px,
        height=plan.grid.height_px,
        resampling=RESAMPLINGS["nearest" if plan.is_turned else resampling],
        src_nodata=nodata.value if nodata.in_source else None,
        nodata=nodata.value,
        warp_mem_limit=64,
    )
    with warped:
        # The warp turns masked pixels into nodata by itself.
        unmasked = replace(nodata, has_mask=False)
        yield SceneView(warped, plan.grid, dtype, unmasked, is_warped, tuple(notes))


def _definition(crs: CRS) -> str:
    return crs.to_wkt("WKT1_GDAL") if crs.is_bound else crs.to_wkt()
