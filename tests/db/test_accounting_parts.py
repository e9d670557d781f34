"""A published polygon of very many vertices: it is cut in parts for speed, and counts as one piece."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
import shapely
from psycopg import Connection
from shapely import MultiPolygon

from db import landcover, runs
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb

WEST, SOUTH, SIDE = 87.0, 43.5, 0.4
"""A square of some 30 km, degrees."""


def ragged(teeth: int) -> MultiPolygon:
    """The square with holes of four vertices all over it."""
    step = SIDE / teeth
    centres = (np.arange(teeth) + 0.5) * step
    x, y = (grid.ravel() for grid in np.meshgrid(WEST + centres, SOUTH + centres))
    half = step / 5
    offsets = np.array([(-half, -half), (half, 0), (0, half), (-half, -half)])
    rings = np.stack([x, y], axis=1)[:, np.newaxis] + offsets
    shell = shapely.get_coordinates(shapely.box(WEST, SOUTH, WEST + SIDE, SOUTH + SIDE))
    return MultiPolygon([shapely.Polygon(shell, list(rings))])


def test_parts_of_a_polygon_are_one_piece_of_exactly_its_area(conn: Connection[Any]) -> None:
    """Cuts between parts run for kilometres along parallels: as geodesics they would leave slivers."""
    ground = ragged(100)
    square = MultiPolygon([shapely.box(WEST, SOUTH, WEST + SIDE, SOUTH + SIDE)])
    scene = add_scene(conn, "large", date(2021, 6, 1), square)
    mine = MultiPolygon([shapely.box(WEST + 0.0313, SOUTH + 0.0271, WEST + 0.3517, SOUTH + 0.3713)])
    mine = MultiPolygon([shapely.segmentize(mine.geoms[0], 0.0005)])
    add_mine(conn, "M1", mine)
    conn.execute(
        "update lode.mine"
        " set licence_boundary = st_multi(st_segmentize(st_expand(st_centroid(boundary), 0.05), 0.0005))"
    )
    run = runs.request_run(conn, scene, add_model(conn, "net"), {})
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(conn, run.run_id, 2021, [(6, ewkb(ground), 0.9)])
    landcover.insert_observation(conn, run.run_id, 2021, ewkb(square))
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)
    assert conn.execute("select count(*) > 1 from lode.landcover_part").fetchone() == (True,)
    rows = conn.execute(
        "select p.area_m2, st_area(st_intersection(m.boundary, l.geom)::geography), p.unlicensed_area_m2,"
        " st_area(st_difference(st_intersection(m.boundary, l.geom), m.licence_boundary)::geography)"
        " from lode.mine_piece p, lode.mine m, lode.landcover l"
    ).fetchall()
    assert len(rows) == 1
    area, plain_area, outside, plain_outside = rows[0]
    assert area == pytest.approx(plain_area, rel=1e-8)
    assert outside == pytest.approx(plain_outside, rel=1e-8)
    assert 0 < outside < area


@pytest.mark.parametrize("most_vertices", [200, 1000, 20000])
def test_halves_are_the_polygon(conn: Connection[Any], most_vertices: int) -> None:
    """They share no ground, leave none out, and have as few vertices as was asked for."""
    ground = ragged(40)
    parts = [
        shapely.from_wkb(row[0])
        for row in conn.execute(
            "select lode_api.halves(%s::geometry, %s)", (ewkb(ground).hex(), most_vertices)
        )
    ]
    vertices = shapely.get_num_coordinates(ground)
    assert len(parts) >= vertices / most_vertices
    assert max(shapely.get_num_coordinates(part) for part in parts) <= most_vertices
    assert sum(part.area for part in parts) == pytest.approx(ground.area, rel=1e-12)
    assert shapely.union_all(parts).symmetric_difference(ground).area < 1e-12 * ground.area
