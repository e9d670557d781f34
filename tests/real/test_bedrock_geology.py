"""Rasters of geology from the bedrock map of British Columbia: real plutons of many vertices.

Data: British Columbia Geological Survey 2018 (Open Government Licence - BC), EPSG:26910. No faults are in it:
those here are borders between other rocks, and stand for faults only in what is computed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from psycopg import Connection

from db.raster import Grid
from inference.geology import geology_rasters
from tests.support import test_data

SRID = 26910


def bedrock() -> tuple[Any, Any]:
    """Shapes in EPSG:26910, and the class of rock of each."""
    path = test_data("bc_bedrock") / "BedrockP.shp"
    meta, _ids, wkb, columns = pyogrio.raw.read(path, columns=["rock_class"])
    assert str(SRID) in str(meta["crs"])
    return shapely.make_valid(shapely.from_wkb(wkb)), columns[0]


def insert(conn: Connection[Any], table: str, shapes: Any, extracted: int) -> int:
    with conn.cursor() as cursor:
        cursor.executemany(
            f"insert into lode.{table} (geom) select st_makevalid(g) from (select st_multi("
            "st_collectionextract(st_transform(st_geomfromwkb(%s, %s), 4326), %s)) as g) s"
            " where not st_isempty(g)".encode(),
            [(shapely.to_wkb(shape), SRID, extracted) for shape in shapes],
        )
    row = conn.execute(f"select count(*) from lode.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def in_plane(conn: Connection[Any], table: str) -> Any:
    rows = conn.execute(
        f"select st_asbinary(st_transform(geom, {SRID})) from lode.{table}".encode()
    ).fetchall()
    return shapely.from_wkb([wkb for (wkb,) in rows])


@pytest.fixture
def province(conn: Connection[Any]) -> Connection[Any]:
    shapes, rock = bedrock()
    intrusive = np.char.startswith(np.char.lower(rock.astype(str)), "intrusive")
    assert insert(conn, "pluton", shapes[intrusive], 3) == 455
    borders = shapely.boundary(shapes[np.char.startswith(np.char.lower(rock.astype(str)), "ultramafic")])
    assert insert(conn, "fault", borders, 2) == 46
    return conn


def test_distances_are_exact_on_real_outlines(province: Connection[Any]) -> None:
    shapes = in_plane(province, "pluton")
    west, south, east, north = shapely.total_bounds(shapes)
    grid = Grid(SRID, round((west + east) / 2), round((south + north) / 2), 60.0, 60.0, 400, 300)
    began = time.monotonic()
    values = geology_rasters(province, grid).values
    assert time.monotonic() - began < 60
    x = grid.origin_x + (np.arange(grid.width_px) + 0.5) * grid.resolution_x
    y = grid.origin_y - (np.arange(grid.height_px) + 0.5) * grid.resolution_y
    points = shapely.points(*np.meshgrid(x[::7], y[::7]))
    for number, table in enumerate(("fault", "pluton")):
        tree = shapely.STRtree(in_plane(province, table))
        pairs, distance = tree.query_nearest(points.ravel(), return_distance=True, all_matches=False)
        expected = np.empty(points.size)
        expected[pairs[0]] = distance
        got = values[number, ::7, ::7].ravel()
        np.testing.assert_allclose(got, expected, rtol=1e-7, atol=1e-3)
    inside = values[1] == 0
    assert 0 < inside.mean() < 1
