"""Rasters of mapped geology on any grid in metres, computed once and kept until the geology changes."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from db.connection import Report
from db.errors import UsageError
from db.geology_near import NearFeatures, features_near
from db.geology_rasters import hold_content, read_values, remove_outdated, store_raster, stored_raster
from db.raster import Grid
from inference.geology.distances import (
    count_within,
    distance_to_edges,
    edges_of,
    intersections,
    is_inside,
    length_within,
)

BANDS = (
    "fault_distance_m",
    "pluton_distance_m",
    "fault_proximity",
    "pluton_proximity",
    "fault_density",
    "fault_intersections",
)
"""What the bands hold: distances in m, proximities 0..1, km of fault per km2, intersections per km2."""

MOST_CELLS = 100_000_000
"""Cells of a grid that is still computed: all is held in memory, some 40 bytes a cell."""

RULES = 1
"""Counts up whenever other values follow from the same geology."""


@dataclass(frozen=True)
class GeologySettings:
    """What proximity and density mean; stored with what uses it.

    Attributes:
        proximity_m: where the proximity is a half, m: it is 1 / (1 + distance / proximity_m), 0..1.
        density_radius_m: density and intersections are those of the circle of this radius, m.

    """

    proximity_m: float = 1000.0
    density_radius_m: float = 2000.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} of the geology must be a length in metres above 0, got {value}")


DEFAULTS = GeologySettings()


@dataclass(frozen=True)
class GeologyRasters:
    """Geology on a grid.

    Attributes:
        grid: the grid.
        band_names: `BANDS`.
        values: (bands, height, width) float32, all finite.
        content_digest: SHA-256 of grid, settings, and the faults and plutons that matter to the grid.
        tile_table: where the same values are stored, in schema ``lode_raster``.

    """

    grid: Grid
    band_names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    content_digest: str
    tile_table: str


def geology_rasters(
    conn: Connection[Any],
    grid: Grid,
    settings: GeologySettings = DEFAULTS,
    *,
    report: Report | None = None,
) -> GeologyRasters:
    """Distances to faults and plutons, and what follows from them, at the centres of a grid's cells.

    Distances are those in the plane of the grid, to the mapped lines and outlines themselves; a cell inside a
    pluton has the distance 0. What lies beyond the grid's edge counts too. Read from the database where the
    rasters of the same grid, settings and geology are kept, else computed and stored; those of the same grid
    and settings that the geology no longer agrees with are removed.

    Args:
        conn: connection inside a transaction, which the caller commits soon: who reads or computes other
            rasters of geology may wait for it.
        grid: a grid in metres.
        settings: scale of the proximities, radius of the densities.
        report: takes a line where there is something to say.

    Raises:
        UsageError: no faults or no plutons are mapped; the grid is too large or not in metres; a feature
            cannot be transformed to its CRS or has no length there.
        RetryError: other processes kept what is needed for long.

    """
    said: Report = report if report is not None else _silent
    if grid.width_px * grid.height_px > MOST_CELLS:
        raise UsageError(
            f"a grid of {grid.width_px} x {grid.height_px} cells is too large for rasters of geology: "
            f"at most {MOST_CELLS:,} cells; use a coarser grid, or a part of it"
        )
    faults = features_near(conn, "faults", grid, within_m=settings.density_radius_m)
    plutons = features_near(conn, "plutons", grid)
    digest = _content_digest(grid, settings, faults, plutons)
    stored = stored_raster(conn, digest)
    if stored is None:
        hold_content(conn, digest, said)
        stored = stored_raster(conn, digest)
    if stored is not None:
        return GeologyRasters(
            grid, stored.band_names, read_values(conn, stored, grid), digest, stored.tile_table
        )
    values = compute(grid, settings, faults, plutons)
    parameters = {name: float(value) for name, value in asdict(settings).items()}
    stored = store_raster(conn, grid, BANDS, values, parameters=parameters, content_digest=digest)
    remove_outdated(conn, grid, parameters=parameters, content_digest=digest, report=said)
    return GeologyRasters(grid, BANDS, values, digest, stored.tile_table)


def compute(
    grid: Grid, settings: GeologySettings, faults: NearFeatures, plutons: NearFeatures
) -> npt.NDArray[np.float32]:
    """`BANDS` of a grid, (bands, height, width), from features in its CRS that `features_near` chose."""
    values = np.empty((len(BANDS), grid.height_px, grid.width_px), np.float32)
    radius_m = settings.density_radius_m
    circle_km2 = math.pi * (radius_m / 1000) ** 2
    edges = edges_of(faults.shapes)
    values[0] = distance_to_edges(grid, edges)
    values[1] = pluton_distance(grid, plutons)
    values[2:4] = 1 / (1 + values[:2] / np.float32(settings.proximity_m))
    values[4] = length_within(grid, edges, radius_m) / (1000 * circle_km2)
    values[5] = count_within(grid, intersections(faults.shapes), radius_m) / circle_km2
    return values


def pluton_distance(grid: Grid, plutons: NearFeatures) -> npt.NDArray[np.float64]:
    """Distance of each cell's centre to the nearest pluton, 0 inside, (height, width), m."""
    distance = distance_to_edges(grid, edges_of(plutons.shapes))
    distance[is_inside(grid, plutons.shapes)] = 0
    return distance


def _content_digest(
    grid: Grid, settings: GeologySettings, faults: NearFeatures, plutons: NearFeatures
) -> str:
    place = (grid.origin_x, grid.origin_y, grid.resolution_x, grid.resolution_y)
    content = {
        "rules": RULES,
        "bands": BANDS,
        "grid": [int(grid.srid), *map(float, place), int(grid.width_px), int(grid.height_px)],
        "settings": {name: float(value) for name, value in asdict(settings).items()},
        "faults": faults.digests,
        "plutons": plutons.digests,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _silent(_line: str) -> None:
    """Say nothing."""
