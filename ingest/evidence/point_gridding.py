"""Values and errors on the grid of a study area from samples near it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from db.errors import UsageError
from db.raster import Grid
from ingest.evidence.blocks import Neighbourhood, fill_grid
from ingest.evidence.gridded import Gridded
from ingest.evidence.inverse_distance import inverse_distance
from ingest.evidence.placed import PlacedSamples
from ingest.evidence.validation import CrossValidation, left_out
from ingest.requests import Report

ERROR_KIND = {"kriging": "kriging_standard_error", "idw": "cross_validation_error"}

UNLIKE = 0.8
"""From this share of the sill on neighbouring samples are told to be hardly alike."""

WRONG_ERRORS = 1.5
"""Errors that are so many times too small or too large are warned of."""


def grid_samples(
    placed: PlacedSamples, grid: Grid, *, unit: str | None, report: Report = lambda _line: None
) -> Gridded:
    """Grid samples by kriging or inverse distance.

    Contents are kriged as natural logarithms, for they have long tails: a few high ones would rule their
    surroundings, and errors grow with contents. What comes back, exp(estimate), is the median of what may lie
    at the place, and not its mean, which is larger. The error stays in logarithms: exp(error) is a factor;
    two times out of three the content lies between the median over it and the median times it. Other values
    are kriged as they are, with errors in their own unit.

    Args:
        placed: the samples.
        grid: the grid of the study area.
        unit: unit of the values.
        report: hears how far it is when it takes long.

    Raises:
        UsageError: no variogram fits, or no cell lies within reach of a sample.

    """
    size = f"{grid.width_px} x {grid.height_px} cells"
    report(f"{placed.name}: gridding {len(placed.values):,} samples onto {size}")
    near = Neighbourhood(placed.xy_m, placed.neighbours, placed.reach_m)
    notes: list[str] = []
    variogram: dict[str, Any] | None = None
    if placed.method == "kriging":
        # GSTools takes a second to load, which no other ingest should wait for.
        from ingest.evidence.kriging import fit_variogram, kriging

        fitted = fit_variogram(placed.xy_m, placed.values, placed.name)
        variogram = fitted.as_json()
        notes += _kriged(variogram, fitted.unlikeness(placed.spacing_m), placed)
        estimate = kriging(fitted, placed.xy_m, placed.values)
        checked = left_out(near, placed.values, estimate)
    else:
        estimate, checked = inverse_distance(placed.xy_m, placed.values, placed.neighbours)
    values, error = fill_grid(grid, near, placed.spacing_m, estimate, report)
    if not np.isfinite(values).any():
        raise UsageError(
            f"{placed.name}: no cell lies within {placed.reach_m:g} m of a sample: give a larger --reach-m"
        )
    error_unit = "ln" if placed.is_log else unit
    return Gridded(
        np.exp(values) if placed.is_log else values,
        placed.method,
        None,
        None,
        None,
        (*placed.notes, *notes, *_checked(placed, checked, unit)),
        error,
        ERROR_KIND[placed.method],
        {
            "method": placed.method,
            "transform": "log" if placed.is_log else "none",
            "error_unit": error_unit,
            **placed.counts,
            "spacing_m": placed.spacing_m,
            "reach_m": placed.reach_m,
            "neighbours": placed.neighbours,
            "variogram": variogram,
            "cross_validation": checked.as_json(),
            "digest": placed.digest,
        },
    )


def _kriged(variogram: dict[str, Any], unlikeness: float, placed: PlacedSamples) -> list[str]:
    of_logs = " of the logarithms" if placed.is_log else ""
    notes = [
        f"kriged: {variogram['model']} variogram{of_logs}, nugget {variogram['nugget']:.3g} of a sill of "
        f"{variogram['sill']:.3g}, range {variogram['range_m']:,.0f} m"
    ]
    if unlikeness > UNLIKE:
        notes.append(
            f"warning: samples {placed.spacing_m:,.0f} m apart differ by {unlikeness:.0%} of all variance: "
            "neighbours hardly agree, and the layer shows little but their means"
        )
    return notes


def _checked(placed: PlacedSamples, checked: CrossValidation, unit: str | None) -> list[str]:
    size = (
        f"a factor of {math.exp(checked.rmse):.2f}" if placed.is_log else f"{checked.rmse:.3g} {unit or ''}"
    )
    notes = [
        f"each of {checked.samples} samples estimated from the others is missed by {size.strip()} (root mean "
        "square)"
    ]
    ratio = checked.standardised_rmse
    if ratio is not None and not 1 / WRONG_ERRORS <= ratio <= WRONG_ERRORS:
        notes.append(
            f"warning: that is {ratio:.2g} times what the stored errors say: take them as an order of "
            "places, not as sizes"
        )
    return notes
