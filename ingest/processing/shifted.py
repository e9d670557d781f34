"""A source moved by a fraction of a pixel, for images that are on a grid already and lie beside the truth."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from db.raster.grid import Grid
from ingest.processing.source import FloatArray, PixelSource, WindowSource

_MARGIN_PX = 2
"""Neighbours that bilinear interpolation reaches, and one more."""


class ShiftedSource(WindowSource):
    """What another source shows at (row + d_row, col + d_col) stands at (row, col), bilinearly interpolated.

    A pixel with a neighbour without data has none.

    Args:
        source: the other source.
        d_row, d_col: shift in pixels.

    """

    def __init__(self, source: PixelSource, d_row: float, d_col: float) -> None:
        self._source = source
        self._whole = math.floor(d_row), math.floor(d_col)
        self._part = d_row - self._whole[0], d_col - self._whole[1]

    @property
    def grid(self) -> Grid:
        """The grid of both."""
        return self._source.grid

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return self._source.band_count

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of the moved image (bands, height, width), NaN without data."""
        grid = self.grid
        first, left = row + self._whole[0], col + self._whole[1]
        wide = np.full((self.band_count, height + _MARGIN_PX, width + _MARGIN_PX), np.nan, np.float32)
        top, start = max(first, 0), max(left, 0)
        bottom = min(first + wide.shape[1], grid.height_px)
        stop = min(left + wide.shape[2], grid.width_px)
        if top < bottom and start < stop:
            wide[:, top - first : bottom - first, start - left : stop - left] = self._source.read_window(
                top, start, bottom - top, stop - start
            )
        if self._part == (0.0, 0.0):
            return wide[:, :height, :width]
        moved = np.empty((self.band_count, height, width), np.float32)
        shift = (-self._part[0], -self._part[1])
        for band, pixels in enumerate(wide):
            whole = ndimage.shift(pixels, shift, order=1, mode="constant", cval=np.nan, prefilter=False)
            moved[band] = whole[:height, :width]
        return moved
