"""Several sources on one grid as one source with the bands of all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from db.raster.grid import Grid
from ingest.processing.source import FloatArray, PixelSource


class StackedSource:
    """The bands of several sources, one after the other; their grids must be equal."""

    def __init__(self, sources: Sequence[PixelSource]) -> None:
        if len({source.grid for source in sources}) != 1:
            raise ValueError("stacked sources lie on one grid")
        self._sources = tuple(sources)

    @property
    def grid(self) -> Grid:
        """The common grid."""
        return self._sources[0].grid

    @property
    def band_count(self) -> int:
        """Number of bands of all sources."""
        return sum(source.band_count for source in self._sources)

    def read(self, row: int, height: int) -> FloatArray:
        """Rows over the whole width."""
        return np.concatenate([source.read(row, height) for source in self._sources])

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """Any window inside the grid."""
        return np.concatenate([source.read_window(row, col, height, width) for source in self._sources])

    def read_bands(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of some bands (places from 0), in the order asked for."""
        out = np.empty((len(places), height, width), np.float32)
        first = 0
        for source in self._sources:
            mine = [number for number, place in enumerate(places) if 0 <= place - first < source.band_count]
            if mine:
                own = [places[number] - first for number in mine]
                out[mine] = source.read_bands(own, row, col, height, width)
            first += source.band_count
        return out

    def reduced(self, factor: int) -> FloatArray:
        """The whole image with blocks of ``factor`` x ``factor`` pixels averaged."""
        return np.concatenate([source.reduced(factor) for source in self._sources])
