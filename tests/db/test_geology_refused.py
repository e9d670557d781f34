"""Grids and geology that rasters of geology are refused for, and what people are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
import shapely
from psycopg import Connection

from db.errors import UsageError
from db.geology_near import _check_shapes, features_near
from db.raster import Grid
from inference.geology import GeologySettings, geology_rasters
from tests.db.mapped_geology import GRID, SRID, add, draw


@pytest.fixture
def ground(conn: Connection[Any]) -> Connection[Any]:
    return draw(conn)


@pytest.mark.parametrize(("kind", "table"), [("faults", "fault"), ("plutons", "pluton")])
def test_no_geology_at_all_says_which_and_how_to_bring_it_in(
    ground: Connection[Any], kind: str, table: str
) -> None:
    ground.execute(f"delete from lode.{table}".encode())
    with pytest.raises(UsageError, match=rf"no {kind}: bring them in with `lode ingest {kind} FILE`"):
        geology_rasters(ground, GRID)
    assert ground.execute("select 1").fetchone() == (1,)  # the transaction goes on


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (Grid(4326, 87.0, 43.9, 0.001, 0.001, 50, 50), r"in metres, and EPSG:4326 \(WGS 84\) is not"),
        (Grid(2227, 6_000_000.0, 2_000_000.0, 30.0, 30.0, 5, 5), "in metres, and EPSG:2227"),
        (Grid(99_999, 500_000.0, 4_860_000.0, 30.0, 30.0, 5, 5), "EPSG:99999 is not known"),
        (Grid(SRID, 9e8, 4_860_000.0, 30.0, 30.0, 5, 5), "where its reference system is used"),
        (Grid(SRID, 500_000.0, 4_860_000.0, 1.0, 1.0, 50_000, 50_000), "at most 100,000,000 cells"),
    ],
)
def test_grids_that_are_refused(ground: Connection[Any], grid: Grid, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        geology_rasters(ground, grid)
    assert ground.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("value", [0.0, -5.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["proximity_m", "density_radius_m"])
def test_settings_that_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=name):
        GeologySettings(**{name: value})


def test_the_nearest_fault_may_lie_where_the_projection_ends(conn: Connection[Any]) -> None:
    fault = add(conn, "fault", shapely.LineString([(177, 0), (177, 0.1)]), srid=4326)
    with pytest.raises(UsageError, match=rf"fault {fault} cannot be transformed .* EPSG:32645"):
        features_near(conn, "faults", GRID)
    assert conn.execute("select 1").fetchone() == (1,)


def test_a_fault_that_cannot_be_transformed_is_named(ground: Connection[Any]) -> None:
    """A latitude of 95 degrees, far along a fault that begins near the grid."""
    fault = add(ground, "fault", shapely.LineString([(87.01, 43.89), (87.01, 95)]), srid=4326)
    with pytest.raises(UsageError, match=rf"fault {fault} cannot .* \(.*Invalid coordinate.*\): bring in"):
        geology_rasters(ground, GRID)
    assert ground.execute("select 1").fetchone() == (1,)


def test_coordinates_that_become_infinite_are_refused() -> None:
    """PostGIS says so itself where PROJ tells it; a server that does not must not give distances of nan."""
    shapes = shapely.linestrings([[(0, 0), (1, 1)], [(0, 0), (np.inf, 1)]])
    with pytest.raises(UsageError, match=r"pluton 8 cannot .* become infinite"):
        _check_shapes("plutons", SRID, [7, 8], shapes)


def test_a_fault_without_length_is_refused(ground: Connection[Any]) -> None:
    """The database takes one of 1e-20 degrees, which is none in metres."""
    with pytest.raises(psycopg.errors.CheckViolation), ground.transaction():
        ground.execute(
            "insert into lode.fault (geom) values"
            " (st_geomfromtext('multilinestring((87 43.9, 87 43.9))', 4326))"
        )
    row = ground.execute(
        "insert into lode.fault (geom) values (st_geomfromtext('multilinestring((0 0, 1e-20 0))', 4326))"
        " returning fault_id"
    ).fetchone()
    assert row is not None
    grid = Grid(32631, 166_000.0, 10_000.0, 30.0, 30.0, 100, 800)
    with pytest.raises(UsageError, match=rf"fault {row[0]} has no length in EPSG:32631"):
        features_near(ground, "faults", grid)
