"""Distances of a whole scene's cells to faults and plutons: rasters of geology against a KNN query per cell.

Ours is all of ``geology_rasters`` with nothing kept: reading the geology, both distances, proximities,
density and intersections, and storing six bands with their overviews. The peer is what one writes in SQL for
the two distances alone: for each cell the nearest fault and the nearest pluton by ``<->`` from a GiST index
on geometries that were transformed to the grid's CRS before, and ``st_distance`` to them, into a temporary
table; making that index is not counted. As that takes minutes for a scene, the peer does so for every n-th
row and column of the scene (``--every``), and its seconds are multiplied up to the scene's cells; the
distances of those cells must be the same to 1 mm. With ``--subdivided`` its faults and plutons are cut into
pieces of at most 32 vertices first, which helps the index. The geology is drawn at random (simulated).

Usage: python -m benchmarks.geology [--side 1100] [--faults 300] [--plutons 150] [--every 10] [--subdivided]
"""

from __future__ import annotations

import time
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import shapely
from psycopg import Connection

from benchmarks.measure import LEAST_RUNS, benchmark_database, note, paired_runs, report
from db.connection import connect
from db.errors import UsageError
from db.raster import Grid
from inference.geology import BANDS, geology_rasters

SRID = 32645
CELL_M = 30.0
SAME_M = 1e-3
_BEYOND_M = 10_000.0
_PIECE_VERTICES = 32

_TABLES = """
create table peer_{table} as
  select {geometry} as geom from (select st_transform(geom, %(srid)s) as geom from lode.{table}) t;
create index on peer_{table} using gist (geom);
analyze peer_{table};
"""

_CELLS = """
create table peer_cell as
  select r.row_px, c.col_px, st_setsrid(st_makepoint(
    %(west)s::float8 + (c.col_px + 0.5) * %(cell)s::float8,
    %(north)s::float8 - (r.row_px + 0.5) * %(cell)s::float8
  ), %(srid)s) as geom
  from generate_series(%(first)s, %(side)s - 1, %(every)s) as r(row_px)
  cross join generate_series(%(first)s, %(side)s - 1, %(every)s) as c(col_px);
analyze peer_cell;
"""

_KNN = """
create temporary table peer_distance as
  select c.row_px, c.col_px, st_distance(f.geom, c.geom) as fault_m, st_distance(p.geom, c.geom) as pluton_m
  from peer_cell c
  cross join lateral (select t.geom from peer_fault t order by t.geom <-> c.geom limit 1) f
  cross join lateral (select t.geom from peer_pluton t order by t.geom <-> c.geom limit 1) p
"""


def draw_faults(bounds: tuple[float, float, float, float], count: int) -> list[shapely.Geometry]:
    """Random walks that keep their direction, of 40 to 250 vertices 50 m to 150 m apart."""
    random = np.random.default_rng(11)
    drawn = []
    for vertices in random.integers(40, 251, count).tolist():
        turns = np.cumsum(random.normal(0, 0.15, vertices)) + random.uniform(0, 2 * np.pi)
        steps = random.uniform(50, 150, (vertices, 1)) * np.column_stack([np.cos(turns), np.sin(turns)])
        drawn.append(shapely.LineString(random.uniform(bounds[:2], bounds[2:]) + np.cumsum(steps, axis=0)))
    return drawn


def draw_plutons(bounds: tuple[float, float, float, float], count: int) -> list[shapely.Geometry]:
    """Ragged discs of 200 to 1000 vertices and 400 m to 2500 m radius; each third has a hole."""
    random = np.random.default_rng(12)
    drawn = []
    for number, vertices in enumerate(random.integers(200, 1001, count).tolist()):
        angle = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
        waves = sum(
            random.uniform(-0.2, 0.2) / k * np.cos(k * angle + random.uniform(0, 6)) for k in range(1, 9)
        )
        radius = random.uniform(400, 2500) * (1 + waves + random.normal(0, 0.004, vertices))
        ring = np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]
        centre = random.uniform(bounds[:2], bounds[2:])
        holes = [centre + 0.3 * ring] if number % 3 == 0 else []
        drawn.append(shapely.Polygon(centre + ring, holes))
    return drawn


def fill(conn: Connection[Any], grid: Grid, faults: int, plutons: int) -> dict[str, int]:
    """Draw the geology of a scene and 10 km around it; returns how many vertices each kind has."""
    side_m = grid.width_px * CELL_M
    bounds = (
        *(grid.origin_x - _BEYOND_M, grid.origin_y - side_m - _BEYOND_M),
        *(grid.origin_x + side_m + _BEYOND_M, grid.origin_y + _BEYOND_M),
    )
    drawn = {"fault": draw_faults(bounds, faults), "pluton": draw_plutons(bounds, plutons)}
    for table, shapes in drawn.items():
        with conn.cursor() as cursor:
            cursor.executemany(
                f"insert into lode.{table} (geom)"
                " values (st_multi(st_transform(st_geomfromwkb(%s, %s), 4326)))".encode(),
                [(shapely.to_wkb(shape), SRID) for shape in shapes],
            )
    return {table: int(shapely.get_num_coordinates(shapes).sum()) for table, shapes in drawn.items()}


