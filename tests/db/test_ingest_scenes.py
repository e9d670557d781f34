"""Scene files into the database: what is stored, versions, and that nothing is left of what is refused."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from psycopg import Connection

from db.connection import connect
from db.errors import RetryError, UsageError
from db.locks import hold
from db.raster import RasterReader
from db.scenes import Scene, current_scene, list_scenes, open_scene, scene_by_id, scene_by_product
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import SceneOutcome, ingest_scene
from tests.catalogue_rows import add_mine, add_model, publish_drawing
from tests.conftest import RunLode
from tests.grids import cells
from tests.ingest_files import some_pixels, write_geojson, write_tiff, write_vector

DAY = date(2021, 6, 19)


def ingest(conn: Connection[Any], path: Path, product: str = "scene", **fields: Any) -> SceneOutcome:
    stated = {"sensor": "gf2_pms", "acquired_on": DAY, "product": product} | fields
    return ingest_scene(conn, source_file(path), Statement(**stated))


def pixels_of(conn: Connection[Any], scene: Scene) -> np.ndarray:
    reader: RasterReader = open_scene(conn, scene)
    pixels: np.ndarray = reader.read(0, 0, scene.grid.height_px, scene.grid.width_px)
    return pixels


def leftovers(conn: Connection[Any]) -> tuple[int, int]:
    """Scenes in the catalogue, and relations in the raster schema."""
    row = conn.execute(
        "select (select count(*) from lode.scene),"
        " (select count(*) from pg_class where relnamespace = 'lode_raster'::regnamespace)"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


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


def test_the_same_file_again_changes_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    first = ingest(conn, path)
    conn.commit()
    before = leftovers(conn)
    again = ingest(conn, path, value_offset=0.0, value_scale=1.0)  # the defaults, said aloud
    assert not again.is_new
    assert again.scene == first.scene
    copied = write_tiff(tmp_path / "copy.tif", some_pixels())
    assert copied.read_bytes() == path.read_bytes()
    assert not ingest(conn, copied).is_new
    assert leftovers(conn) == before


@pytest.mark.parametrize(
    "change",
    [
        {"value_offset": -10.0},
        {"value_scale": 0.1},
        {"acquired_on": date(2021, 6, 20)},
        {"processing_level": "radiance"},
        {"bands": ("nir", "red", "green", "blue")},
        {"nodata": 7.0},
        {"sensor": "gf7_mux"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_declaration_is_a_new_version(
    conn: Connection[Any], tmp_path: Path, change: dict[str, Any]
) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    first = ingest(conn, path)
    second = ingest(conn, path, **change)
    conn.commit()  # the reference to the newer version is checked here
    assert (second.scene.version, second.replaced_version) == (2, 1)
    assert scene_by_id(conn, first.scene.scene_id).superseded_by == second.scene.scene_id
    assert [scene.version for scene in list_scenes(conn)] == [2]
    # Back to the first declaration is a third version, not nothing.
    third = ingest(conn, path)
    assert (third.scene.version, third.is_new) == (3, True)


def test_other_content_under_the_same_name_is_a_new_version(conn: Connection[Any], tmp_path: Path) -> None:
    first = ingest(conn, write_tiff(tmp_path / "a.tif", some_pixels(seed=1)))
    newer = write_tiff(tmp_path / "b.tif", some_pixels(seed=2))
    second = ingest(conn, newer)
    conn.commit()
    assert second.scene.version == 2
    assert np.array_equal(pixels_of(conn, second.scene), some_pixels(seed=2))
    # The old pixels stay readable for whoever follows an old run.
    assert np.array_equal(pixels_of(conn, scene_by_id(conn, first.scene.scene_id)), some_pixels(seed=1))


def test_the_same_content_under_another_name_is_refused(conn: Connection[Any], tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    ingest(conn, path, "first")
    with pytest.raises(UsageError, match="in the database already, as product 'first'"):
        ingest(conn, path, "second")


def test_superseding_takes_the_old_versions_areas_with_it(conn: Connection[Any], tmp_path: Path) -> None:
    drawing = """
        pppp
        vvvv
    """
    old = ingest(conn, write_tiff(tmp_path / "a.tif", some_pixels(seed=1))).scene.scene_id
    add_mine(conn, "M1", cells(drawing, "pv"))
    publish_drawing(conn, old, add_model(conn, "net"), 2021, drawing)
    label = (
        "insert into lode.label (land_class_code, geom, valid_on, scene_id)"
        " select 6, st_multi(boundary), '2021-06-19', %s from lode.mine"
    )
    conn.execute(label, (old,))
    assert conn.execute("select count(*) from lode.mine_area where area_m2 > 0").fetchone() == (2,)
    outcome = ingest(conn, write_tiff(tmp_path / "b.tif", some_pixels(seed=2)))
    conn.commit()
    assert outcome.moved_labels == 1
    assert conn.execute("select scene_id from lode.label").fetchone() == (outcome.scene.scene_id,)
    assert conn.execute("select count(*) from lode.mine_area where area_m2 > 0").fetchone() == (0,)


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


def spoilt(path: Path) -> Path:
    """Damage the last block, so that reading fails in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - len(data) // 4])
    return path


