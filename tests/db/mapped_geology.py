"""Faults and plutons drawn around a small grid, for tests of rasters of geology."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from psycopg import Connection

from db.raster import Grid

SRID = 32645
GRID = Grid(SRID, 500_000.0, 4_860_000.0, 30.0, 20.0, 60, 80)
"""1.8 km by 1.6 km, with oblong cells."""


def at(*xy: tuple[float, float]) -> list[tuple[float, float]]:
    """Points so many metres east and south of the grid's corner."""
    return [(GRID.origin_x + x, GRID.origin_y - y) for x, y in xy]


CROSSING = [
    shapely.LineString(at((-500, 200), (2500, 900))),
    shapely.LineString(at((300, -900), (700, 2500))),
]
FAR_FAULT = shapely.LineString(at((90_000, 0), (91_000, 30_000)))
RINGED = shapely.Polygon(
    at((600, 300), (1500, 350), (1400, 1300), (700, 1200)), [at((900, 600), (1200, 650), (1000, 900))]
)
BEYOND = shapely.box(*at((2600, 1500))[0], *at((3600, 200))[0])


def add(conn: Connection[Any], kind: str, shape: shapely.Geometry, srid: int = SRID) -> int:
    """A feature as it is drawn in the plane of a CRS."""
    row = conn.execute(
        f"insert into lode.{kind} (geom) values (st_multi(st_transform(st_geomfromwkb(%s, %s), 4326)))"
        f" returning {kind}_id".encode(),
        (shapely.to_wkb(shape), srid),
    ).fetchone()
    assert row is not None
    return int(row[0])


def centres(grid: Grid) -> Any:
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    return shapely.points(*np.meshgrid(x, y))


def draw(conn: Connection[Any]) -> Connection[Any]:
    """Two faults that cross, one far off; a pluton with a hole, one beyond the edge."""
    for shape in (*CROSSING, FAR_FAULT):
        add(conn, "fault", shape)
    for shape in (RINGED, BEYOND):
        add(conn, "pluton", shape)
    conn.commit()
    return conn