def prepare_peer(conn: Connection[Any], grid: Grid, every: int, *, is_subdivided: bool) -> int:
    """Make the peer's tables of cells and of transformed geology with their index; returns the cells."""
    geometry = f"st_subdivide(geom, {_PIECE_VERTICES})" if is_subdivided else "geom"
    for table in ("fault", "pluton"):
        for statement in _TABLES.format(table=table, geometry=geometry).split(";\n"):
            conn.execute(statement.encode(), {"srid": SRID} if "srid" in statement else None)
    numbers = {"west": grid.origin_x, "north": grid.origin_y, "cell": CELL_M, "srid": SRID}
    places = {"first": every // 2, "side": grid.width_px, "every": every}
    create, analyze = _CELLS.split(";\n")[:2]
    conn.execute(create.encode(), numbers | places)
    conn.execute(analyze.encode())
    row = conn.execute("select count(*) from peer_cell").fetchone()
    return int(row[0]) if row else 0


def run_ours(url: str, grid: Grid) -> tuple[float, npt.NDArray[np.float32]]:
    """Compute and store all rasters, and take them back; returns seconds and the two distances."""
    with connect(url) as conn:
        began = time.perf_counter()
        values = geology_rasters(conn, grid).values
        seconds = time.perf_counter() - began
        conn.rollback()
    return seconds, values[:2]


def run_peer(url: str) -> tuple[float, list[tuple[int, int, float, float]]]:
    """Look for the nearest of each cell in SQL; returns seconds, and row, column and both distances."""
    with connect(url) as conn:
        began = time.perf_counter()
        conn.execute(_KNN.encode())
        seconds = time.perf_counter() - began
        rows = conn.execute("select row_px, col_px, fault_m, pluton_m from peer_distance").fetchall()
        conn.rollback()
    return seconds, rows


def largest_difference_m(ours: npt.NDArray[np.float32], peer: list[tuple[int, int, float, float]]) -> float:
    """Largest difference of the distances of the peer's cells; UsageError at a millimetre or more."""
    table = np.array(peer)
    row, col = table[:, 0].astype(int), table[:, 1].astype(int)
    difference = float(np.abs(ours[:, row, col] - table[:, 2:].T).max())
    if not difference < SAME_M:
        raise UsageError(f"the distances of both sides differ by up to {difference:.6f} m")
    return difference


@click.command()
@click.option("--side", default=1100, show_default=True, help="Rows and columns of the scene, cells of 30 m.")
@click.option("--faults", default=300, show_default=True, help="Faults drawn.")
@click.option("--plutons", default=150, show_default=True, help="Plutons drawn.")
@click.option("--every", default=10, show_default=True, help="The peer does each n-th row and column.")
@click.option("--subdivided", is_flag=True, help="Cut the peer's geometries into small pieces first.")
@click.option("--runs", default=LEAST_RUNS, show_default=True, help="Pairs of runs.")
def main(side: int, faults: int, plutons: int, every: int, subdivided: bool, runs: int) -> None:
    """Measure rasters of geology and print the result as JSON on the last line."""
    grid = Grid(SRID, 500_000.0, 4_860_000.0, CELL_M, CELL_M, side, side)
    with benchmark_database() as url:
        with connect(url) as conn:
            vertices = fill(conn, grid, faults, plutons)
            cells = prepare_peer(conn, grid, every, is_subdivided=subdivided)
            conn.commit()
        note(f"{vertices['fault']} vertices of faults, {vertices['pluton']} of plutons; {cells} cells in SQL")
        times = side * side / cells
        ours_values: list[npt.NDArray[np.float32]] = []
        peer_rows: list[list[tuple[int, int, float, float]]] = []

        def ours() -> float:
            seconds, values = run_ours(url, grid)
            ours_values.append(values)
            return seconds

        def peer() -> float:
            seconds, rows = run_peer(url)
            peer_rows.append(rows)
            return seconds * times

        both = paired_runs(ours, peer, runs=runs)
        differences = [largest_difference_m(*pair) for pair in zip(ours_values, peer_rows, strict=True)]
        report(
            {
                "benchmark": "geology",
                "measured": f"seconds for {side} x {side} cells: ours {len(BANDS)} bands, stored; "
                "the peer two distances",
                "peer": "PostGIS <-> and st_distance per cell" + (", subdivided" if subdivided else ""),
                **both.summary(),
                "largest_difference_m": max(differences),
                "peer_cells": cells,
                "peer_scaled_by": round(times, 2),
                "faults": faults,
                "plutons": plutons,
                "fault_vertices": vertices["fault"],
                "pluton_vertices": vertices["pluton"],
                "geology": "simulated",
            }
        )


if __name__ == "__main__":
    main()
