"""A scene's pixels as a network takes them: chosen bands, scaled, with a mask of what was observed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import geometry_mask

from db.errors import UsageError
from db.raster import Grid
from inference.normalisation import Normalisation

CACHE_BYTES = 1 << 30
VALUE_LIMIT_STD = 30.0


class PixelReader(Protocol):
    """What is needed of a reader of stored pixels; `db.raster.reader.RasterReader` is one."""

    @property
    def grid(self) -> Grid:
        """Where the pixels lie."""

    @property
    def nodata(self) -> float | None:
        """Stored value of pixels without data."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""

    def read(
        self, row: int, col: int, height: int, width: int, *, bands: Sequence[int] | None = None
    ) -> NDArray[Any]:
        """Stored values (bands, height, width) of a window; band numbers count from 1."""


class ArrayReader:
    """A `PixelReader` over an array in memory.

    Args:
        pixels: (bands, height, width).
        grid: where it lies, of the same height and width.
        nodata: value of pixels without data.

    """

    def __init__(self, pixels: NDArray[Any], grid: Grid, nodata: float | None) -> None:
        self.grid = grid
        self.nodata = nodata
        self.dtype = pixels.dtype
        self._pixels = pixels

    def read(
        self, row: int, col: int, height: int, width: int, *, bands: Sequence[int] | None = None
    ) -> NDArray[Any]:
        """Stored values of a window that lies inside."""
        inside = 0 <= row <= self._pixels.shape[1] - height and 0 <= col <= self._pixels.shape[2] - width
        if not inside:
            raise ValueError(f"window {height} x {width} at ({row}, {col}) leaves the array")
        window = self._pixels[:, row : row + height, col : col + width]
        # bands last: choosing them copies, and must copy the window, not the scene
        return window if bands is None else window[[band - 1 for band in bands]]


@dataclass(frozen=True)
class SceneSource:
    """One scene, read by windows in the bands and the unit of a network.

    Attributes:
        name: the product, for messages.
        reader: gives the stored values.
        bands: numbers of the wanted bands in the stored order, from 1.
        value_offset: added to a stored value before scaling.
        value_scale: value = (stored + value_offset) * value_scale.
        clouded: cloud and shadow in the CRS of the grid, which count as not observed.
        lock: keeps two threads from reading at once; shared by scenes that share a connection.

    """

    name: str
    reader: PixelReader
    bands: tuple[int, ...]
    value_offset: float = 0.0
    value_scale: float = 1.0
    clouded: shapely.MultiPolygon | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def grid(self) -> Grid:
        """Where the pixels lie."""
        return self.reader.grid

    def read_stored(self, row: int, col: int, height: int, width: int) -> NDArray[Any]:
        """Stored values (bands, height, width) of a window inside the scene, in the wanted order."""
        with self.lock:
            return self.reader.read(row, col, height, width, bands=self.bands)

    def read(
        self, row: int, col: int, height: int, width: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values after offset and scale (bands, height, width), and what was observed (height, width).

        Values of pixels that were not observed mean nothing.
        """
        stored = self.read_stored(row, col, height, width)
        with np.errstate(over="ignore", invalid="ignore"):  # NaN and Inf are told by the mask
            values = (stored.astype(np.float32) + np.float32(self.value_offset)) * np.float32(
                self.value_scale
            )
        valid = observed(stored, self.reader.nodata)
        if self.clouded is not None:
            valid &= geometry_mask([self.clouded], (height, width), self._transform(row, col))
        return values, valid

    def _transform(self, row: int, col: int) -> Affine:
        grid = self.grid
        west = grid.origin_x + col * grid.resolution_x
        north = grid.origin_y - row * grid.resolution_y
        return Affine(grid.resolution_x, 0.0, west, 0.0, -grid.resolution_y, north)

    def read_normalised(
        self, row: int, col: int, height: int, width: int, normalisation: Normalisation
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The network's input (bands, height, width), and which pixels were observed (height, width).

        What was not observed is 0, the mean, so that a nodata collar is no bright or dark object. Values are
        limited to `VALUE_LIMIT_STD`, or a single broken pixel would reach every pixel of its window through
        the network's global pooling.
        """
        values, valid = self.read(row, col, height, width)
        means = np.array(normalisation.means, np.float32)[:, None, None]
        stds = np.array(normalisation.stds, np.float32)[:, None, None]
        with np.errstate(over="ignore", invalid="ignore"):
            values -= means
            values /= stds
        np.clip(values, -VALUE_LIMIT_STD, VALUE_LIMIT_STD, out=values)
        values[:, ~valid] = 0
        return values, valid

    def cached(self) -> SceneSource:
        """The same scene with its wanted bands in memory, in the stored type."""
        grid = self.grid
        pixels = self.read_stored(0, 0, grid.height_px, grid.width_px)
        reader = ArrayReader(pixels, grid, self.reader.nodata)
        return SceneSource(
            self.name,
            reader,
            tuple(range(1, len(self.bands) + 1)),
            self.value_offset,
            self.value_scale,
            self.clouded,
        )


def observed(stored: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Pixels (height, width) with a finite value other than nodata in every band of (bands, height, width).

    A pixel that lacks one band (the stepped edge of a detector) is not observed: what the network would say
    there, nobody has trained or tested.
    """
    valid = np.ones(stored.shape[1:], bool)
    if nodata is not None and not np.isnan(nodata):
        valid &= (stored != nodata).all(axis=0)
    if np.issubdtype(stored.dtype, np.floating):
        valid &= np.isfinite(stored).all(axis=0)
    return valid


def choose_bands(scene: str, has: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Numbers of the wanted bands among those a scene has, from 1.

    Raises:
        UsageError: lists what is missing and what there is.

    """
    missing = [name for name in wanted if name not in has]
    if missing:
        raise UsageError(
            f"scene {scene} lacks the bands {', '.join(missing)}; it has {', '.join(has)}, "
            f"the model needs {', '.join(wanted)}: use a model trained on this sensor's bands"
        )
    return tuple(list(has).index(name) + 1 for name in wanted)
