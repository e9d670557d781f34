"""Study areas into the database: a grid, and the ground on it that is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from psycopg import Connection

from db.errors import UsageError
from db.evidence import EvidenceArea, find_area, insert_area
from db.geodesic import areas_m2
from db.labels import ewkb_hex
from db.locks import allow_long_transaction, hold
from db.scenes import is_known_srid
from ingest.evidence.grids import AreaGrid, center_of, grid_like, grid_of_bounds
from ingest.evidence.judged import judged_cells, judged_ground
from ingest.evidence.naming import check_name
from ingest.files import SourceFile
from ingest.requests import Report

_SAME_DEGREES = 1e-9


@dataclass(frozen=True)
class AreaRequest:
    """A study area as it was asked for.

    Attributes:
        name: its name.
        like: raster file whose grid it has; None: ``bounds``.
        bounds: west, south, east, north in metres of ``srid``.
        srid: EPSG code of the grid around ``bounds``.
        resolution_m: edge of the cells, m; None: as ``like`` has them.
        inside: files that say which ground is judged; empty: the whole grid.
        layer: layer of a vector file among them that has several.
        roots: folders that parts of a shapefile must lie in; empty: any.

    """

    name: str
    like: SourceFile | None = None
    bounds: tuple[float, float, float, float] | None = None
    srid: int | None = None
    resolution_m: float | None = None
    inside: Sequence[SourceFile] = ()
    layer: str | None = None
    roots: Sequence[Path] = ()


@dataclass(frozen=True)
class AreaOutcome:
    """What became of it.

    Attributes:
        area: the study area.
        is_new: False when it was there already and nothing happened.
        judged_px: cells whose middle is judged.
        judged_m2: geodesic area of the ground that is judged, m2.
        notes: what the user should know.

    """

    area: EvidenceArea
    is_new: bool
    judged_px: int
    judged_m2: float
    notes: tuple[str, ...]


def lock_name(area: str) -> str:
    """What is locked while an area or its layers are stored."""
    return f"study area {area}"


def ingest_area(
    conn: Connection[Any], request: AreaRequest, *, report: Report = lambda _line: None
) -> AreaOutcome:
    """Make a study area, inside the caller's transaction; the same again changes nothing.

    Raises:
        UsageError: the grid or the ground cannot be right, or there is another area of that name.

    """
    check_name(request.name, "name of the study area")
    laid = _grid(request)
    grid = laid.grid
    if not is_known_srid(conn, grid.srid):
        raise UsageError(f"the database's PostGIS does not know EPSG:{grid.srid}: choose another CRS")
    ground = judged_ground(request.inside, grid, roots=request.roots, layer=request.layer)
    cells = judged_cells(ground.geometry, grid)
    if not cells.any():
        raise UsageError(
            "the ground to be judged is so small that it holds no cell's middle: choose finer cells"
        )
    allow_long_transaction(conn)
    hold(conn, lock_name(request.name), report)
    there = find_area(conn, request.name)
    if there is not None:
        _refuse_other(there, grid == there.grid, ground.geometry)
    area = there or insert_area(conn, request.name, grid, ground.geometry)
    return AreaOutcome(
        area,
        there is None,
        int(np.count_nonzero(cells)),
        _area_m2(area.geometry),
        (*laid.notes, *ground.notes),
    )


def _grid(request: AreaRequest) -> AreaGrid:
    if (request.like is None) == (request.bounds is None):
        raise UsageError(
            "say where the study area lies: --like FILE for the grid of a raster, or --bounds and --srid"
        )
    if request.like is not None:
        if request.srid is not None:
            raise UsageError(
                "--srid says in what --bounds are written; a file given by --like has its own CRS"
            )
        return grid_like(request.like, request.resolution_m)
    if request.srid is None or request.resolution_m is None:
        raise UsageError("--bounds needs --srid, the EPSG code of a CRS in metres, and --resolution-m")
    return grid_of_bounds(request.bounds or (0, 0, 0, 0), request.srid, request.resolution_m)


def _refuse_other(there: EvidenceArea, is_same_grid: bool, geometry: shapely.MultiPolygon) -> None:
    """Refuse another area under a name that is taken."""
    is_same_ground = shapely.equals_exact(
        there.geometry, geometry, tolerance=_SAME_DEGREES
    ) or shapely.equals(there.geometry, geometry)
    if is_same_grid and is_same_ground:
        return
    what = "grid" if not is_same_grid else "judged ground"
    x, y = center_of(there.grid)
    raise UsageError(
        f"there is a study area {there.name!r} with another {what} ({there.grid.width_px} x "
        f"{there.grid.height_px} cells of {there.grid.resolution_x:g} m around x {x:.0f}, y {y:.0f} of "
        f"EPSG:{there.grid.srid}): choose another name, or remove that one with its layers first"
    )


def _area_m2(geometry: shapely.MultiPolygon) -> float:
    ewkb = np.frombuffer(bytes.fromhex(ewkb_hex(geometry)), np.uint8)
    return float(areas_m2(ewkb, np.array([0, len(ewkb)]))[0])
