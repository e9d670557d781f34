"""The order of the steps: parameters are found on a reduced image, then applied to the scene row by row.

A scene is read in full only once, when it is stored; what is held in memory is the reduced image and a few
strips of rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely

from db.errors import UsageError
from db.raster.grid import Grid
from ingest.clouds import Clouds
from ingest.processing.cloudiness import (
    clouds_from_masks,
    clouds_in_pixels,
    four_bands,
    hidden_in_reduced,
)
from ingest.processing.comparison import Comparison, Filled
from ingest.processing.correction import Correction, find_correction
from ingest.processing.material import Material
from ingest.processing.sharpening import SharpeningStep, find_sharpening
from ingest.processing.source import FloatArray
from ingest.processing.treatment import Treatment
from ingest.processing.view import NODATA, ComputedView, encoding_of
from ingest.products.product import Band, Level

STRIP_BYTES = 64 << 20
"""Rows that are computed together take about so many bytes (float32, all bands)."""

REDUCED_PX = 6_000_000
REDUCED_BYTES = 512 << 20
"""The reduced image has at most about so many pixels and bytes (float32, all bands)."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A scene ready to be stored.

    Attributes:
        view: its pixels.
        bands: its bands.
        level: what its values are.
        value_offset, value_scale: value = (stored + value_offset) * value_scale.
        clouds: cloud and shadow; None when nobody looked.
        filled: the part of them that is filled from a clear date, in the CRS of the grid; None without.
        steps: every step with its parameters and figures.

    """

    view: ComputedView
    bands: tuple[Band, ...]
    level: Level
    value_offset: float
    value_scale: float
    clouds: Clouds | None
    filled: shapely.Geometry | None
    steps: tuple[dict[str, Any], ...]


def reduction(grid: Grid, band_count: int) -> int:
    """Factor by which a scene is reduced to find the parameters of its processing."""
    pixels = grid.width_px * grid.height_px
    return max(
        1,
        math.ceil(math.sqrt(pixels / REDUCED_PX)),
        math.ceil(math.sqrt(pixels * band_count * 4 / REDUCED_BYTES)),
    )


def prepare(
    material: Material,
    treatment: Treatment,
    *,
    clouds: Clouds | None = None,
    comparison: Comparison | None = None,
    say: Say = lambda _line: None,
) -> Prepared:
    """Find the parameters of every step that is to run.

    Args:
        material: what the scene is made from.
        treatment: what is asked.
        clouds: cloud and shadow where the user brought them.
        comparison: the clear reference scene on the scene's grid, where one is named.
        say: told what is being done.

    Raises:
        UsageError: a step cannot give a result that may be trusted.

    """
    steps: list[dict[str, Any]] = [dict(step) for step in material.steps]
    _check_wishes(material, treatment, comparison)
    source = material.source
    factor = reduction(source.grid, source.band_count)
    wants_pixels = not treatment.is_plain or material.as_delivered is None or treatment.clouds == "find"
    is_reflectance = material.level.endswith("reflectance")
    looks = clouds is None and treatment.clouds != "none"
    by_mask = looks and treatment.clouds != "find" and bool(material.masks)
    four = four_bands(material.bands)
    by_pixels = (
        looks and not by_mask and treatment.clouds != "product" and is_reflectance and four is not None
    )
    if treatment.clouds == "find" and not by_pixels and looks:
        raise UsageError(
            f"{material.name}: clouds are found in reflectance of blue, green, red and near infrared, "
            "which this "
            "scene does not have; leave --find-clouds out"
        )
    reduced: FloatArray | None = None
    moved: tuple[float, float] | None = None
    if wants_pixels or by_pixels:
        say("reading a reduced image")
        reduced = material.calibration.apply(source.reduced(factor))
    if comparison is not None and treatment.register:
        say("comparing positions with the reference")
        shift, step = comparison.register(source, material.calibration, material.bands)
        steps.append(step)
        if shift is not None:
            moved = shift
            material = material.shifted(*shift)
            source = material.source
            reduced = material.calibration.apply(source.reduced(factor))
    if by_mask:
        found = clouds_from_masks(material.masks, source.grid)
        clouds, steps = found.clouds, [*steps, found.step]
        if moved is not None:
            # The mask lies where the product's pixels lay.
            grid = source.grid
            clouds = clouds.moved(-moved[1] * grid.resolution_x, moved[0] * grid.resolution_y)
    elif by_pixels and reduced is not None and four is not None:
        say("looking for clouds")
        found = clouds_in_pixels(
            reduced[list(four)],
            factor,
            source.grid,
            sun_azimuth_deg=material.acquisition.sun_azimuth_deg,
            sun_elevation_deg=material.acquisition.sun_elevation_deg,
            reference=None if comparison is None else comparison.reduced_bands(four, factor),
        )
        clouds, steps = found.clouds, [*steps, found.step]
    plain = material.as_delivered
    if treatment.is_plain and plain is not None:
        view = ComputedView(
            material.name,
            source.grid,
            plain.dtype,
            plain.nodata,
            source.band_count,
            plain.read,
            plain.block_rows,
        )
        return Prepared(
            view,
            tuple(material.bands),
            material.level,
            plain.value_offset,
            plain.value_scale,
            clouds,
            None,
            tuple(steps),
        )
    if reduced is None:
        raise ValueError("parameters are found on a reduced image, and there is none")
    hidden = None if clouds is None else hidden_in_reduced(clouds, source.grid, factor)
    return _computed(material, treatment, reduced, hidden, factor, clouds, comparison, steps, say)


def _check_wishes(material: Material, treatment: Treatment, comparison: Comparison | None) -> None:
    """Refuse what cannot be done to this material before anything is read.

    Raises:
        UsageError: which wish, and what to do.

    """
    if treatment.clouds == "product" and not material.masks:
        raise UsageError(f"{material.name}: has no cloud mask of its own; leave --find-clouds product out")
    compares = treatment.normalise != "none" or treatment.fill_clouds
    if comparison is None or not compares:
        return
    level = material.level if treatment.atmosphere == "none" else "surface_reflectance"
    if level != comparison.level:
        raise UsageError(
            f"{material.name}: would be {level}, and the reference {comparison.product} holds "
            f"{comparison.level}: bring both in with the same --atmosphere and --level, or say "
            "--normalise none"
        )


def _rows_in_memory(material: Material) -> int:
    """Rows to compute together: as the files are best read, within the memory."""
    grid = material.source.grid
    fit = STRIP_BYTES // (grid.width_px * material.source.band_count * 4)
    return max(1, min(material.block_rows, max(fit, 16)))


def _computed(
    material: Material,
    treatment: Treatment,
    reduced: FloatArray,
    hidden: Any,
    factor: int,
    clouds: Clouds | None,
    comparison: Comparison | None,
    steps: list[dict[str, Any]],
    say: Say,
) -> Prepared:
    sharpening = find_sharpening(material, treatment, reduced, factor, say)
    if sharpening is not None:
        steps.append(sharpening.step)
    correction = find_correction(material, treatment, reduced, hidden, say)
    reduced = correction.apply(reduced)
    steps += correction.steps
    chain: list[Callable[[int, FloatArray], FloatArray]] = []
    filled: Filled | None = None
    if comparison is not None:
        fitted, more = comparison.normalise(reduced, hidden, factor, treatment.normalise)
        steps += more
        if fitted is not None:
            reduced = fitted(reduced)
            chain.append(lambda _row, strip: fitted(strip))
        if treatment.fill_clouds and clouds is not None and not clouds.on_grid.is_empty:
            say("filling clouds from the reference")
            filled = comparison.fill(reduced, clouds, factor)
            steps.append(filled.step)
            chain.append(filled.apply)
            clouds = replace(clouds, outline=filled.hidden_outline, on_grid=filled.hidden)
    encoding = encoding_of(correction.level)
    view = ComputedView(
        material.name,
        material.source.grid,
        np.dtype("uint16"),
        float(NODATA),
        material.source.band_count,
        _rows(material, sharpening, correction, chain),
        _rows_in_memory(material),
    )
    return Prepared(
        view,
        tuple(material.bands),
        correction.level,
        encoding.offset,
        encoding.scale,
        clouds,
        None if filled is None else filled.filled,
        tuple(steps),
    )


def _rows(
    material: Material,
    sharpening: SharpeningStep | None,
    correction: Correction,
    chain: Sequence[Callable[[int, FloatArray], FloatArray]],
) -> Callable[[int, int], Any]:
    """What computes stored rows, from the files to the last step."""
    encoding = encoding_of(correction.level)

    def rows(row: int, height: int) -> Any:
        strip = material.calibration.apply(material.source.read(row, height))
        if sharpening is not None:
            strip = sharpening.apply(row, strip)
        strip = correction.apply(strip)
        for step in chain:
            strip = step(row, strip)
        return encoding.stored(strip)

    return rows
