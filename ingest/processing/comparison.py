"""A new scene beside a clear scene of the same ground: position, radiometry, and what clouds hide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import shapely
from psycopg import Connection
from scipy import ndimage

from db.errors import UsageError
from db.raster.grid import Grid
from db.scenes import Scene
from ingest.clouds import Clouds, mask_outline, transformed
from ingest.crs import WGS84_SRID
from ingest.preprocess.calibration import LinearCalibration
from ingest.preprocess.cloud_filling import feather_weights, fit_filling
from ingest.preprocess.dark_matching import match_dark_ground
from ingest.preprocess.histogram_matching import match_histograms
from ingest.preprocess.irmad import irmad
from ingest.preprocess.registration import register
from ingest.processing.cloudiness import BoolArray, four_bands, hidden_in_reduced, reduced_transform
from ingest.processing.source import FloatArray, PixelSource
from ingest.processing.stored import StoredSource
from ingest.products.product import Band

FEATHER_M = 60.0
"""Width of the seam between filled and observed ground, m; the seam counts as not observed."""

MOST_COMPARED = 4
"""Bands whose mean is compared to find positions."""

SMALLEST_SHIFT_PX = 0.1
"""Images that fit better than this are left where they are: moving them would blur more than it mends."""

Apply = Callable[[FloatArray], FloatArray]


class _Fit(Protocol):
    """What a method of normalisation finds."""

    def apply(self, strip: FloatArray) -> FloatArray:
        """Fit a strip (bands, height, width)."""

    def as_json(self) -> dict[str, Any]:
        """Parameters and figures."""


_NORMALISATIONS: dict[str, tuple[Callable[[FloatArray, FloatArray, BoolArray], _Fit], str]] = {
    "irmad": (irmad, "IR-MAD"),
    "dark": (match_dark_ground, "its darkest ground"),
    "histogram": (match_histograms, "histogram matching"),
}


@dataclass(frozen=True)
class Filled:
    """Cloud and shadow filled from a reference.

    Attributes:
        hidden: what is not observed, with the seam, in the CRS of the grid.
        hidden_outline: the same in EPSG:4326.
        filled: the part of it that has estimated pixels, EPSG:4326.
        apply: fills a strip that begins at a row.
        step: what was done, for the catalogue.

    """

    hidden: shapely.Geometry
    hidden_outline: shapely.Geometry
    filled: shapely.Geometry
    apply: Callable[[int, FloatArray], FloatArray]
    step: dict[str, Any]


class Comparison:
    """A new scene's grid laid over a reference scene of the database.

    Args:
        conn: connection of its own (see ``StoredSource``).
        scene: the reference.
        grid: grid of the new scene.
        bands: bands of the new scene; the reference must have them all.

    Raises:
        UsageError: bands or grids do not fit, or the scenes do not overlap.

    """

    def __init__(self, conn: Connection[Any], scene: Scene, grid: Grid, bands: Sequence[Band]) -> None:
        self._scene = scene
        self._grid = grid
        self._names = [band.name for band in bands]
        self._source = StoredSource(conn, scene, grid, self._names)
        self._reduced: dict[int, FloatArray] = {}

    @property
    def product(self) -> str:
        """Product name of the reference."""
        return self._scene.product

    @property
    def level(self) -> str:
        """What the reference's values are."""
        return self._scene.processing_level

    def reduced(self, factor: int) -> FloatArray:
        """The reference as a reduced image on the new scene's grid (bands, rows, columns)."""
        if factor not in self._reduced:
            self._reduced = {factor: self._source.reduced(factor)}
            if not np.isfinite(self._reduced[factor]).any():
                raise UsageError(f"the reference {self.product} does not overlap this scene in clear pixels")
        return self._reduced[factor]

    def reduced_bands(self, places: Sequence[int], factor: int) -> FloatArray:
        """Some bands of the reduced image."""
        return self.reduced(factor)[list(places)]

    def register(
        self, source: PixelSource, calibration: LinearCalibration, bands: Sequence[Band]
    ) -> tuple[tuple[float, float] | None, dict[str, Any]]:
        """Measure how far the new scene lies beside the reference.

        Returns:
            Rows and columns to take the pixels from (None when it is closer than SMALLEST_SHIFT_PX), and the
            step for the catalogue.

        Raises:
            UsageError: the two do not fit together.

        """
        places = list(four_bands(bands) or _spread(bands))
        chosen = calibration.of_bands(places)

        def moving(row: int, col: int, height: int, width: int) -> FloatArray:
            return _brightness(chosen.apply(source.read_bands(places, row, col, height, width)))

        def fixed(row: int, col: int, height: int, width: int) -> FloatArray:
            return _brightness(self._source.read_bands(places, row, col, height, width))

        found = register(moving, fixed, (self._grid.height_px, self._grid.width_px))
        shift = (found.d_row, found.d_col)
        is_moved = max(map(abs, shift)) >= SMALLEST_SHIFT_PX
        metres = shift[1] * self._grid.resolution_x, -shift[0] * self._grid.resolution_y
        said = "and was moved back" if is_moved else "and was left in place"
        step = {
            "step": "registered",
            "reference": self.product,
            **found.as_json(),
            "moved": is_moved,
            "text": f"registered to {self.product}: lay {shift[0]:+.2f} rows, {shift[1]:+.2f} columns off "
            f"({metres[0]:+.1f} m east, {metres[1]:+.1f} m north) {said}; {found.tie_points} tie points, "
            f"rmse {found.rmse_px:.2f} px",
        }
        return (shift if is_moved else None), step

    def normalise(
        self, reduced: FloatArray, hidden: BoolArray | None, factor: int, method: str
    ) -> tuple[Apply | None, list[dict[str, Any]]]:
        """Fit the new scene's radiometry to the reference.

        Args:
            reduced: reflectance of the new scene (bands, rows, columns).
            hidden: cloud and shadow in it; None when nobody looked.
            factor: how much it is reduced.
            method: "irmad", "dark", "histogram" or "none".

        Returns:
            What is to be applied to every strip (None for "none"), and the steps.

        Raises:
            UsageError: the two scenes have too little unchanged ground in common.

        """
        if method == "none":
            return None, []
        reference = self.reduced(factor)
        # Dead bands have no data anywhere; the methods leave them out themselves.
        valid = np.isfinite(reduced).any(axis=0) & np.isfinite(reference).any(axis=0)
        clear: BoolArray = np.asarray(valid if hidden is None else valid & ~hidden, dtype=np.bool_)
        fit, name = _NORMALISATIONS[method]
        fitted = fit(reduced, reference, clear)
        step = {
            "step": "normalised",
            "method": method,
            "reference": self.product,
            **fitted.as_json(),
            "text": f"radiometry fitted to {self.product} by {name}",
        }
        return fitted.apply, [step]

    def fill(self, reduced: FloatArray, clouds: Clouds, factor: int) -> Filled:
        """Fill cloud and shadow from the reference.

        Args:
            reduced: reflectance of the new scene, radiometry fitted (bands, rows, columns).
            clouds: cloud and shadow over it.
            factor: how much it is reduced.

        """
        grid = self._grid
        cell_m = grid.resolution_x * factor
        hidden = hidden_in_reduced(clouds, grid, factor)
        filling = fit_filling(reduced, self.reduced(factor), hidden)
        weights = feather_weights(hidden, cell_m, FEATHER_M)
        # In the raster: outlines of speckled masks have too many corners to be widened one by one.
        distance_m = ndimage.distance_transform_edt(~hidden) * cell_m
        wide = np.asarray(distance_m <= FEATHER_M + cell_m, dtype=np.bool_)
        seam = mask_outline(wide, reduced_transform(grid, factor))
        clear = self._scene.footprint
        if self._scene.clouded is not None:
            clear = shapely.difference(clear, self._scene.clouded)
        outline = transformed(seam, grid.srid, WGS84_SRID)

        def apply(row: int, strip: FloatArray) -> FloatArray:
            fine = _fine_weights(weights, factor, row, strip.shape[1], strip.shape[2])
            if not fine.any():
                return strip
            reference = self._source.read(row, strip.shape[1])
            filled: FloatArray = filling.apply(strip, reference, fine)
            return filled

        step = {
            "step": "filled",
            "reference": self.product,
            "feather_m": FEATHER_M,
            **filling.as_json(),
            "text": f"cloud and shadow filled from {self.product}; filled pixels are flagged and count as "
            "not observed",
        }
        return Filled(seam, outline, shapely.intersection(outline, clear), apply, step)


def _spread(bands: Sequence[Band]) -> list[int]:
    """Up to MOST_COMPARED bands without a fault, spread over all; every band where all have one."""
    usable = [place for place, band in enumerate(bands) if band.fault is None] or list(range(len(bands)))
    step = max(1, len(usable) // MOST_COMPARED)
    return usable[::step][:MOST_COMPARED]


def _brightness(bands: FloatArray) -> FloatArray:
    """Mean over the bands that have data, NaN where none has."""
    seen = np.isfinite(bands)
    count = seen.sum(axis=0)
    total = np.where(seen, bands, np.float32(0)).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)


def _fine_weights(weights: FloatArray, factor: int, row: int, height: int, width: int) -> FloatArray:
    """Weights of rows at full resolution, bilinear between the centres of the reduced cells."""
    if factor == 1:
        return weights[row : row + height, :width]
    rows = (np.arange(row, row + height) + 0.5) / factor - 0.5
    columns = (np.arange(width) + 0.5) / factor - 0.5
    places = np.meshgrid(rows, columns, indexing="ij")
    fine: FloatArray = ndimage.map_coordinates(weights, places, order=1, mode="nearest", prefilter=False)
    return fine
