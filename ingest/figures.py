"""One pass over a scene's pixels: what is valid, and between which values each band lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
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
    total = grid.width_px * grid.height_px
    block = max(1, math.ceil(math.sqrt(total / MASK_PX)))
    step = max(1, math.ceil(math.sqrt(total / SAMPLE_PX)))
    rows = view.strip_rows(block)
    sums = [_BandSums(0, math.inf, -math.inf, []) for _ in names]
    masks: list[npt.NDArray[np.bool_]] = []
    valid_px = clouded_px = replaced = 0
    for top in range(0, grid.height_px, rows):
        height = min(rows, grid.height_px - top)
        pixels, broken = view.read_rows(top, height)
        replaced += broken
        nodata = view.nodata.value
        valid = None if nodata is None else ~is_nodata(pixels, nodata)
        anywhere = np.ones(pixels.shape[1:], bool)
        if valid is not None:
            np.any(valid, axis=0, out=anywhere)
        valid_px += int(np.count_nonzero(anywhere))
        if clouds is not None:
            clouded_px += int(np.count_nonzero(anywhere & clouds.rows(top, height)))
        masks.append(in_blocks(anywhere, block))
        for index, band in enumerate(sums):
            _add(band, pixels[index], None if valid is None else valid[index], (-top) % step, step)
        if progress is not None:
            progress(top + height, grid.height_px)
    bands = tuple(
        BandFigures(name, band.valid_px, band.minimum, band.maximum, np.concatenate(band.samples))
        for name, band in zip(names, sums, strict=True)
    )
    mask = None if valid_px == total else np.concatenate(masks)
    clouded = None if clouds is None else clouded_px
    return SceneFigures(bands, total, valid_px, clouded, replaced, mask, block)


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
