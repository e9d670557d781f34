"""A published polygon of very many vertices: it is cut in parts for speed, and counts as one piece."""

from __future__ import annotations

import time
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from psycopg import Connection, errors
from shapely import MultiPolygon

from db import accounting, landcover, runs
from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb

WEST, SOUTH, SIDE = 87.0, 43.5, 0.4
"""A square of some 30 km, degrees."""


def holes(columns: int, rows: int, south: float, north: float) -> list[npt.NDArray[np.float64]]:
    """Small triangles (4, 2) side by side over the width of the square, from south to north (degrees)."""
    step = (north - south) / rows
    x, y = np.meshgrid(
        WEST + (np.arange(columns) + 0.5) * SIDE / columns, SOUTH + south + (np.arange(rows) + 0.5) * step
    )
    half = SIDE / 750
    offsets = np.array([(-half, -half), (half, 0), (0, half), (-half, -half)])
    return list(np.stack([x.ravel(), y.ravel()], axis=1)[:, np.newaxis] + offsets)


def ragged() -> MultiPolygon:
    """The square with many holes in the north and few in the south.

    Only the north has vertices enough to be cut twice, so that its second cut meets the first in a T, and the
    south has no vertex there.
    """
    shell = shapely.get_coordinates(shapely.box(WEST, SOUTH, WEST + SIDE, SOUTH + SIDE))
    rings = holes(150, 70, 0.22, 0.39) + holes(20, 5, 0.02, 0.18)
    return MultiPolygon([shapely.Polygon(shell, rings)])


@pytest.fixture
def large(conn: Connection[Any]) -> Connection[Any]:
    """A mine of some 960 km2 with a licence, on ground that is published as one polygon."""
    square = MultiPolygon([shapely.box(WEST, SOUTH, WEST + SIDE, SOUTH + SIDE)])
    scene = add_scene(conn, "large", date(2021, 6, 1), square)
    mine = MultiPolygon([shapely.box(WEST + 0.0313, SOUTH + 0.0271, WEST + 0.3517, SOUTH + 0.3713)])
    mine = MultiPolygon([shapely.segmentize(mine.geoms[0], 0.0005)])
    add_mine(conn, "M1", mine)
    conn.execute(
        "update lode.mine"
        " set licence_boundary = st_multi(st_segmentize(st_expand(st_centroid(boundary), 0.05), 0.0005))"
    )
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(conn, run.run_id, 2021, [(6, ewkb(ragged()), 0.9)])
    landcover.insert_observation(conn, run.run_id, 2021, ewkb(square))
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)
    return conn


def test_parts_of_a_polygon_are_one_piece_of_exactly_its_area(large: Connection[Any]) -> None:
    """Cuts between parts run for kilometres along parallels: as geodesics they would leave slivers."""
    assert large.execute("select count(*) > 2 from lode.landcover_part").fetchone() == (True,)
    rows = large.execute(
        "select p.area_m2, st_area(st_intersection(m.boundary, l.geom)::geography), p.unlicensed_area_m2,"
        " st_area(st_difference(st_intersection(m.boundary, l.geom), m.licence_boundary)::geography)"
        " from lode.mine_piece p, lode.mine m, lode.landcover l"
    ).fetchall()
    assert len(rows) == 1
    area, plain_area, outside, plain_outside = rows[0]
    assert area == pytest.approx(plain_area, rel=1e-8)
    assert outside == pytest.approx(plain_outside, rel=1e-8)
    assert 0 < outside < area


OUTLINES = "select count(*), sum(st_area(geom)), sum(st_npoints(geom)) from lode."


def outlines(conn: Connection[Any]) -> list[Any]:
    """Numbers and areas of the parts and of the outlines for maps of small scale."""
    tables = ("landcover_part", "landcover_general")
    return [conn.execute((OUTLINES + table).encode()).fetchone() for table in tables]


def test_parts_and_outlines_are_derived_from_nothing(
    large: Connection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction and in batches; a refresh that is stopped leaves those that were there."""
    published = outlines(large)
    assert all(row[0] for row in published)
    large.commit()

    def stopped(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(accounting.Deriving, "each", stopped)
        with pytest.raises(KeyboardInterrupt):
            accounting.refresh_all(database_url)
    assert outlines(large) == published
    for derive in (lambda: accounting.derive_all(large), lambda: accounting.refresh_all(database_url)):
        large.execute("delete from lode.landcover_part")
        large.execute("delete from lode.landcover_general")
        large.commit()
        derive()
        assert outlines(large) == published
        large.commit()


def test_a_batch_that_fails_ends_the_others(conn: Connection[Any], database_url: str) -> None:
    """What runs is cancelled, no connection stays, and the error is that of the batch."""
    one = "select case when x.k = 0 then (1 / x.k)::text else pg_sleep(60)::text end"
    begun = time.monotonic()
    with pytest.raises(errors.DivisionByZero), accounting.Deriving(database_url, 2) as deriving:
        deriving.each((f"{one} from (select (%s::integer[])[1] as k) as x",), [[1], [0], [1], [1]])
    assert time.monotonic() - begun < 30
    row = conn.execute(
        "select count(*) from pg_stat_activity"
        " where application_name = 'lode db refresh' and datname = current_database() and state <> 'idle'"
    ).fetchone()
    assert row == (0,)


@pytest.mark.parametrize("most_vertices", [1000, 5000, 20000])
def test_halves_are_the_polygon(conn: Connection[Any], most_vertices: int) -> None:
    """They share no ground, leave none out, and have as few vertices as was asked for."""
    ground = ragged()
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
