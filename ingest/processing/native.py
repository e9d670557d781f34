"""A product's georeferenced rasters as one image: bands of several files, tiles, and nested resolutions.

No pixel is interpolated: a band of 20 m on a grid of 10 m has each of its values four times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from db.errors import UsageError
from db.raster.grid import Grid
from db.raster.pixels import is_nodata
from ingest.crs import file_crs
from ingest.files import SourceFile
from ingest.opening import open_raster, reading
from ingest.processing.source import FloatArray, WindowSource
from ingest.products.product import Part

ALIGNED = 1e-3
"""Corners of files may miss the common grid by this share of a pixel: what is lost when they are printed."""

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class _Piece:
    """One band of a file on the common grid, whose pixels are ``factor`` times as fine as the file's."""

    dataset: Any
    file: SourceFile
    index: int
    row: int
    col: int
    factor: int
    has_mask: bool


class NativeSource(WindowSource):
    """The layers of a part on the finest of their grids.

    Args:
        part: a part without RPCs.
        stack: closes the files in the end; they stay open until then.
        name: the product, for messages.

    Raises:
        UsageError: a file cannot be opened, is not on a north-up grid in metres, or their grids do not nest.

    """

    def __init__(self, part: Part, stack: ExitStack, name: str) -> None:
        self._part = part
        datasets: dict[str, tuple[SourceFile, Any]] = {}
        for layer in part.layers:
            for file in layer.files:
                if str(file.path) not in datasets:
                    datasets[str(file.path)] = (file, stack.enter_context(open_raster(file)))
        self._grid = _common_grid([(file, dataset) for file, dataset in datasets.values()], name)
        types = {dataset.dtypes[0] for _, dataset in datasets.values()}
        if len(types) > 1:
            raise UsageError(f"{name}: its files have different pixel types ({', '.join(sorted(types))})")
        self.dtype: np.dtype[Any] = np.dtype(types.pop())
        self._pieces = [
            [_piece(*datasets[str(file.path)], layer.index, self._grid) for file in layer.files]
            for layer in part.layers
        ]
        self.nodata = self._decide_nodata(part, name)
        self.block_rows = max(
            piece.dataset.block_shapes[piece.index - 1][0] * piece.factor
            for pieces in self._pieces
            for piece in pieces
        )

    def _decide_nodata(self, part: Part, name: str) -> float | None:
        if part.nodata is not None:
            return part.nodata
        own = {repr(piece.dataset.nodatavals[0]) for pieces in self._pieces for piece in pieces}
        if len(own) > 1:
            raise UsageError(f"{name}: its files have different nodata values ({', '.join(sorted(own))})")
        value = self._pieces[0][0].dataset.nodatavals[0]
        if value is not None:
            return float(value)
        if self.dtype.kind != "f" and any(piece.has_mask for pieces in self._pieces for piece in pieces):
            raise UsageError(
                f"{name}: a mask says which pixels have no data, and no value can stand for them: state "
                "nodata"
            )
        if self.dtype.kind == "f":
            return math.nan
        if any(len(pieces) > 1 for pieces in self._pieces):
            raise UsageError(f"{name}: its tiles leave gaps, and no value marks pixels without data")
        return None

    @property
    def grid(self) -> Grid:
        """The common grid."""
        return self._grid

    @property
    def band_count(self) -> int:
        """Number of layers."""
        return len(self._pieces)

    def read_stored(self, row: int, col: int, height: int, width: int) -> Pixels:
        """A window as stored (bands, height, width); the nodata value where no file has pixels."""
        return self._read(range(self.band_count), row, col, height, width)

    def _read(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> Pixels:
        fill = 0 if self.nodata is None else self.nodata
        out = np.full((len(places), height, width), fill, self.dtype)
        for band, place in enumerate(places):
            for piece in self._pieces[place]:
                self._paste(out[band], piece, row, col)
        return out

    def _paste(self, out: Pixels, piece: _Piece, row: int, col: int) -> None:
        """Put the part of a file that lies in the window at (row, col) into it."""
        size = piece.factor
        rows, columns = piece.dataset.height * size, piece.dataset.width * size
        top, left = max(row, piece.row), max(col, piece.col)
        bottom = min(row + out.shape[0], piece.row + rows)
        right = min(col + out.shape[1], piece.col + columns)
        if top >= bottom or left >= right:
            return
        first, last = (top - piece.row) // size, -(-(bottom - piece.row) // size)
        start, stop = (left - piece.col) // size, -(-(right - piece.col) // size)
        with reading(piece.file):
            window = Window(start, first, stop - start, last - first)
            pixels: Pixels = piece.dataset.read(piece.index, window=window)
            if piece.has_mask and self.nodata is not None:
                pixels[piece.dataset.read_masks(piece.index, window=window) == 0] = self.nodata
        if size > 1:
            pixels = pixels.repeat(size, axis=0).repeat(size, axis=1)
            pixels = pixels[top - piece.row - first * size :, left - piece.col - start * size :]
            pixels = pixels[: bottom - top, : right - left]
        target = out[top - row : bottom - row, left - col : right - col]
        if self.nodata is None:
            target[...] = pixels
        else:
            is_data = ~is_nodata(pixels, self.nodata)
            if pixels.dtype.kind == "f":
                is_data &= np.isfinite(pixels)
            np.copyto(target, pixels, where=is_data)

    def read_bands(self, places: Sequence[int], row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of some bands (places from 0)."""
        return self._numbers(self._read(places, row, col, height, width))

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        """A window of stored values (bands, height, width), NaN without data."""
        return self._numbers(self.read_stored(row, col, height, width))

    def _numbers(self, stored: Pixels) -> FloatArray:
        pixels = stored.astype(np.float32)
        if self.nodata is not None:
            pixels[is_nodata(stored, self.nodata)] = np.nan
        return pixels


def _common_grid(files: list[tuple[SourceFile, Any]], name: str) -> Grid:
    grids = [(file, _grid_of(file, dataset)) for file, dataset in files]
    first_file, first = grids[0]
    for file, grid in grids:
        if grid.srid != first.srid:
            raise UsageError(
                f"{name}: {first_file.name} lies in EPSG:{first.srid}, {file.name} in EPSG:{grid.srid}"
            )
    size = min(grid.resolution_x for _, grid in grids)
    west = min(grid.origin_x for _, grid in grids)
    north = max(grid.origin_y for _, grid in grids)
    east = max(grid.origin_x + grid.width_px * grid.resolution_x for _, grid in grids)
    south = min(grid.origin_y - grid.height_px * grid.resolution_y for _, grid in grids)
    return Grid(
        first.srid, west, north, size, size, round((east - west) / size), round((north - south) / size)
    )


def _grid_of(file: SourceFile, dataset: Any) -> Grid:
    transform = dataset.transform
    source = file_crs(dataset.crs.to_wkt() if dataset.crs else None, file.name)
    is_north_up = transform.b == 0 and transform.d == 0 and transform.a > 0 and transform.e < 0
    if not is_north_up or not source.is_metric or source.srid is None:
        raise UsageError(
            f"{file.name}: is not on a north-up grid in metres, as this kind of product has; warp it first"
        )
    if abs(transform.a + transform.e) > ALIGNED * transform.a:
        raise UsageError(f"{file.name}: its pixels are not square: {transform.a} by {-transform.e} m")
    return Grid(
        source.srid, transform.c, transform.f, transform.a, transform.a, dataset.width, dataset.height
    )


def _piece(file: SourceFile, dataset: Any, index: int, common: Grid) -> _Piece:
    if not 1 <= index <= dataset.count:
        raise UsageError(f"{file.name}: has {dataset.count} bands, and the product speaks of band {index}")
    grid = _grid_of(file, dataset)
    numbers = (
        grid.resolution_x / common.resolution_x,
        (common.origin_y - grid.origin_y) / common.resolution_y,
        (grid.origin_x - common.origin_x) / common.resolution_x,
    )
    factor, row, col = (round(number) for number in numbers)
    if max(abs(number - whole) for number, whole in zip(numbers, (factor, row, col), strict=True)) > ALIGNED:
        raise UsageError(
            f"{file.name}: its grid of {grid.resolution_x:g} m does not nest in the product's grid of "
            f"{common.resolution_x:g} m"
        )
    if np.dtype(dataset.dtypes[index - 1]).kind not in "uif":
        raise UsageError(f"{file.name}: pixels of type {dataset.dtypes[index - 1]} cannot be stored")
    flags = {getattr(flag, "name", str(flag)) for flag in dataset.mask_flag_enums[index - 1]}
    return _Piece(dataset, file, index, row, col, factor, "per_dataset" in flags and "alpha" not in flags)
