"""Samples of a known field, as files and in memory."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.raster import Grid
from ingest.evidence.contents import read_contents
from ingest.evidence.gridded import Gridded
from ingest.evidence.placed import GriddingSettings, PlacedSamples, place_samples
from ingest.evidence.point_files import SampleReading, read_samples
from ingest.evidence.point_gridding import grid_samples
from ingest.files import source_file

GRID = Grid(32645, 500_000.0, 4_860_000.0, 100.0, 100.0, 60, 50)
"""6 by 5 km."""

Floats = NDArray[np.float64]


def field(xy_m: Floats) -> Floats:
    """Contents that vary within a kilometre: median 20, a factor of e up and down."""
    x, y = (xy_m[:, 0] - GRID.origin_x) / 1000, (GRID.origin_y - xy_m[:, 1]) / 1000
    return 20 * np.exp(np.sin(1.9 * x) * np.cos(1.6 * y))


def places(count: int, seed: int = 1, *, margin_m: float = 0.0) -> Floats:
    """(count, 2): places on the grid, and so far around it."""
    rng = np.random.default_rng(seed)
    low = (GRID.origin_x - margin_m, GRID.origin_y - 5000 - margin_m)
    high = (GRID.origin_x + 6000 + margin_m, GRID.origin_y + margin_m)
    return rng.uniform(low, high, (count, 2))


def centers() -> Floats:
    """(cells, 2): middles of the cells."""
    x = GRID.origin_x + (np.arange(GRID.width_px) + 0.5) * 100
    y = GRID.origin_y - (np.arange(GRID.height_px) + 0.5) * 100
    return np.column_stack([np.tile(x, len(y)), np.repeat(y, len(x))])


def truth() -> Floats:
    """(height, width): the field in the middles of the cells."""
    return field(centers()).reshape(GRID.height_px, GRID.width_px)


def write_csv(path: Path, xy: Floats, columns: Mapping[str, Sequence[Any]], *, names: Any = "xy") -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*names, *columns])
        writer.writerows(zip(*(xy[:, 0], xy[:, 1]), *columns.values(), strict=True))
    return path


def placed(
    path: Path,
    column: str = "Li",
    *,
    kind: str = "geochemistry",
    nodata: Sequence[float] = (),
    settings: GriddingSettings | None = None,
    **reading: Any,
) -> PlacedSamples:
    """Samples of a file as they count for the grid."""
    found = read_samples(SampleReading(source_file(path), **({"srid": 32645} | reading)), GRID)
    contents = read_contents(found.table, column, kind=kind, nodata=nodata)
    return place_samples(found, column, contents, GRID, settings or GriddingSettings())


def gridded(path: Path, column: str = "Li", **options: Any) -> Gridded:
    """The same gridded."""
    return grid_samples(placed(path, column, **options), GRID, unit="ppm")
