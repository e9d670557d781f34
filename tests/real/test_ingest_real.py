"""Files that nobody here made: odd rasters, real scenes, real polygons."""

from __future__ import annotations

import subprocess
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from rasterio.features import rasterize

from db.errors import UsageError
from db.labels import labels_of_scene
from db.scenes import Scene, list_scenes, open_scene, scene_by_product
from ingest.crs import file_crs
from ingest.declaration import Statement
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.ground import ingest_geology, ingest_mines
from ingest.labels import ingest_labels
from ingest.opening import ENVIRONMENT
from ingest.requests import FeatureOutcome, FeatureRequest
from ingest.scene import SceneOutcome, ingest_scene
from tests.conftest import RunLode
from tests.db.ingested_scenes import leftovers
from tests.support import test_data as data

KEPT, TURNED, WARPED = "kept", "turned", "warped"

# What becomes of each file: stored as it is, turned, warped, or refused with a reason.
TORTURE = {
    "geotiff-test-data/GeogToWGS84GeoKey5.tif": "numbers of a colour table",
    "geotiff-test-data/gadas-world.tif": "no coordinate reference system",
    "geotiff-test-data/gfw-azores.tif": "too wide for one UTM zone",
    "geotiff-test-data/gpm_1d.20240617.tif": "too wide for one UTM zone",
    "geotiff-test-data/no_pixelscale_or_tiepoints.tiff": WARPED,
    "geotiff-test-data/nt_20201024_f18_nrt_s.tif": "datum .* is unknown",
    "geotiff-test-data/umbra_mount_yasur.tiff": "needs a value for pixels without data",
    "geotiff-test-data/utm.tif": "numbers of a colour table",
    "geotiff-test-data/wind_direction.tif": "too wide for one UTM zone",
    "node-gdal-async/dem_azimuth50_pa.img": "not a TIFF",
    "node-gdal-async/huge-sparse.tiff": "times its size",
    "node-gdal-async/multiband.tif": KEPT,
    "node-gdal-async/natural_earth.tif": "more than half the Earth",
    "node-gdal-async/sample.vrt": "a GDAL virtual raster",
    "node-gdal-async/sample_bigtiff.tif": "is not georeferenced",
    "node-gdal-async/sample_deflate.tif": KEPT,
    "node-gdal-async/sample_jpeg.tif": KEPT,
    "node-gdal-async/sample_warped.tif": "is constant",
    "node-gdal-async/test_with_mask_1bit.tif": "is not georeferenced",
    "node-gdal-async/truncated.tiff": "is not georeferenced",
    "node-gdal-async/unsupported-srs.tif": "no coordinate reference system|cannot be read",
    "postgis/Projected.tif": "too wide for one UTM zone",
    "postgis/SourceOverview.tif": "no coordinate reference system",
    "postgis/testraster.tif": "is not georeferenced",
    "postgis/testraster2.tif": WARPED,
    "rasterio/389225main_sw_1965_1024.jpg": "a JPEG image",
    "rasterio/RGB.byte.gcp.vrt": "a GDAL virtual raster",
    "rasterio/RGB.byte.rpc.vrt": "a GDAL virtual raster",
    "rasterio/RGB.byte.tif": KEPT,
    "rasterio/RGB.byte.tif.aux.xml": "XML or HTML",
    "rasterio/RGB2.byte.tif": "datum .* is unknown",
    "rasterio/RGB2.byte.tif.msk": "is not georeferenced",
    "rasterio/RGBA.uint16.tif": "is constant",
    "rasterio/all-nodata.tif": "nothing observed",
    "rasterio/alpha.tif": KEPT,
    "rasterio/byte.tif": KEPT,
    "rasterio/cogeo.tif": KEPT,
    "rasterio/corrupt.tif": "cannot be read; it is damaged",
    "rasterio/float.tif": "no coordinate reference system",
    "rasterio/float32.tif": "no coordinate reference system",
    "rasterio/float_nan.tif": "no coordinate reference system",
    "rasterio/float_raster_with_extra_nodata.tif": "datum .* is unknown",
    "rasterio/float_raster_with_nodata.tif": "datum .* is unknown",
    "rasterio/goes.tif": "datum .* is unknown",
    "rasterio/green.tif": "too wide for one UTM zone",
    "rasterio/green.tif.ovr": "is not georeferenced",
    "rasterio/rgb1_fake_nir_epsg3857.tif": KEPT,
    "rasterio/rgb_deflate.tif": KEPT,
    "rasterio/rgb_lzw.tif": KEPT,
    "rasterio/rotated.tif": "no coordinate reference system",
    "rasterio/shade.tif": "is constant",
    "rasterio/test_esri_wkt.tif": KEPT,
    "rasterio/world.byte.tif": "too wide for one UTM zone",
}


