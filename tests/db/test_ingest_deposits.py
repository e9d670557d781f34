"""Deposits as points and as outlines of ore bodies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely
from psycopg import Connection

from db.errors import UsageError
from tests.db.ingested_features import BOW_TIE, counts, geology
from tests.ingest_files import square, write_geojson

# Its centroid lies in the notch, outside.
HORSESHOE = shapely.box(87, 44, 87.3, 44.3) - shapely.box(87.1, 44.1, 87.2, 44.3)


def stored(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select name, commodity, st_geometrytype(geom), st_geometrytype(body), st_srid(body), "
        "st_covers(body, geom), round(st_area(body)::numeric, 6)::float from lode.deposit order by deposit_id"
    ).fetchall()


def test_outlines_become_bodies_with_a_point_on_them(conn: Connection[Any], tmp_path: Path) -> None:
    shapes = [HORSESHOE, shapely.MultiPolygon([square(88, 44, 0.1), square(89, 44, 0.2)])]
    assert not HORSESHOE.covers(HORSESHOE.centroid)
    path = write_geojson(
        tmp_path / "d.geojson", shapes, [{"name": "A", "mineral": "lithium"}, {"name": "B", "mineral": None}]
    )
    outcome = geology(conn, "deposits", path)
    assert (outcome.stored, outcome.repaired) == (2, 0)
    assert stored(conn) == [
        ("A", "lithium", "ST_Point", "ST_MultiPolygon", 4326, True, 0.07),
        ("B", None, "ST_Point", "ST_MultiPolygon", 4326, True, 0.05),
    ]
    assert not geology(conn, "deposits", path).is_new
    write_geojson(path, [shapely.Point(87, 44)], [{"name": "C", "mineral": "gold"}])
    assert geology(conn, "deposits", path, replace=True).replaced == 2
    assert stored(conn) == [("C", "gold", "ST_Point", None, None, None, None)]


def test_outlines_are_held_to_the_rules_of_polygons(conn: Connection[Any], tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "d.geojson", [HORSESHOE, BOW_TIE])
    with pytest.raises(UsageError, match=r"row 2 \(feature id 1\): Self-intersection"):
        geology(conn, "deposits", path)
    conn.rollback()
    assert geology(conn, "deposits", path, repair=True).repaired == 1
    assert [row[5] for row in stored(conn)] == [True, True]


def test_points_and_outlines_in_one_file_are_refused(conn: Connection[Any], tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "d.geojson", [HORSESHOE, shapely.Point(87, 44), shapely.Point(88, 44)])
    with pytest.raises(UsageError, match="holds 2 deposits as points and 1 as outlines; bring them as two"):
        geology(conn, "deposits", path)
    conn.rollback()
    assert counts(conn)["deposit"] == 0
    line = write_geojson(tmp_path / "l.geojson", [shapely.LineString([(87, 44), (88, 44)])])
    with pytest.raises(UsageError, match="is a LineString, where points are expected"):
        geology(conn, "deposits", line)
