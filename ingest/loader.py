"""Raster files into the database: blocks are read and encoded in one thread while another sends them."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from psycopg import Connection
from rasterio.io import DatasetReader
from rasterio.windows import Window

from db.errors import UsageError
from db.raster import Grid, RasterWriter, TileBatch, check_pixel_type

# Rows of tiles that wait to be sent: enough to smooth out a slow block. One is enough where a row of tiles
# takes hundreds of megabytes, as with many bands.
_QUEUED_STRIPS = 2
_LARGE_STRIP_BYTES = 64 << 20

# Every block is read once: GDAL's usual cache, a twentieth of the memory, would only fill up.
_BLOCK_CACHE_BYTES = 64 << 20

# Files in one piece (a strip as high as the scene) are read a row of tiles at a time.
_MAX_BLOCK_ROWS = 2048

Progress = Callable[[int, int], None]
Observe = Callable[[int, npt.NDArray[Any]], None]


def grid_of_dataset(dataset: DatasetReader) -> Grid:
    """The grid of an open raster file.

    Raises:
        UsageError: no CRS, one without EPSG code, or a rotated or south-up grid.

    """
    if dataset.crs is None:
        raise UsageError(
            f"{dataset.name} has no CRS: assign one, for example with gdal_edit.py -a_srs EPSG:32650"
        )
    srid = dataset.crs.to_epsg()
    if srid is None:
        raise UsageError(f"the CRS of {dataset.name} has no EPSG code: warp it to its UTM zone first")
    transform = dataset.transform
    numbers = tuple(transform)[:6]
    if not all(math.isfinite(number) for number in numbers):
        raise UsageError(f"the grid of {dataset.name} is not finite: {numbers}")
    if transform.b != 0 or transform.d != 0 or transform.a <= 0 or transform.e >= 0:
        raise UsageError(
            f"the grid of {dataset.name} is rotated or south-up: warp it to a north-up grid first"
        )
    return Grid(srid, transform.c, transform.f, transform.a, -transform.e, dataset.width, dataset.height)


def load_raster(
    conn: Connection[Any],
    dataset: DatasetReader,
    *,
    parent: str,
    owner_id: int,
    table: str,
    bands: Sequence[int] | None = None,
    progress: Progress | None = None,
    observe: Observe | None = None,
    before_finish: Callable[[], None] | None = None,
    **options: Any,
) -> RasterWriter:
    """Load an open raster file into a table, inside the caller's transaction.

    Args:
        conn: connection in a transaction; the caller commits, or rolls back after an exception.
        dataset: open file with a north-up grid.
        parent: see ``RasterWriter``.
        owner_id: see ``RasterWriter``.
        table: see ``RasterWriter``.
        bands: band numbers from 1 in the order wanted; by default all.
        progress: called with rows done and rows in all, after each row of tiles.
        observe: called with the first row and the pixels (bands, height, width) of each strip, from the
            thread that reads.
        before_finish: called when all tiles are in and before the table is attached to its parent.
        options: further options of ``RasterWriter``; ``nodata`` here overrides the file's.

    Returns:
        The finished writer.

    Raises:
        UsageError: the file's grid, bands or pixel types cannot be stored.

    """
    chosen = tuple(bands) if bands is not None else tuple(dataset.indexes)
    types = {dataset.dtypes[band - 1] for band in chosen}
    if len(types) != 1:
        raise UsageError(f"bands of {dataset.name} have different types: {', '.join(sorted(types))}")
    options.setdefault("nodata", tuple(dataset.nodatavals[band - 1] for band in chosen))
    writer = RasterWriter(
        conn,
        parent=parent,
        owner_id=owner_id,
        table=table,
        grid=grid_of_dataset(dataset),
        dtype=check_pixel_type(types.pop()),
        band_count=len(chosen),
        **options,
    )
    rows = _rows_at_a_time(dataset, options.get("tile_px", 256))
    producer = _Producer(dataset, chosen, writer, rows=rows, observe=observe)
    producer.start()
    try:
        for rows_done, batches in producer:
            writer.send(batches)
            if progress is not None:
                progress(rows_done, writer.grid.height_px)
    finally:
        producer.stop()
    if before_finish is not None:
        before_finish()
    writer.finish()
    return writer


def _rows_at_a_time(dataset: DatasetReader, tile_px: int) -> int:
    """Rows to read together: whole rows of tiles, and of the file's blocks so that none is decoded twice."""
    block_rows = max(int(height) for height, _ in dataset.block_shapes)
    if block_rows > _MAX_BLOCK_ROWS:
        return tile_px
    return tile_px * -(-block_rows // tile_px)


class _Producer(threading.Thread):
    """Reads and encodes strips ahead of the sender; iterating yields (rows done, encoded tiles)."""

    def __init__(
        self,
        dataset: DatasetReader,
        bands: Sequence[int],
        writer: RasterWriter,
        *,
        rows: int,
        observe: Observe | None,
    ) -> None:
        super().__init__(name="raster-reader", daemon=True)
        self._dataset = dataset
        self._bands = list(bands)
        self._writer = writer
        self._rows = rows
        self._observe = observe
        strip_bytes = len(self._bands) * rows * dataset.width * writer.dtype.itemsize
        queued = _QUEUED_STRIPS if strip_bytes < _LARGE_STRIP_BYTES else 1
        self._strips: queue.Queue[tuple[int, list[TileBatch]] | BaseException | None] = queue.Queue(queued)
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            height, width = self._dataset.height, self._dataset.width
            # One array for all strips: encoding copies from it, and fresh memory costs as much as reading.
            pixels = np.empty((len(self._bands), min(self._rows, height), width), self._writer.dtype)
            with rasterio.Env(GDAL_CACHEMAX=_BLOCK_CACHE_BYTES):
                for top in range(0, height, self._rows):
                    rows = min(self._rows, height - top)
                    if rows < pixels.shape[1]:
                        pixels = np.empty((len(self._bands), rows, width), self._writer.dtype)
                    self._dataset.read(self._bands, window=Window(0, top, width, rows), out=pixels)
                    if self._observe is not None:
                        self._observe(top, pixels)
                    if not self._put((top + rows, self._writer.encode_rows(pixels))):
                        return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item: tuple[int, list[TileBatch]] | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._strips.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[tuple[int, list[TileBatch]]]:
        while True:
            item = self._strips.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def stop(self) -> None:
        """End the thread, wherever it is; the dataset is the caller's again afterwards."""
        self._stopped.set()
        self.join()