def ingest(conn: Connection[Any], path: Path, product: str, **fields: Any) -> SceneOutcome:
    stated = {"sensor": "sentinel2_msi", "acquired_on": date(2021, 6, 19), "product": product} | fields
    return ingest_scene(conn, source_file(path), Statement(**stated))


def pixels_of(conn: Connection[Any], scene: Scene) -> np.ndarray:
    pixels: np.ndarray = open_scene(conn, scene).read(0, 0, scene.grid.height_px, scene.grid.width_px)
    return pixels


def band_count(path: Path) -> int:
    """Bands of a raster, 1 for what is none."""
    with warnings.catch_warnings(), rasterio.Env(**ENVIRONMENT):
        warnings.simplefilter("ignore")
        try:
            with rasterio.open(path) as dataset:
                return int(dataset.count)
        except rasterio.errors.RasterioError:
            return 1


def test_every_odd_raster_is_stored_whole_or_refused(conn: Connection[Any]) -> None:
    folder = data("torture_rasters")
    texts = (".md", ".rst", ".txt", "LICENSE")
    found = {str(path.relative_to(folder)) for path in folder.glob("*/*") if not path.name.endswith(texts)}
    assert found == set(TORTURE)
    for name, expected in TORTURE.items():
        before = leftovers(conn)
        bands = tuple(f"V{band:03d}" for band in range(1, band_count(folder / name) + 1))
        said = {"sensor": "zy1_02d_ahsi", "bands": bands}
        if expected not in (KEPT, TURNED, WARPED):
            with pytest.raises(UsageError, match=expected):
                ingest(conn, folder / name, name, **said)
            conn.rollback()
            assert leftovers(conn) == before, name
            continue
        outcome = ingest(conn, folder / name, name, **said)
        conn.commit()
        stored = pixels_of(conn, outcome.scene)
        kinds = {step["step"] for step in outcome.scene.steps}
        assert (WARPED in kinds, TURNED in kinds) == (expected == WARPED, expected == TURNED), name
        with rasterio.Env(**ENVIRONMENT), rasterio.open(folder / name) as dataset:
            source = dataset.read()
        if expected == KEPT:
            assert np.array_equal(stored, source), name
        else:
            values = set(np.unique(source[np.isfinite(source)]))
            assert set(np.unique(stored[np.isfinite(stored)])) <= values, name
        assert outcome.scene.footprint.is_valid
        assert 0 < outcome.scene.valid_fraction <= 1


def test_a_rotated_radar_scene_is_warped_once_a_value_is_given_up(conn: Connection[Any]) -> None:
    path = data("torture_rasters/geotiff-test-data/umbra_mount_yasur.tiff")
    outcome = ingest(conn, path, "umbra", sensor="gf2_pan", nodata=0.0)
    grid = outcome.scene.grid
    assert (grid.srid, grid.resolution_x) == (32759, 0.59)
    assert any("its grid is rotated: warped to EPSG:32759" in note for note in outcome.notes)
    with rasterio.open(path) as dataset:
        corners = [dataset.transform @ corner for corner in ((0, 0), (2000, 0), (2000, 2000), (0, 2000))]
        source = dataset.read(1)
    filled = shapely.Polygon(corners).area / grid.resolution_x**2 * (source != 0).mean()
    assert outcome.scene.valid_fraction * grid.width_px * grid.height_px == pytest.approx(filled, rel=0.005)


