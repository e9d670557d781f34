"""Polygons of land cover on their way into the database."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import shapely
from scipy import ndimage
from shapely import MultiPolygon, box

from db import landcover
from db.errors import UsageError
from db.landcover_rows import LandcoverRows
from inference.polygonise import NOT_OBSERVED, Patches, polygonise
from inference.publish import PATCHES_AT_A_TIME, PROBABILITY_STEPS, landcover_rows
from tests.catalogue_rows import add_model, add_scene, ewkb
from tests.grids import cells


@pytest.fixture
def run_id(conn):
    scene = add_scene(conn, "scene", date(2021, 6, 1), cells("x", "x"))
    model = add_model(conn, "net")
    return conn.execute(
        "insert into lode.run (scene_id, model_id, parameters, parameters_digest) values (%s, %s, '{}', '-')"
        " returning run_id",
        (scene, model),
    ).fetchone()[0]


@pytest.fixture(scope="module")
def patches() -> Patches:
    """Ragged patches of eight classes at 10 m with a cloud, from single pixels to some km2."""
    rng = np.random.default_rng(5)
    fields = [ndimage.gaussian_filter(rng.standard_normal((400, 500)), 5) * 8 for _ in range(8)]
    noise = rng.standard_normal((8, 400, 500)) * 0.15
    class_map = np.argmax(fields + noise, axis=0).astype(np.uint8)
    class_map[200:230, 250:330] = NOT_OBSERVED
    return polygonise(
        class_map,
        origin_x=730_000.0,
        origin_y=4_860_000.0,
        resolution_x=10.0,
        resolution_y=10.0,
        confidence=(class_map * 20 + 10).astype(np.uint8),
    ).to_wgs84(32645)


def test_rows_are_stored_as_given(conn, run_id, patches):
    assert len(patches) > 2 * PATCHES_AT_A_TIME
    assert landcover.insert_landcover_rows(conn, run_id, 2021, landcover_rows(patches)) == len(patches)
    stored = conn.execute(
        "select land_class_code, st_asewkb(geom), mean_probability, run_id, start_date, end_date"
        " from lode.landcover order by landcover_id",
        binary=True,
    ).fetchall()
    codes, geometries, probabilities, *rest = zip(*stored, strict=True)
    assert codes == tuple(patches.class_code.tolist())
    assert [bytes(geometry) for geometry in geometries] == patches.polygons.to_ewkb(4326).to_list()
    assert probabilities == tuple((patches.mean_confidence / PROBABILITY_STEPS).tolist())
    assert [set(column) for column in rest] == [{run_id}, {date(2021, 1, 1)}, {date(2022, 1, 1)}]


def test_area_is_that_of_postgis(conn, run_id, patches):
    landcover.insert_landcover_rows(conn, run_id, 2021, landcover_rows(patches))
    rows = conn.execute(
        "select area_m2, st_area(geom::geography), st_npoints(geom) from lode.landcover", binary=True
    ).fetchall()
    area_m2, postgis_m2, points = np.array(rows).T
    assert area_m2.min() < 101
    assert area_m2.max() > 1e5
    # PostGIS's figures are rounded by up to 1e-5 m2 for each edge.
    assert (abs(area_m2 - postgis_m2) <= 1e-9 * postgis_m2 + 1e-5 * points).all()
    assert area_m2.sum() == pytest.approx(postgis_m2.sum(), rel=1e-11)


def test_single_polygons_are_stored_like_arrays(conn, run_id):
    ground = {0: cells("x.x\nxxx", "x"), 3: cells(".x.", "x")}
    polygons = [(code, ewkb(geometry), None if code else 0.25) for code, geometry in ground.items()]
    assert landcover.insert_landcover(conn, run_id, 2021, iter(polygons)) == 2
    stored = conn.execute(
        "select land_class_code, mean_probability, st_asewkb(geom), area_m2 - st_area(geom::geography)"
        " from lode.landcover order by landcover_id",
        binary=True,
    ).fetchall()
    assert [row[:2] for row in stored] == [(0, 0.25), (3, None)]
    assert [bytes(row[2]) for row in stored] == [wkb for _, wkb, _ in polygons]
    assert [row[3] for row in stored] == pytest.approx([0, 0], abs=1e-5)


def test_nothing_is_stored_of_nothing(conn, run_id):
    assert landcover.insert_landcover(conn, run_id, 2021, []) == 0
    assert landcover.insert_landcover_rows(conn, run_id, 2021, []) == 0
    assert conn.execute("select count(*) from lode.landcover").fetchone() == (0,)


def test_compression_is_the_callers_again(conn, run_id):
    before = conn.execute("show default_toast_compression").fetchone()
    landcover.insert_landcover(conn, run_id, 2021, [(0, ewkb(cells("x", "x")), None)])
    assert conn.execute("show default_toast_compression").fetchone() == before


def test_another_crs_is_refused(conn, run_id):
    foreign = shapely.to_wkb(shapely.set_srid(MultiPolygon([box(0, 0, 1, 1)]), 32645), include_srid=True)
    with pytest.raises(UsageError, match="EPSG:4326"):
        landcover.insert_landcover(conn, run_id, 2021, [(0, ewkb(cells("x", "x")), None), (1, foreign, None)])
    conn.rollback()
    assert conn.execute("select count(*) from lode.landcover").fetchone() == (0,)


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(UsageError, match=r"differ in number: \(2, 1, 1\)"):
        LandcoverRows(np.zeros(2, int), np.zeros(3, np.uint8), np.array([0, 3]), np.zeros(1))
