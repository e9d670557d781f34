"""What a scene is made from: pixels on a grid, what they mean, and what is known about the acquisition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from db.scenes import Acquisition
from ingest.preprocess.calibration import LinearCalibration
from ingest.processing.source import PixelSource
from ingest.products.product import Band, Level, Mask


@dataclass(frozen=True)
class AsDelivered:
    """The pixels as their files hold them, for scenes in which nothing is to be changed.

    Attributes:
        read: called with the first row and a number of rows; stored values (bands, height, width).
        dtype: their type.
        nodata: value of pixels without data, or None.
        value_offset, value_scale: value = (stored + value_offset) * value_scale, in all bands.
        block_rows: rows that are best read together.

    """

    read: Callable[[int, int], npt.NDArray[Any]]
    dtype: np.dtype[Any]
    nodata: float | None
    value_offset: float
    value_scale: float
    block_rows: int


@dataclass(frozen=True)
class Panchromatic:
    """A panchromatic image to sharpen with, on the grid of the scene, and its calibration."""

    source: PixelSource
    calibration: LinearCalibration
    ratio: float
    """How many of its pixels make one of the multispectral image's, along an edge."""


@dataclass(frozen=True)
class Material:
    """Pixels and facts that processing begins with.

    Attributes:
        name: the product, for messages.
        bands: the bands of the source, in order.
        source: values as delivered, on the scene's grid.
        moved: makes the source and the panchromatic image anew so that what they show at (row + d_row,
            col + d_col) stands at (row, col); images in sensor geometry are not resampled twice for it.
        calibration: from the source's values to those of ``level``.
        level: what calibrated values are.
        masks: the product's own masks.
        acquisition: moment and directions.
        as_delivered: where pixels may be stored untouched; None where they are computed in any case.
        panchromatic: image to sharpen with, when that is wanted.
        ground_m: middle height of the ground above the ellipsoid, m; None where it is not known.
        steps: what was done until here, for the catalogue.
        block_rows: rows that are best computed together.

    """

    name: str
    bands: Sequence[Band]
    source: PixelSource
    moved: Callable[[float, float], tuple[PixelSource, PixelSource | None]]
    calibration: LinearCalibration
    level: Level
    masks: Sequence[Mask]
    acquisition: Acquisition
    as_delivered: AsDelivered | None
    panchromatic: Panchromatic | None
    steps: Sequence[Mapping[str, Any]]
    block_rows: int
    ground_m: float | None = None

    def shifted(self, d_row: float, d_col: float) -> Material:
        """The same material moved by a shift in pixels; it is computed from then on."""
        source, pan = self.moved(d_row, d_col)
        panchromatic = self.panchromatic
        if panchromatic is not None and pan is not None:
            panchromatic = replace(panchromatic, source=pan)
        return replace(self, source=source, panchromatic=panchromatic, as_delivered=None)