SCENES = {"20210619": 0.0, "20220719": -1000.0, "20230301": -1000.0}


def test_strzegom(conn: Connection[Any], tmp_path: Path) -> None:
    folder = data("strzegom")
    classes = tmp_path / "classes.toml"
    classes.write_text(
        'ignore = [0]\n[classes]\n1 = "vegetation"\n2 = "vegetation"\n3 = "living_area"\n4 = "vegetation"\n'
        '5 = "background"\n6 = "vegetation"\n7 = "industrial_square"\n8 = "water"\n9 = "vegetation"\n'
        '10 = "open_pit"\n'
    )
    codes = np.array([255, 1, 1, 3, 1, 0, 1, 4, 2, 1, 6], np.uint8)
    to_wgs84 = file_crs("EPSG:32633", "x").to_wgs84()
    for day, offset in SCENES.items():
        name = f"strzegom_{day}_33u"
        acquired_on = date(int(day[:4]), int(day[4:6]), int(day[6:]))
        path = folder / "scenes" / f"{name}.tif"
        outcome = ingest(conn, path, name, acquired_on=acquired_on, value_offset=offset, nodata=0.0)
        scene = outcome.scene
        assert scene.band_names == ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
        assert (scene.grid.srid, scene.grid.origin_x, scene.grid.origin_y) == (32633, 585420, 5652250)
        with rasterio.open(path) as dataset:
            assert np.array_equal(pixels_of(conn, scene), dataset.read())
        assert not any("warning" in note for note in outcome.notes)
        # Labels burnt into the scene's grid are the label raster, pixel by pixel.
        label_path = folder / "labels" / f"{name}.tif"
        ingest_labels(
            conn,
            FeatureRequest(source_file(label_path)),
            LabelRequest(product=name, classes_file=source_file(classes)),
        )
        grid = scene.grid
        shapes = [
            (
                shapely.transform(
                    label.geometry,
                    lambda xy: np.column_stack(to_wgs84.transform(xy[:, 0], xy[:, 1], direction="INVERSE")),
                ),
                label.land_class_code,
            )
            for label in labels_of_scene(conn, scene.scene_id)
        ]
        with rasterio.open(label_path) as dataset:
            values, transform = dataset.read(1).astype(int), dataset.transform
        burnt = rasterize(
            shapes, (grid.height_px, grid.width_px), fill=255, transform=transform, dtype="uint8"
        )
        assert np.array_equal(burnt, codes[values])
    mines = ingest_mines(conn, FeatureRequest(source_file(folder / "mines.geojson")))
    assert mines.stored == 8
    conn.commit()
    assert len(list_scenes(conn)) == 3


def test_strzegoms_trap_is_seen(conn: Connection[Any]) -> None:
    """2021 has no offset, 2022 has one: neither can be mistaken for the other without a word."""
    early = data("strzegom/scenes/strzegom_20210619_33u.tif")
    late = data("strzegom/scenes/strzegom_20220719_33u.tif")
    with pytest.raises(UsageError, match="--offset 0"):
        ingest(conn, early, "a", value_offset=-1000.0)
    with pytest.raises(UsageError, match="--offset -1000"):
        ingest(conn, late, "b", acquired_on=date(2022, 7, 19))
    outcome = ingest(conn, late, "b", acquired_on=date(2022, 7, 19), value_offset=0.0)
    assert any("offset of 1000 is still in the values" in note for note in outcome.notes)


