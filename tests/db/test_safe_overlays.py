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


def test_what_is_stored_is_mended(conn: Connection[Any]) -> None:
    """A shell inside another one is ground, no hole."""
    row = conn.execute(
        "select st_isvalid(g), st_area(g) from (select lode_api.sound(st_geomfromtext(%s, 4326)) as g) s",
        (NESTED,),
    ).fetchone()
    assert row == (True, pytest.approx(64))
