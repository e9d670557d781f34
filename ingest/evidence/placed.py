"""Samples as they count for a study area: which of them, in what scale, and how far they reach."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from pyproj import Transformer
from scipy.spatial import cKDTree

from db.errors import UsageError
from db.raster import Grid
from ingest.crs import WGS84_SRID
from ingest.evidence.blocks import Floats
from ingest.evidence.contents import Contents
from ingest.evidence.point_files import SampleTable
from ingest.gridding import affine_of, outline_xy

METHODS = ("kriging", "idw")
NEIGHBOURS = {"kriging": 32, "idw": 12}
LEAST_SAMPLES = 8
LEAST_KRIGED = 30
"""Fewer samples give no variogram worth the name."""

REACH = 2.0
"""Cells within so many spacings of a sample have a value."""

_SAME_M = 0.01
_AROUND = 0.1
"""Samples so far around the area, in shares of its diagonal, tell how close they lie."""
_FOURTH = 4
_VERSION = 1


@dataclass(frozen=True)
class GriddingSettings:
    """How samples are to be gridded.

    Attributes:
        method: one of ``METHODS``; None: kriging, or idw where samples are fewer than ``LEAST_KRIGED``.
        neighbours: so many of the nearest samples count for a cell; None: as ``NEIGHBOURS``.
        reach_m: cells farther from every sample have no value; None: ``REACH`` spacings.

    """

    method: str | None = None
    neighbours: int | None = None
    reach_m: float | None = None


@dataclass(frozen=True)
class PlacedSamples:
    """Samples that count for a grid.

    Attributes:
        name: file and column, for messages.
        xy_m: (samples, 2) their places, m, all different.
        values: (samples,) what is gridded: natural logarithms where ``is_log``.
        is_log: see ``Contents``.
        method, neighbours, reach_m: how they are gridded.
        spacing_m: how close they lie: median distance to the fourth nearest, which on a square net is the
            next.
        counts: samples in the file and what became of them, for the catalogue.
        digest: SHA-256 of everything that decides the layer's values.
        notes: what the user should know.

    """

    name: str
    xy_m: Floats
    values: Floats
    is_log: bool
    method: str
    neighbours: int
    reach_m: float
    spacing_m: float
    counts: dict[str, int]
    digest: str
    notes: tuple[str, ...]


def place_samples(
    samples: SampleTable, column: str, contents: Contents, grid: Grid, settings: GriddingSettings
) -> PlacedSamples:
    """Choose the samples that count for a grid, and how they are gridded.

    Samples at one place (to a centimetre) are averaged, contents as logarithms. Those beyond the grid's edge
    count as far as they reach.

    Raises:
        UsageError: none or too few lie near the grid, or all have one value.

    """
    name = f"{samples.table.name}, column {column!r}"
    usable = np.isfinite(contents.values) & np.isfinite(samples.xy_m).all(axis=1)
    written = contents.values[usable]
    if not usable.any():
        raise UsageError(f"{name}: {_extents(samples, grid)}")
    if written.min() == written.max():
        raise UsageError(
            f"{name}: all {written.size} samples have the value {written[0]:g}: a constant layer is evidence "
            "of nothing; is it the right column?"
        )
    xy_m, values = _merged(samples.xy_m[usable], np.log(written) if contents.is_log else written)
    beyond_m = _beyond_m(xy_m, grid)
    spacing_m = _spacing_m(xy_m, beyond_m, grid)
    reach_m = settings.reach_m or max(
        REACH * spacing_m, float(np.hypot(grid.resolution_x, grid.resolution_y))
    )
    near = beyond_m <= reach_m
    if not near.any():
        raise UsageError(f"{name}: {_extents(samples, grid)}")
    count = int(np.count_nonzero(near))
    if count < LEAST_SAMPLES:
        raise UsageError(
            f"{name}: only {count} places with samples lie on the study area or within {reach_m:,.0f} m of "
            f"it, and a layer needs {LEAST_SAMPLES} at least: bring more samples, or a larger --reach-m"
        )
    xy_m, values = xy_m[near], values[near]
    if values.min() == values.max():
        raise UsageError(
            f"{name}: all {count} samples near the study area have one value: a constant layer is evidence "
            "of nothing"
        )
    method = settings.method or ("kriging" if count >= LEAST_KRIGED else "idw")
    if method == "kriging" and count < LEAST_KRIGED:
        raise UsageError(
            f"{name}: {count} places with samples near the study area are too few to krige, which takes "
            f"{LEAST_KRIGED}: --gridding idw weighs them by distance instead"
        )
    neighbours = settings.neighbours or NEIGHBOURS[method]
    counts = {
        "samples": count,
        "samples_in_file": len(samples.table.ids),
        "without_value": int(np.count_nonzero(~np.isfinite(contents.values))),
        "below_limit": contents.below_limit,
        "averaged": int(np.count_nonzero(usable)) - len(near),
        "out_of_reach": int(np.count_nonzero(~near)),
        "beyond_area": int(np.count_nonzero(beyond_m[near] > 0)),
    }
    digest = hashlib.sha256()
    facts = [_VERSION, method, neighbours, reach_m, contents.is_log, *vars(grid).values()]
    digest.update(json.dumps(facts).encode())
    digest.update(np.ascontiguousarray(xy_m).tobytes() + np.ascontiguousarray(values).tobytes())
    notes = _notes(counts, xy_m, spacing_m, reach_m)
    if settings.method is None and method == "idw":
        notes.append(f"{count} samples are too few to krige ({LEAST_KRIGED}): they are weighed by distance")
    return PlacedSamples(
        name,
        xy_m,
        values,
        contents.is_log,
        method,
        neighbours,
        reach_m,
        spacing_m,
        counts,
        digest.hexdigest(),
        (*samples.notes, *contents.notes, *notes),
    )


def _merged(xy_m: Floats, values: Floats) -> tuple[Floats, Floats]:
    """One sample a place, with the mean of those there."""
    _places, group, count = np.unique(
        np.round(xy_m / _SAME_M), axis=0, return_inverse=True, return_counts=True
    )
    group = group.ravel()
    x, y, mean = (np.bincount(group, each) / count for each in (xy_m[:, 0], xy_m[:, 1], values))
    return np.column_stack([x, y]), mean


def _beyond_m(xy_m: Floats, grid: Grid) -> Floats:
    """How far places (samples, 2) lie outside of a grid, m; 0 within."""
    east, south = grid.x_of_col(grid.width_px), grid.y_of_row(grid.height_px)
    across = np.maximum(np.maximum(grid.origin_x - xy_m[:, 0], xy_m[:, 0] - east), 0)
    along = np.maximum(np.maximum(south - xy_m[:, 1], xy_m[:, 1] - grid.origin_y), 0)
    distance: Floats = np.hypot(across, along)
    return distance


def _spacing_m(xy_m: Floats, beyond_m: Floats, grid: Grid) -> float:
    diagonal_m = np.hypot(grid.width_px * grid.resolution_x, grid.height_px * grid.resolution_y)
    about = xy_m[beyond_m <= _AROUND * diagonal_m]
    chosen = about if len(about) >= LEAST_SAMPLES else xy_m
    rank = min(_FOURTH, len(chosen) - 1)
    if rank == 0:
        return 0.0
    return float(np.median(cKDTree(chosen).query(chosen, rank + 1)[0][:, rank]))


def _extents(samples: SampleTable, grid: Grid) -> str:
    x, y = outline_xy(affine_of(grid), (grid.height_px, grid.width_px))
    lon, lat = Transformer.from_crs(grid.srid, WGS84_SRID, always_xy=True).transform(x, y)
    (west, south), (east, north) = samples.lonlat.min(axis=0), samples.lonlat.max(axis=0)
    return (
        f"no sample with a value lies near the study area: the samples cover longitude {west:.5g} to "
        f"{east:.5g}, latitude {south:.5g} to {north:.5g}, the area longitude {min(lon):.5g} to "
        f"{max(lon):.5g}, latitude {min(lat):.5g} to {max(lat):.5g}: are x and y swapped, or is --srid wrong?"
    )


def _notes(counts: dict[str, int], xy_m: Floats, spacing_m: float, reach_m: float) -> list[str]:
    notes = []
    if counts["averaged"]:
        notes.append(
            f"{counts['averaged']} samples share their place with others and were averaged with them"
        )
    if counts["out_of_reach"]:
        notes.append(f"{counts['out_of_reach']} places lie out of reach of the study area and do not count")
    if counts["beyond_area"]:
        notes.append(f"{counts['beyond_area']} places beyond the edge of the grid count, too")
    notes.append(
        f"samples lie about {spacing_m:,.0f} m from each other; cells farther than {reach_m:,.0f} m from all "
        "of them have no value (--reach-m)"
    )
    across = np.linalg.svd(xy_m - xy_m.mean(axis=0), compute_uv=False)
    if across[1] <= 1e-3 * across[0]:
        notes.append("warning: the samples lie on one line: beside it the layer knows nothing of its own")
    return notes