def test_gdal_reads_the_pixels_of_the_file(run_lode: RunLode, database_url: str) -> None:
    path = data("strzegom/scenes/strzegom_20210619_33u.tif")
    done = run_lode("ingest", "scene", path, "--sensor", "sentinel2_msi", "--acquired-on", "2021-06-19")
    assert done.returncode == 0, done.stderr
    table = f"PG:{_keywords(database_url)} schema=lode_raster table=scene_1 mode=2"

    def checksums(source: str) -> list[str]:
        told = subprocess.run(
            ["gdalinfo", "-checksum", source], check=True, capture_output=True, text=True, timeout=60
        )
        return [line.strip() for line in told.stdout.splitlines() if "Checksum=" in line]

    assert len(checksums(str(path))) == 10
    assert checksums(table) == checksums(str(path))


def _keywords(url: str) -> str:
    parts = conninfo_to_dict(url)
    return " ".join(f"{key}='{parts[key]}'" for key in ("host", "port", "user", "dbname") if key in parts)


def test_overlapping_geographic_scenes_share_pixels(conn: Connection[Any]) -> None:
    """Two scenes of one zone, warped apart from each other, show the same ground in the same pixels."""
    folder = data("brazil_tailings/scenes")
    stored = {}
    for number in (12, 14):
        outcome = ingest(conn, folder / f"img_{number}.tif", f"img_{number}")
        scene = outcome.scene
        assert scene.band_names == ("B02", "B03", "B04")
        assert scene.grid.srid == 32721
        assert (scene.grid.resolution_x, scene.grid.origin_x % 10, scene.grid.origin_y % 10) == (10, 0, 0)
        stored[number] = (scene.grid, pixels_of(conn, scene))
    (first, left), (second, right) = stored[12], stored[14]
    col = round((second.origin_x - first.origin_x) / 10)
    row = round((first.origin_y - second.origin_y) / 10)
    height = min(first.height_px - max(row, 0), second.height_px - max(-row, 0))
    width = min(first.width_px - max(col, 0), second.width_px - max(-col, 0))
    assert height > 100
    assert width > 100
    a = left[:, max(row, 0) :, max(col, 0) :][:, :height, :width]
    b = right[:, max(-row, 0) :, max(-col, 0) :][:, :height, :width]
    both = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    assert both.sum() > 10_000
    # The file's own grids are a fraction of a pixel apart, so a neighbour may be taken at the border.
    assert np.isclose(a[:, both], b[:, both]).all(axis=0).mean() > 0.6


def labels(conn: Connection[Any], path: Path, about: dict[str, Any], **request: Any) -> FeatureOutcome:
    return ingest_labels(conn, FeatureRequest(source_file(path), **request), LabelRequest(**about))


