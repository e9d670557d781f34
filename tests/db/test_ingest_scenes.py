"""Scene files into the database: what is stored of them, and what is said of it."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from psycopg import Connection

from db.errors import UsageError
from db.scenes import current_scene, list_scenes, scene_by_id, scene_by_product
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.conftest import RunLode
from tests.db.ingested_scenes import DAY, ingest, pixels_of
from tests.ingest_files import some_pixels, write_geojson, write_tiff, write_vector


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_pixels_and_catalogue_row_are_those_of_the_file(
    conn: Connection[Any], tmp_path: Path, dtype: str
) -> None:
    pixels = some_pixels(4, 300, 280, dtype)
    pixels[:, :100, :140] = 0
    path = write_tiff(tmp_path / "x.tif", pixels, nodata=0)
    outcome = ingest(conn, path, value_offset=2.0, value_scale=0.5)
    scene = scene_by_product(conn, "scene")
    assert outcome.is_new
    assert scene == outcome.scene
    assert np.array_equal(pixels_of(conn, scene), pixels)
    assert (scene.version, scene.sensor, scene.acquired_on) == (1, "gf2_pms", DAY)
    assert (scene.grid.srid, scene.grid.origin_x, scene.grid.origin_y) == (32645, 500000, 4860000)
    assert (scene.grid.resolution_x, scene.grid.width_px, scene.grid.height_px) == (10, 280, 300)
    assert scene.band_names == ("blue", "green", "red", "nir")
    assert (scene.value_offset, scene.value_scale, scene.processing_level) == (2.0, 0.5, "digital_number")
    assert scene.nodata == 0
    assert scene.valid_fraction == 1 - 100 * 140 / (300 * 280)
    assert scene.sha256 == source_file(path).sha256()
    assert scene.tile_table == f"scene_{scene.scene_id}"
    [(kind, outside)] = conn.execute(
        "select st_geometrytype(footprint), st_area(footprint::geography) from lode.scene"
    ).fetchall()
    assert kind == "ST_MultiPolygon"
    # The plane's metres at its central meridian are 0.9996 of those on the ground.
    assert outside == pytest.approx((300 * 280 - 100 * 140) * 100 / 0.9996**2, rel=1e-3)


def test_a_scene_is_found_by_everything_else(conn: Connection[Any], tmp_path: Path) -> None:
    ingest(conn, write_tiff(tmp_path / "a.tif", some_pixels(seed=1)), "a")
    ingest(conn, write_tiff(tmp_path / "b.tif", some_pixels(seed=2)), "b", acquired_on=date(2022, 6, 1))
    assert [scene.product for scene in list_scenes(conn)] == ["a", "b"]
    assert [scene.product for scene in list_scenes(conn, years=[2022, 2023])] == ["b"]
    assert list_scenes(conn, sensor="sentinel2_msi") == []
    with pytest.raises(UsageError, match="no scene 'c'; there are: a, b"):
        scene_by_product(conn, "c")
    with pytest.raises(UsageError, match="no scene 99"):
        scene_by_id(conn, 99)
    [(tiles,)] = conn.execute("select count(*) from lode_raster.scene_tile").fetchall()
    assert tiles == 2


def test_what_was_done_to_pixels_is_recorded(conn: Connection[Any], tmp_path: Path) -> None:
    lonlat = Affine(9e-5, 0, 86.0, 0, -9e-5, 43.9)
    pixels = some_pixels(4, dtype="float32")
    pixels[0, 0, 0] = np.inf
    path = write_tiff(tmp_path / "x.tif", pixels, crs="EPSG:4326", transform=lonlat)
    outcome = ingest(conn, path, resolution_m=8.0)
    steps = {step["step"]: step for step in outcome.scene.steps}
    assert next(iter(steps)) == "declared"
    assert steps["warped"]["source_crs"] == "EPSG:4326"
    assert steps["warped"]["resampling"] == "nearest"
    assert steps["not_finite"]["count"] >= 1
    assert any("warped to EPSG:32645 at 8 m" in note for note in outcome.notes)
    assert outcome.scene.nodata is not None
    assert math.isnan(outcome.scene.nodata)
    stored = pixels_of(conn, outcome.scene)
    assert set(np.unique(stored[np.isfinite(stored)])) <= set(np.unique(pixels))
    assert outcome.scene.valid_fraction == np.isfinite(stored).any(axis=0).mean()


def test_warnings_are_recorded(conn: Connection[Any], tmp_path: Path) -> None:
    bright = some_pixels(4) + 2000
    path = write_tiff(tmp_path / "x.tif", bright, descriptions=["B02", "B03", "B04", "B08"])
    outcome = ingest(conn, path, sensor="sentinel2_msi", acquired_on=date(2023, 6, 1), value_offset=0.0)
    assert any("offset of 1000 is still in the values" in note for note in outcome.notes)
    assert any("offset of 1000" in step.get("text", "") for step in outcome.scene.steps)


@pytest.mark.parametrize(
    "name",
    [
        "Robert'); drop table lode.scene; --",
        '"quoted" %s {} \\',
        "新疆中部天山矿山环境遥感影像二零二一年" * 8,
        "x" * 900,
        "../../etc/passwd",
    ],
)
def test_names_are_data(conn: Connection[Any], tmp_path: Path, name: str) -> None:
    ingest(conn, write_tiff(tmp_path / "x.tif", some_pixels()), name)
    conn.commit()
    found = current_scene(conn, name)
    assert found is not None
    assert found.product == name
    assert not ingest(conn, tmp_path / "x.tif", name).is_new


def test_footprints_in_the_catalogue_are_multipolygons_of_4326(conn: Connection[Any], tmp_path: Path) -> None:
    pixels = some_pixels(4)
    pixels[:, 10:30, 20:30] = 0
    scene = ingest(conn, write_tiff(tmp_path / "x.tif", pixels, nodata=0)).scene
    assert isinstance(scene.footprint, shapely.MultiPolygon)
    assert len(scene.footprint.geoms[0].interiors) == 1
    assert conn.execute("select st_isvalid(footprint), st_srid(footprint) from lode.scene").fetchone() == (
        True,
        4326,
    )


def test_cloud_and_shadow_are_stored_and_counted_by_pixel(conn: Connection[Any], tmp_path: Path) -> None:
    pixels = some_pixels(4, 300, 200)
    pixels[:, :, :50] = 0
    path = write_tiff(tmp_path / "x.tif", pixels, nodata=0)
    cloud, shadow = (shapely.box(500303 + x, 4859003, 501008 + x, 4859508) for x in (0, 400))
    outlines = write_vector(tmp_path / "clouds.gpkg", [cloud, shadow], crs="EPSG:32645")
    stated = Statement("gf2_pms", DAY, "scene")
    outcome = ingest_scene(conn, source_file(path), stated, cloud_file=source_file(outlines))
    # Columns 30 to 140 and rows 49 to 99, by their centres; the first 50 columns hold no data.
    assert outcome.scene.cloud_fraction == 91 * 51 / (150 * 300)
    clouded = outcome.scene.clouded
    assert isinstance(clouded, shapely.MultiPolygon)
    assert clouded.is_valid
    assert outcome.scene.footprint.buffer(1e-9).covers(clouded)
    assert scene_by_product(conn, "scene").clouded == clouded
    assert not ingest_scene(conn, source_file(path), stated, cloud_file=source_file(outlines)).is_new
    # Without the clouds, or with others, it is another declaration.
    clear = ingest_scene(conn, source_file(path), stated)
    assert (clear.scene.version, clear.scene.cloud_fraction, clear.scene.clouded) == (2, None, None)
    none = write_vector(tmp_path / "none.gpkg", [], crs="EPSG:32645")
    sky = ingest_scene(conn, source_file(path), stated, cloud_file=source_file(none))
    assert (sky.scene.cloud_fraction, sky.scene.clouded) == (0.0, None)


def test_odd_cloud_files_are_mentioned_or_refused(conn: Connection[Any], tmp_path: Path) -> None:
    path = source_file(write_tiff(tmp_path / "x.tif", some_pixels()))
    bow_tie = shapely.Polygon([(87, 43.8), (87.1, 43.95), (87.1, 43.8), (87, 43.95)])
    cases = [
        ("all", shapely.box(86, 43, 88, 45), "the whole scene lies under cloud"),
        ("far", shapely.box(10, 10, 11, 11), "none of the 1 cloud outlines touches"),
        ("tie", bow_tie, "1 of 1 cloud outlines were invalid and made valid"),
    ]
    for name, shape, warning in cases:
        clouds = source_file(write_geojson(tmp_path / f"{name}.geojson", [shape]))
        outcome = ingest_scene(conn, path, Statement("gf2_pms", DAY, "scene"), cloud_file=clouds)
        assert any(warning in note for note in outcome.notes), name
    assert outcome.scene.cloud_fraction is not None
    point = source_file(write_geojson(tmp_path / "point.geojson", [shapely.Point(87, 43.9)]))
    with pytest.raises(UsageError, match="is a Point, where polygons are expected"):
        ingest_scene(conn, path, Statement("gf2_pms", DAY, "other"), cloud_file=point)


def test_the_command_line(run_lode: RunLode, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "GF2_scene.tif", some_pixels())
    command = ("ingest", "scene", path, "--sensor", "gf2_pms", "--acquired-on", "2021-06-19")
    done = run_lode(*command, "--offset", "-3", "--scale", "0.5", "--bands", "nir, red,green,blue")
    assert done.returncode == 0, done.stderr
    assert "stored scene GF2_scene version 1: 50 x 40 pixels, 4 bands (nir red green blue)" in done.stdout
    assert "digital_number = (stored -3) * 0.5" in done.stdout
    again = run_lode(*command, "--offset", "-3", "--scale", "0.5", "--bands", "nir,red,green,blue")
    assert again.returncode == 0
    assert "nothing was changed" in again.stdout
    outside = run_lode(*command, env={"LODE_ALLOWED_ROOTS": "/usr/share"})
    assert outside.returncode == 1
    assert "outside the folders" in outside.stderr
    assert "Traceback" not in outside.stderr


def test_a_database_without_tables_is_named(postgis_url: str, run_lode: RunLode, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    done = run_lode(
        *("ingest", "scene", path, "--sensor", "gf2_pms", "--acquired-on", "2021-06-19"),
        env={"LODE_DATABASE_URL": postgis_url},
    )
    assert done.returncode == 1
    assert "lode db upgrade" in done.stderr
    assert "Traceback" not in done.stderr
