"""Rocks of a geological map: brought, refused, and found near a grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyproj
import pytest
import shapely
from psycopg import Connection

from db.errors import UsageError
from db.geology_near import lithology_digest, lithology_near, rocks_near
from db.raster import Grid
from tests.conftest import RunLode
from tests.db.ingested_features import BOW_TIE, geology
from tests.ingest_files import square, write_geojson

GRID = Grid(32645, 500_000.0, 4_860_000.0, 100.0, 100.0, 60, 50)


def on_map(west: float, south: float, east: float, north: float) -> shapely.Polygon:
    """A rectangle in metres of the grid's CRS, in longitude and latitude."""
    to_wgs84 = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    box = shapely.box(west, south, east, north)
    return shapely.transform(box, to_wgs84.transform, interleaved=False)


def rocks(conn: Connection[Any]) -> list[Any]:
    return conn.execute(
        "select rock, name, age, st_geometrytype(geom), st_srid(geom) from lode.lithology order by 1"
    ).fetchall()


def test_rocks_are_stored_once(conn: Connection[Any], tmp_path: Path) -> None:
    properties = [
        {"LITHOLOGY": "serpentinite", "name": "Unit 7", "age": "Ordovician"},
        {"LITHOLOGY": None, "name": "water", "age": None},
    ]
    path = write_geojson(tmp_path / "map.geojson", [square(87, 43.9), square(88, 43.9)], properties)
    assert geology(conn, "lithology", path).stored == 2
    assert rocks(conn) == [
        ("serpentinite", "Unit 7", "Ordovician", "ST_MultiPolygon", 4326),
        (None, "water", None, "ST_MultiPolygon", 4326),
    ]
    assert not geology(conn, "lithology", path).is_new
    write_geojson(path, [square(87, 43.9)], [{"LITHOLOGY": "gabbro"}])
    with pytest.raises(UsageError, match=r"2 lithology from 'map\.geojson' are in the database already"):
        geology(conn, "lithology", path)
    assert geology(conn, "lithology", path, replace=True).replaced == 2
    assert [row[0] for row in rocks(conn)] == ["gabbro"]


def test_what_is_no_map_of_rocks_is_refused(conn: Connection[Any], tmp_path: Path) -> None:
    path = tmp_path / "map.geojson"
    for shape, properties, options, said in (
        (square(87, 43.9), {"code": "K1"}, {}, "which column holds the rock"),
        (square(87, 43.9), {"rock": ""}, {}, "no feature has a rock in column 'rock'"),
        (square(87, 43.9), {"rock": "x"}, {"fields": {"rock": "Rock"}}, "has no column 'Rock'"),
        (shapely.Point(87, 43.9), {"rock": "x"}, {}, "is a Point, where polygons are expected"),
        (BOW_TIE, {"rock": "x"}, {}, "Self-intersection"),
    ):
        write_geojson(path, [shape], [properties])
        with pytest.raises(UsageError, match=said):
            geology(conn, "lithology", path, **options)
        conn.rollback()
    assert rocks(conn) == []


def test_rocks_near_a_grid(conn: Connection[Any], tmp_path: Path) -> None:
    """Granite lies on the grid, gabbro 2 km east of it, basalt far away, and water has no rock."""
    shapes = [
        on_map(501_000, 4_856_000, 502_000, 4_857_000),
        on_map(508_000, 4_856_000, 509_000, 4_857_000),
        on_map(560_000, 4_856_000, 561_000, 4_857_000),
        on_map(503_000, 4_856_000, 504_000, 4_857_000),
    ]
    names = ("granite", "gabbro", "basalt", None)
    assert lithology_near(conn, GRID) == []
    empty = lithology_digest(conn, GRID)
    path = write_geojson(tmp_path / "map.geojson", shapes, [{"rock": name} for name in names])
    geology(conn, "lithology", path)
    ((rock, shape),) = lithology_near(conn, GRID)
    assert rock == "granite"
    assert shape.bounds == pytest.approx((501_000, 4_856_000, 502_000, 4_857_000), abs=0.01)
    assert shape.area == pytest.approx(1e6, rel=1e-6)
    for within_m, expected in ((1_990, {"granite"}), (2_010, {"granite", "gabbro"})):
        assert {rock for rock, _shape in lithology_near(conn, GRID, within_m=within_m)} == expected
    assert [each.rock for each in rocks_near(conn, GRID)] == [None, "granite"]
    digest = lithology_digest(conn, GRID)
    assert digest != empty
    assert digest != lithology_digest(conn, GRID, within_m=2_010)
    # what lies out of reach changes nothing, what is called otherwise does
    conn.execute("delete from lode.lithology where rock = 'basalt'")
    assert lithology_digest(conn, GRID) == digest
    conn.execute("update lode.lithology set rock = 'leucogranite' where rock = 'granite'")
    assert lithology_digest(conn, GRID) != digest
    with pytest.raises(UsageError, match="distances need a grid in metres"):
        lithology_near(conn, replace(GRID, srid=4326))


def test_by_command(run_lode: RunLode, tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "map.geojson", [square(87, 43.9)], [{"DSN": "slate"}])
    done = run_lode("ingest", "lithology", path, "--field", "rock=DSN")
    assert done.stdout == "stored 1 lithology, 0 repaired (map.geojson)\n", done.stderr
    nameless = write_geojson(tmp_path / "other.geojson", [square(87, 43.9)], [{"DSN": "slate"}])
    refused = run_lode("ingest", "lithology", nameless)
    assert refused.returncode == 1
    assert "State it with --field rock=COLUMN; its columns are: DSN" in refused.stderr
