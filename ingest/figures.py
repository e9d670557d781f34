"""One pass over a scene's pixels: what is valid, and between which values each band lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from db.raster.grid import Grid
from db.raster.pixels import is_nodata
from ingest.clouds import Clouds
from ingest.view import SceneView

SAMPLE_PX = 250_000
"""Pixels of a band that its percentiles are taken from, about."""

MASK_PX = 16_000_000
"""The mask of valid pixels is kept in full up to this size and in blocks beyond."""


@dataclass(frozen=True)
class BandFigures:
    """Values of a band: how many are valid, the extremes, and an even sample of the valid ones."""

    name: str
    valid_px: int
    minimum: float
    maximum: float
    sample: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SceneFigures:
    """What one pass over a scene found.

    Attributes:
        bands: figures of each band, in stored order.
        total_px: pixels of the grid.
        valid_px: pixels with data in at least one band.
        clouded_px: of them, those under cloud or shadow; None when nobody said where that is.
        replaced: values that were NaN or infinite and became nodata.
        mask: blocks of ``mask_px`` x ``mask_px`` pixels with a valid pixel; None when all are valid.
        mask_px: edge of a block, pixels.

    """

    bands: tuple[BandFigures, ...]
    total_px: int
    valid_px: int
    clouded_px: int | None
    replaced: int
    mask: npt.NDArray[np.bool_] | None
    mask_px: int


@dataclass
class _BandSums:
    valid_px: int
    minimum: float
    maximum: float
    samples: list[npt.NDArray[np.float64]]


class FigureSums:
    """Gathers the figures of a scene strip by strip, from the top.

    Args:
        grid: the scene's grid.
        names: names of its bands.
        nodata: value of pixels without data, or None.
        clouds: cloud and shadow over it, where known.

    """

    def __init__(
        self, grid: Grid, names: tuple[str, ...], nodata: float | None, clouds: Clouds | None
    ) -> None:
        self._grid = grid
        self._nodata = nodata
        self._clouds = clouds
        self._total = grid.width_px * grid.height_px
        self._block = max(1, math.ceil(math.sqrt(self._total / MASK_PX)))
        self._step = max(1, math.ceil(math.sqrt(self._total / SAMPLE_PX)))
        self._names = names
        self._sums = [_BandSums(0, math.inf, -math.inf, []) for _ in names]
        self._mask = np.zeros((-(-grid.height_px // self._block), -(-grid.width_px // self._block)), bool)
        self._valid_px = self._clouded_px = self._replaced = 0

    def add(self, top: int, pixels: npt.NDArray[Any], replaced: int = 0) -> None:
        """Look at rows ``top`` and on: pixels (bands, rows, width), of which ``replaced`` were not finite."""
        self._replaced += replaced
        valid = None if self._nodata is None else ~is_nodata(pixels, self._nodata)
        anywhere = np.ones(pixels.shape[1:], bool)
        if valid is not None:
            np.any(valid, axis=0, out=anywhere)
        self._valid_px += int(np.count_nonzero(anywhere))
        if self._clouds is not None:
            self._clouded_px += int(np.count_nonzero(anywhere & self._clouds.rows(top, pixels.shape[1])))
        into_blocks(self._mask, anywhere, top, self._block)
        for index, band in enumerate(self._sums):
            _add(
                band, pixels[index], None if valid is None else valid[index], (-top) % self._step, self._step
            )

    def finish(self) -> SceneFigures:
        """The figures of all rows."""
        bands = tuple(
            BandFigures(name, band.valid_px, band.minimum, band.maximum, np.concatenate(band.samples))
            for name, band in zip(self._names, self._sums, strict=True)
        )
        mask = None if self._valid_px == self._total else self._mask
        clouded = None if self._clouds is None else self._clouded_px
        return SceneFigures(bands, self._total, self._valid_px, clouded, self._replaced, mask, self._block)


def scene_figures(
    view: SceneView,
    names: tuple[str, ...],
    *,
    clouds: Clouds | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SceneFigures:
    """Read a scene once.

    Args:
        view: the scene.
        names: names of its bands.
        clouds: cloud and shadow over it, where known.
        progress: called with rows done and rows in all.

    """
    grid = view.grid
    sums = FigureSums(grid, names, view.nodata.value, clouds)
    rows = view.strip_rows()
    for top in range(0, grid.height_px, rows):
        height = min(rows, grid.height_px - top)
        sums.add(top, *view.read_rows(top, height))
        if progress is not None:
            progress(top + height, grid.height_px)
    return sums.finish()


def into_blocks(blocks: npt.NDArray[np.bool_], mask: npt.NDArray[np.bool_], top: int, block: int) -> None:
    """Mark the blocks of ``block`` x ``block`` pixels in which rows ``top`` and on of a mask are true."""
    if block == 1:
        blocks[top : top + len(mask)] |= mask
        return
    by_column = np.logical_or.reduceat(mask, np.arange(0, mask.shape[1], block), axis=1)
    starts = np.unique(np.maximum(np.arange(top // block, -(-(top + len(mask)) // block)) * block - top, 0))
    by_row = np.logical_or.reduceat(by_column, starts, axis=0)
    blocks[top // block : top // block + len(by_row)] |= by_row


def _add(
    band: _BandSums,
    pixels: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_] | None,
    first: int,
    step: int,
) -> None:
    sampled = pixels[first::step, ::step].ravel()
    if valid is None:
        band.valid_px += pixels.size
        values = pixels
    else:
        sampled = sampled[valid[first::step, ::step].ravel()]
        count = int(np.count_nonzero(valid))
        band.valid_px += count
        values = pixels if count == pixels.size else pixels[valid]
    band.samples.append(sampled.astype(np.float64))
    if values.size:
        band.minimum = min(band.minimum, float(values.min()))
        band.maximum = max(band.maximum, float(values.max()))


def in_blocks(mask: npt.NDArray[np.bool_], block: int) -> npt.NDArray[np.bool_]:
    """Reduce a mask: a block of ``block`` x ``block`` cells is true when one of them is."""
    if block == 1:
        return mask
    height, width = mask.shape
    padded = np.zeros((-(-height // block) * block, -(-width // block) * block), bool)
    padded[:height, :width] = mask
    shape = (padded.shape[0] // block, block, padded.shape[1] // block, block)
    blocks = np.empty((shape[0], shape[2]), bool)
    return np.any(padded.reshape(shape), axis=(1, 3), out=blocks)


def check_observed(figures: SceneFigures, name: str) -> None:
    """Refuse scenes in which nothing was observed.

    Raises:
        UsageError: no pixel holds data, or a band holds none, or a band has one value everywhere.

    """
    if figures.valid_px == 0:
        raise UsageError(f"{name}: nothing observed: every pixel is nodata")
    for band in figures.bands:
        if band.valid_px == 0:
            raise UsageError(f"{name}: band {band.name} holds no data, while other bands do")
        if band.minimum == band.maximum:
            raise UsageError(
                f"{name}: band {band.name} is constant: all of its {band.valid_px} valid pixels are "
                f"{band.minimum:g}; a real band never is"
            )
