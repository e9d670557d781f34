"""Computed pixels under rasterio's names, so that the loader reads them as if they were an open file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from db.raster.grid import Grid
from ingest.grid_raster import GridRaster
from ingest.processing.source import FloatArray
from ingest.products.product import Level

NODATA = 0

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class ComputedView(GridRaster):
    """Pixels that are computed row by row.

    Attributes:
        name: the product.
        grid: their grid.
        dtype: stored pixel type.
        nodata: value of pixels without data, or None.
        band_count: number of bands.
        rows: called with the first row and a number of rows; gives stored pixels (bands, height, width).
        block_rows: rows that are best computed together.

    """

    name: str
    grid: Grid
    dtype: np.dtype[Any]
    nodata: float | None
    band_count: int
    rows: Callable[[int, int], Pixels]
    block_rows: int

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
        return (self.nodata,) * self.band_count

    @property
    def block_shapes(self) -> list[tuple[int, int]]:
        """Rows and columns that are computed together, of each band."""
        return [(self.block_rows, self.grid.width_px)] * self.band_count

    def read(self, indexes: Sequence[int], *, window: Window, out: Pixels) -> Pixels:
        """Compute the rows of a window over the whole width into ``out``."""
        if tuple(indexes) != self.indexes:
            raise ValueError(f"computed scenes are read with all their bands {self.indexes}")
        out[...] = self.rows(int(window.row_off), int(window.height))
        return out


@dataclass(frozen=True)
class Encoding:
    """How computed values are stored in 16 bits: value = (stored + offset) * scale, 0 without data."""

    offset: float
    scale: float

    def stored(self, values: FloatArray) -> npt.NDArray[np.uint16]:
        """Round values (NaN without data) to what is stored, 1 to 65535."""
        with np.errstate(invalid="ignore"):
            numbers = np.rint(values / np.float32(self.scale) - np.float32(self.offset))
            np.clip(numbers, 1, 65535, out=numbers)
        numbers[np.isnan(numbers)] = NODATA
        stored: npt.NDArray[np.uint16] = numbers.astype(np.uint16)
        return stored


def encoding_of(level: Level) -> Encoding:
    """Encoding of computed values of a level.

    Reflectance is stored as ESA does since baseline 04.00, in steps of 0.0001 from -0.0999: atmospheric
    correction yields values a little below zero over water and shadow. Radiance is stored in steps of
    0.01 W m-2 sr-1 um-1, digital numbers as they are.
    """
    if level == "digital_number":
        return Encoding(0.0, 1.0)
    return Encoding(0.0, 0.01) if level == "radiance" else Encoding(-1000.0, 1e-4)


def tile_edge_px(band_count: int, bytes_per_value: int) -> int:
    """Edge of a scene's tiles, pixels: 256, less for many bands, so that a tile stays below about 4 MB."""
    largest = math.sqrt((4 << 20) / (band_count * bytes_per_value))
    return max(32, min(256, 1 << int(math.log2(largest))))