def area_ha(conn: Connection[Any], table: str) -> float:
    row = conn.execute(f"select sum(st_area(geom::geography)) / 1e4 from lode.{table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return float(row[0])


def test_brumadinho(conn: Connection[Any]) -> None:
    path = data("brumadinho/brumadinho_damage_extent.zip")
    about = {"class_name": "尾矿库", "valid_on": date(2019, 1, 27)}
    assert labels(conn, path, about).stored == 1
    assert area_ha(conn, "label") == pytest.approx(244.7, rel=0.005)
    loose = data("brumadinho/brumadinho_damage_extent.shp")
    assert labels(conn, loose, about).stored == 1
    assert conn.execute("select count(distinct st_asbinary(geom)) from lode.label").fetchone() == (1,)


def test_amazon(conn: Connection[Any]) -> None:
    folder = data("amazon_mining_watch")
    pits = {"class_name": "open_pit"}
    stored = labels(conn, folder / "mining_201800_simplified.geojson", pits | {"valid_on": date(2018, 7, 1)})
    assert stored.stored == 5444
    assert area_ha(conn, "label") == pytest.approx(963_020, rel=2e-3)
    # The codes of the year column (201800) are no years.
    with pytest.raises(UsageError, match="201900 in column 'year' is no day or year"):
        labels(conn, folder / "mining_201900_simplified.geojson", pits)
    invalid = folder / "amazon_basin_2019diff_unsimplified_with_invalid_rings.geojson"
    about = pits | {"valid_on": date(2019, 7, 1)}
    with pytest.raises(UsageError, match=r"89 of 5970 features .*Ring Self-intersection"):
        labels(conn, invalid, about)
    outcome = labels(conn, invalid, about, repair=True)
    assert (outcome.stored, outcome.repaired) == (5970, 89)
    dated = labels(conn, folder / "mining_ghana_ashanti_2017-2020.geojson", pits)
    assert dated.stored == 407
    years = dict(
        conn.execute("select extract(year from valid_on)::integer, count(*) from lode.label group by 1")
    )
    assert years[2018] == 5444
    assert years[2019] == 5970
    assert years[2017] + years[2020] == 407


def test_swiss(conn: Connection[Any], tmp_path: Path) -> None:
    path = data("swiss_disturbed_land/sda/sda_ground_truth.gpkg")
    classes = tmp_path / "classes.toml"
    classes.write_text('[classes]\n"Site d\'extraction" = "open_pit"\n')
    about = {"classes_file": source_file(classes)}
    fields = {"class": "SousClasse"}
    with pytest.raises(UsageError, match=r"'Dépot de matériel' \(23 times\)"):
        labels(conn, path, about, fields=fields, repair=True)
    only = (("SousClasse", "Site d'extraction"),)
    with pytest.raises(UsageError, match="has Z values"):
        labels(conn, path, about, fields=fields, only=only)
    outcome = labels(conn, path, about, fields=fields, only=only, repair=True)
    assert (outcome.stored, outcome.repaired) == (89, 89)
    row = conn.execute("select min(st_xmin(geom)), max(st_ymax(geom)) from lode.label").fetchone()
    assert row is not None
    assert row[0] > 5.9
    assert row[1] < 47.9
    footprints = data("swiss_disturbed_land/footprints")
    for year, srid in ((2015, 21781), (2017, 2056)):
        found = footprints / f"swissimage_footprint_{year}.shp"
        assert file_crs(found.with_suffix(".prj").read_text(), "x").srid == srid
        labels(conn, found, {"class_name": "background", "valid_on": date(year, 7, 1)})


def test_bedrock(conn: Connection[Any]) -> None:
    path = data("bc_bedrock/BedrockP.shp")
    request = FeatureRequest(
        source_file(path),
        fields={"name": "strat_name", "lithology": "rock_type", "age": "strat_age"},
        only=(("rock_class", "intrusive rocks"),),
    )
    assert ingest_geology(conn, "plutons", request).stored == 455
    assert conn.execute(
        "select count(*) from lode.pluton where lithology = 'granodioritic intrusive rocks'"
    ).fetchone() == (147,)
    with pytest.raises(UsageError, match=r"1596 of 1596 features .* is a Polygon, where lines are expected"):
        ingest_geology(conn, "faults", FeatureRequest(source_file(path)))


def test_a_user_would_type(run_lode: RunLode, conn: Connection[Any]) -> None:
    folder = data("strzegom")
    name = "strzegom_20220719_33u"
    scene = ("ingest", "scene", folder / "scenes" / f"{name}.tif", "--sensor", "sentinel2_msi")
    refused = run_lode(*scene, "--acquired-on", "2022-07-19")
    assert refused.returncode == 1
    assert "--offset -1000" in refused.stderr
    done = run_lode(*scene, "--acquired-on", "2022-07-19", "--offset", "-1000")
    assert done.returncode == 0, done.stderr
    assert "surface_reflectance = (stored -1000) * 0.0001" in done.stdout
    mines = run_lode("ingest", "mines", folder / "mines.geojson")
    assert mines.stdout == "stored 8 mines, 0 updated, 0 unchanged, 0 repaired (mines.geojson)\n"
    assert scene_by_product(conn, name).value_offset == -1000
