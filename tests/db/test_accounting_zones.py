"""A mine on the edge between two UTM zones, seen by scenes on the grid of either: area is the ellipsoid's."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from psycopg import Connection
from shapely import MultiPolygon

from db import landcover, runs
from inference.polygonise import NOT_OBSERVED, polygonise
from inference.publish import landcover_rows
from tests.catalogue_rows import add_mine, add_model, add_scene
from tests.grids import geodesic_area_m2

MERIDIAN = 84.0
"""Where zone 44 ends and zone 45 begins, degrees east."""

MINE = MultiPolygon([shapely.box(83.987, 43.502, 84.011, 43.514)])
PIXEL_M = 10.0
SIDE_PX = 420
PIT, DUMP = 6, 5


def publish_zone(
    conn: Connection[Any], model: int, srid: int, day: date, west: float, east: float, name: str
) -> None:
    """A scene on the grid of a zone that saw ground between two meridians: dump in the south, pit north."""
    to_grid = pyproj.Transformer.from_crs(4326, srid, always_xy=True)
    x, y = to_grid.transform(MERIDIAN, 43.508)
    origin_x, origin_y = round(x) - SIDE_PX / 2 * PIXEL_M, round(y) + SIDE_PX / 2 * PIXEL_M
    columns, rows = np.meshgrid(np.arange(SIDE_PX) + 0.5, np.arange(SIDE_PX) + 0.5)
    longitude, latitude = pyproj.Transformer.from_crs(srid, 4326, always_xy=True).transform(
        origin_x + columns * PIXEL_M, origin_y - rows * PIXEL_M
    )
    codes = np.where(latitude < 43.508, DUMP, PIT).astype(np.uint8)
    codes[(longitude < west) | (longitude > east)] = NOT_OBSERVED
    patches = polygonise(
        codes,
        origin_x=origin_x,
        origin_y=origin_y,
        resolution_x=PIXEL_M,
        resolution_y=PIXEL_M,
        max_segment_m=500.0,
        confidence=np.full_like(codes, 180),
    ).to_wgs84(srid)
    scene = add_scene(conn, name, day, MultiPolygon([shapely.box(west, 43.49, east, 43.53)]))
    run = runs.request_interpretation(conn, scene, model)
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover_rows(conn, run.run_id, day.year, landcover_rows(patches))
    outline = patches.observation.to_ewkb(4326, as_one=True).to_list()[0]
    landcover.insert_observation(conn, run.run_id, day.year, outline)
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)


def test_a_mine_across_two_utm_zones_counts_once(conn: Connection[Any]) -> None:
    """Both scenes saw a strip along the meridian; every square metre of the mine counts once."""
    add_mine(conn, "M1", MINE)
    model = add_model(conn, "net")
    publish_zone(conn, model, 32644, date(2021, 6, 1), 83.97, 84.003, "west")
    publish_zone(conn, model, 32645, date(2021, 7, 1), 83.998, 84.03, "east")
    whole = geodesic_area_m2(MINE)
    rows = conn.execute(
        "select sum(area_m2), count(*), min(observed_fraction)"
        " from lode_api.damage_by_mine_year where year = 2021 and area_m2 > 0"
    ).fetchone()
    assert rows is not None
    assert rows[0] == pytest.approx(whole, rel=1e-6)
    assert rows[1] == 2
    assert rows[2] == pytest.approx(1, abs=1e-6)
    runs_counted = conn.execute("select cardinality(run_ids) from lode.mine_year").fetchone()
    assert runs_counted == (2,)


def test_change_between_grids_of_two_zones_is_not_new_damage(conn: Connection[Any]) -> None:
    """The same ground seen on another zone's grid: pixels' edges differ, the mine's damage does not."""
    add_mine(conn, "M1", MINE)
    model = add_model(conn, "net")
    publish_zone(conn, model, 32644, date(2021, 6, 1), 83.97, 84.03, "first")
    publish_zone(conn, model, 32645, date(2022, 6, 1), 83.97, 84.03, "second")
    row = conn.execute(
        "select new_area_m2, treated_area_m2, persisting_area_m2, converted_from_area_m2"
        " from lode_api.change_by_mine_year where kind = 'occupied'"
    ).fetchone()
    assert row is not None
    whole = geodesic_area_m2(MINE)
    assert row[0] < 1e-6 * whole
    assert row[1] < 1e-6 * whole
    edge_m2 = 2_000 * 2 * PIXEL_M  # along the edge between dump and pit, at most two pixels wide
    assert row[2] == pytest.approx(whole / 2, abs=edge_m2)
    assert 0 < row[3] < edge_m2
