"""Overlays of shapes that an earlier overlay left invalid: they go on, and lose no ground."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection, errors

NESTED = "MULTIPOLYGON(((0 0,8 0,8 8,0 8,0 0)),((2 2,4 2,4 4,2 4,2 2)))"
"""A shell inside another one, as the union of all but touching outlines may leave."""

CUTTER = "POLYGON((1 1,9 1,9 3,1 3,1 1))"


@pytest.mark.parametrize(("operation", "area"), [("intersection", 14.0), ("difference", 50.0)])
def test_an_invalid_shape_stops_no_overlay(conn: Connection[Any], operation: str, area: float) -> None:
    """st_intersection and st_difference refuse it; the safe ones give the area of its ground."""
    query = "select st_area({}(st_geomfromtext(%s, 4326), st_geomfromtext(%s, 4326)))"
    with pytest.raises(errors.InternalError_, match="TopologyException"), conn.transaction():
        conn.execute(query.format(f"st_{operation}"), (NESTED, CUTTER))
    row = conn.execute(query.format(f"lode_api.safe_{operation}"), (NESTED, CUTTER)).fetchone()
    assert row == (pytest.approx(area),)


WITH_A_POINT = (
    "GEOMETRYCOLLECTION(POLYGON((84.99121173950589 43.85199775591277,84.99109232203907 43.85258988783245,"
    "84.99247783953057 43.85356861692243,84.99121173950589 43.85199775591277)),"
    "POINT(84.99400899965298 43.85465792883567))"
)
"""What two outlines have in common where they also touch."""

SLIVERS = (
    "MULTIPOLYGON(((84.99067103633926 43.85349534160759,84.99238198623719 43.853458890261535,"
    "84.99228362663013 43.85342385028557,84.9923294507019 43.85344935845623,"
    "84.99219076641738 43.85337215924062,84.99198060804612 43.85338165409688,"
    "84.99067103633926 43.85349534160759)),"
    "((84.99203683731426 43.85336278885957,84.99203628851531 43.8533791384795,"
    "84.99218581851194 43.853372382784656,84.99203683731426 43.85336278885957)))"
)
"""Slivers that all but touch it and each other."""


def test_a_point_beside_a_polygon_stops_no_overlay(conn: Connection[Any]) -> None:
    """Overlays that need a fixed grid refuse the mixture; its ground is divided as the polygon alone is."""
    pair = "(select st_geomfromtext(%s, 4326) as one, st_geomfromtext(%s, 4326) as other) as p"
    for operation in ("intersection", "difference"):
        query = f"select st_{operation}(one, other) from {pair}"
        with pytest.raises(errors.InternalError_, match="TopologyException"), conn.transaction():
            conn.execute(query.encode(), (WITH_A_POINT, SLIVERS))
    row = conn.execute(
        "select st_area(lode_api.safe_intersection(one, other)),"
        f" st_area(lode_api.safe_difference(one, other)), st_area(one) from {pair}".encode(),
        (WITH_A_POINT, SLIVERS),
    ).fetchone()
    assert row is not None
    common, rest, whole = row
    assert 1e-3 * whole < common < 0.5 * whole
    assert common + rest == pytest.approx(whole, rel=1e-6)


def test_what_is_stored_is_mended(conn: Connection[Any]) -> None:
    """A shell inside another one is ground, no hole."""
    row = conn.execute(
        "select st_isvalid(g), st_area(g) from (select lode_api.sound(st_geomfromtext(%s, 4326)) as g) s",
        (NESTED,),
    ).fetchone()
    assert row == (True, pytest.approx(64))
