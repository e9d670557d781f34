"""What every source of pixels offers: windows on one grid as numbers, and a reduced image of the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from db.raster.grid import Grid

FloatArray = npt.NDArray[np.float32]

_STRIP_BYTES = 64 << 20


class PixelSource(Protocol):
    """Pixels on one grid, read window by window.

    Arrays are float32 (bands, height, width), NaN where there is no data.
    """

    @property
    def grid(self) -> Grid:
        """The grid."""
        ...

    @property
    def band_count(self) -> int:
        """Number of bands."""
        ...

    def read(self, row: int, height: int) -> FloatArray:
        """Rows over the whole width."""
        ...

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Any window inside the grid."""
        ...

    def read_bands(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of some bands (places from 0)."""
        ...

    def reduced(self, factor: int) -> FloatArray:
        """The whole image with blocks of ``factor`` x ``factor`` pixels averaged."""
        ...


class WindowSource(ABC):
    """A source that knows how to read windows, and derives the rest from that."""

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """The grid."""

    @property
    @abstractmethod
    def band_count(self) -> int:
        """Number of bands."""

    @abstractmethod
    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Any window inside the grid."""

    def read_bands(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of some bands (places from 0)."""
        return self.read_window(row, col, height, width)[list(places)]

    def read(self, row: int, height: int) -> FloatArray:
        """Rows over the whole width."""
        return self.read_window(row, 0, height, self.grid.width_px)

    def reduced(self, factor: int) -> FloatArray:
        """The whole image with blocks of ``factor`` x ``factor`` pixels averaged, read strip by strip."""
        grid = self.grid
        shape = (self.band_count, *reduced_shape(grid, factor))
        out = np.empty(shape, np.float32)
        rows = _strip_rows(grid.width_px * self.band_count * 4, factor)
        for top in range(0, grid.height_px, rows):
            height = min(rows, grid.height_px - top)
            means = block_means(self.read(top, height), factor)
            out[:, top // factor : top // factor + means.shape[1]] = means
        return out


def reduced_shape(grid: Grid, factor: int) -> tuple[int, int]:
    """Rows and columns of a reduced image."""
    return -(-grid.height_px // factor), -(-grid.width_px // factor)


def _strip_rows(row_bytes: int, factor: int) -> int:
    """Rows to read at a time: a multiple of the factor, within the memory."""
    return max(1, min(512, _STRIP_BYTES // row_bytes) // factor) * factor


def block_means(pixels: FloatArray, factor: int) -> FloatArray:
    """Average blocks of pixels, leaving out those without data.

    Args:
        pixels: (bands, height, width), NaN without data.
        factor: edge of a block; blocks at the lower and right edge may be smaller.

    Returns:
        (bands, ceil(height / factor), ceil(width / factor)); NaN where a block holds no data.

    """
    if factor == 1:
        return pixels
    rows = np.arange(0, pixels.shape[1], factor)
    columns = np.arange(0, pixels.shape[2], factor)
    seen = np.isfinite(pixels)
    sums = np.add.reduceat(np.add.reduceat(np.where(seen, pixels, 0), rows, axis=1), columns, axis=2)
    counts = np.add.reduceat(
        np.add.reduceat(seen, rows, axis=1, dtype=np.int32), columns, axis=2, dtype=np.int32
    )
    means = np.full(sums.shape, np.nan, np.float32)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