def refused_files(folder: Path) -> list[tuple[Path, dict[str, Any], str]]:
    constant = some_pixels()
    constant[3] = 9
    good = some_pixels()
    return [
        (
            spoilt(write_tiff(folder / "a.tif", some_pixels(4, 900, 900), compress="deflate")),
            {},
            "cannot be read",
        ),
        (spoilt(write_tiff(folder / "b.tif", some_pixels(4, 900, 900))), {}, "cannot be read"),
        (write_tiff(folder / "c.tif", np.zeros((4, 40, 50), "uint16"), nodata=0), {}, "nothing observed"),
        (write_tiff(folder / "d.tif", constant), {}, "band nir is constant"),
        (write_tiff(folder / "e.tif", good[:3]), {}, "nothing says which"),
        (
            write_tiff(folder / "f.tif", good),
            {"sensor": "landsat"},
            "'landsat' is known; there are: enmap_hsi",
        ),
        (write_tiff(folder / "g.tif", good), {"nodata": -1.0}, "cannot occur"),
        (write_tiff(folder / "h.tif", good.astype("complex64")), {}, "cannot be stored"),
        (write_tiff(folder / "i.tif", good, crs=None), {}, "no coordinate reference system"),
        (write_tiff(folder / "j.tif", good), {"product": ""}, "product name is empty"),
        (
            write_tiff(folder / "k.tif", good, descriptions=["B02", "B03", "B04", "B08"]),
            {"sensor": "sentinel2_msi", "acquired_on": date(2022, 2, 1)},
            "--offset",
        ),
        (
            write_tiff(folder / "l.tif", good[:1].astype("uint8"), photometric="palette"),
            {"sensor": "gf2_pan"},
            "colour table",
        ),
    ]


def test_nothing_is_left_of_what_is_refused(conn: Connection[Any], tmp_path: Path) -> None:
    before = leftovers(conn)
    for path, fields, reason in refused_files(tmp_path):
        with pytest.raises(UsageError, match=reason):
            ingest(conn, path, **fields)
        conn.rollback()
        assert leftovers(conn) == before, path


def test_a_file_that_changes_during_the_load_is_not_stored(
    conn: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ingest.scene

    path = write_tiff(tmp_path / "x.tif", some_pixels())
    load = ingest.scene.load_raster

    def slow_load(*arguments: Any, **options: Any) -> Any:
        loaded = load(*arguments, **options)
        with path.open("ab") as stream:
            stream.write(b"more")
        return loaded

    monkeypatch.setattr(ingest.scene, "load_raster", slow_load)
    before = leftovers(conn)
    with pytest.raises(UsageError, match="changed while it was read"):
        ingest_scene(conn, source_file(path), Statement("gf2_pms", DAY, "scene"))
    conn.rollback()
    assert leftovers(conn) == before


def at_once(database_url: str, jobs: Sequence[Callable[[Connection[Any]], Any]]) -> list[Any]:
    """Run jobs on connections of their own, started together; results or exceptions, in order."""
    results: list[Any] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def work(index: int) -> None:
        with connect(database_url) as connection:
            barrier.wait()
            try:
                results[index] = jobs[index](connection)
                connection.commit()
            except Exception as error:
                connection.rollback()
                results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_two_ingests_of_one_file_at_once_store_it_once(database_url: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(4, 600, 600))
    results = at_once(database_url, [lambda conn: ingest(conn, path).is_new] * 3)
    assert sorted(results) == [False, False, True]
    with connect(database_url) as conn:
        assert len(list_scenes(conn)) == 1


def test_two_names_for_one_file_at_once_store_one(database_url: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(4, 600, 600))
    results = at_once(
        database_url,
        [lambda conn: ingest(conn, path, "a").is_new, lambda conn: ingest(conn, path, "b").is_new],
    )
    assert results.count(True) == 1
    assert sum(isinstance(result, UsageError) for result in results) == 1


def test_ingests_of_different_scenes_run_side_by_side(database_url: str, tmp_path: Path) -> None:
    paths = [write_tiff(tmp_path / f"{seed}.tif", some_pixels(4, 500, 500, seed=seed)) for seed in range(4)]
    jobs = [lambda conn, path=path: ingest(conn, path, path.stem).scene.version for path in paths]
    assert at_once(database_url, jobs) == [1, 1, 1, 1]


def test_waiting_for_another_ingest_is_said_and_ends(database_url: str, conn: Connection[Any]) -> None:
    hold(conn, "scene product x", pytest.fail)
    said: list[str] = []
    with connect(database_url) as other, pytest.raises(RetryError, match="scene product x"):
        hold(other, "scene product x", said.append, wait_s=1)
    assert said == ["another process works on scene product x: waiting for it"]


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
