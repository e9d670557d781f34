"""Products in the database: what must hold whatever a user asks for, on small made products."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import rasterio
import shapely
from affine import Affine
from psycopg.rows import TupleRow
from scipy import ndimage

from db.connection import connect
from db.errors import UsageError
from db.scenes import Scene, current_scene, list_scenes
from ingest.clouds import transformed
from ingest.files import source_file
from ingest.processing.treatment import Treatment
from ingest.product_scene import ingest_product
from ingest.products.gathering import gather
from ingest.products.recognition import read_product
from ingest.scene_store import SceneOutcome
from ingest.simulate.gaofen2 import Gaofen2Simulation, simulate_gaofen2
from tests.scenes import reflectance

Connection = psycopg.Connection[TupleRow]
ORIGIN = (500_000.0, 4_860_000.0)


def ground(rows: int = 160, columns: int = 180, seed: int = 0) -> np.ndarray:
    """Four bands of varied ground, reflectance."""
    random = np.random.default_rng(seed)
    forms = ndimage.gaussian_filter(random.normal(size=(rows, columns)), 3)
    forms = 0.2 + 0.05 * forms / forms.std() + 0.01 * random.normal(size=forms.shape)
    return np.stack([np.clip(forms * share, 0.01, 0.9) for share in (0.7, 0.9, 1.0, 1.4)])


def write_product(
    folder: Path,
    name: str,
    values: np.ndarray,
    *,
    extra: str = "",
    level: str = "surface_reflectance",
    nodata: float | None = None,
) -> Path:
    """A GeoTIFF with its description."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.tif"
    with rasterio.open(
        path, "w", driver="GTiff", dtype=values.dtype, count=len(values), height=values.shape[1],
        width=values.shape[2], crs="EPSG:32645", nodata=nodata,
        transform=Affine(2, 0, ORIGIN[0], 0, -2, ORIGIN[1]),
    ) as file:  # fmt: skip
        file.write(values)
    (folder / f"{name}.toml").write_text(
        f'sensor = "gf2_pms"\nacquired = 2022-07-14T05:15:10Z\nlevel = "{level}"\n'
        f'bands = ["blue", "green", "red", "nir"]\nsun_elevation_deg = 60\nsun_azimuth_deg = 150\n{extra}\n'
    )
    return path


def stored_as_ints(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 10_000).astype(np.uint16)


def bring(
    conn: Connection, url: str, path: Path, tmp_path: Path, name: str | None = None, **wishes: Any
) -> SceneOutcome:
    package = gather(str(path), (), tmp_path)
    outcome = ingest_product(
        conn, read_product(package), Treatment(**wishes), connect=lambda: connect(url),
        source_name=package.name, name=name, workspace=tmp_path,
    )  # fmt: skip
    conn.commit()
    return outcome


def test_a_products_mask_moves_with_its_pixels(conn: Connection, database_url: str, tmp_path: Path) -> None:
    whole = ground(220, 240)
    reference = stored_as_ints(whole[:, 10:170, 20:200])
    write_product(tmp_path / "a", "reference", reference, extra="scale = 0.0001")
    bring(conn, database_url, tmp_path / "a" / "reference.tif", tmp_path, clouds="none")
    # The same ground, but what lies at row 0 of the reference lies at row 6 here, and a cloud over it.
    moved = whole[:, 4:164, 29:209].copy()
    moved[:, 60:90, 40:80] = 0.7
    mask = np.zeros((1, 160, 180), np.uint8)
    mask[0, 60:90, 40:80] = 1
    path = write_product(
        tmp_path / "b", "cloudy", stored_as_ints(moved), extra='scale = 0.0001\ncloud_mask = "mask.tif"'
    )
    with rasterio.open(
        path.with_name("mask.tif"),
        "w",
        driver="GTiff",
        dtype="uint8",
        count=1,
        height=160,
        width=180,
        crs="EPSG:32645",
        transform=Affine(2, 0, ORIGIN[0], 0, -2, ORIGIN[1]),
    ) as file:
        file.write(mask)
    # Cloud goes six rows up and nine columns to the right of where the mask has it, as the pixels do.
    expected = np.zeros((160, 180), bool)
    expected[54:84, 49:89] = True
    scene = bring(conn, database_url, path, tmp_path, reference="reference", normalise="none").scene
    _, seen = reflectance(database_url, "cloudy")
    _, before = reflectance(database_url, "reference")
    assert scene.clouded is not None
    hidden = on_scene(scene, scene.clouded)
    assert np.count_nonzero(hidden ^ expected) < 0.06 * np.count_nonzero(expected)
    clear = ~ndimage.binary_dilation(expected, iterations=2) & np.isfinite(seen).all(axis=0)
    assert np.abs(seen - before)[:, clear].max() < 0.02
    # What is filled there is the reference's ground, not cloud.
    bring(conn, database_url, path, tmp_path, reference="reference", normalise="none", fill_clouds=True)
    _, filled = reflectance(database_url, "cloudy")
    assert np.abs(filled - before)[:, expected].max() < 0.05


def on_scene(scene: Scene, outline: shapely.Geometry) -> np.ndarray:
    grid = scene.grid
    moved = transformed(outline, 4326, grid.srid)
    transform = Affine(grid.resolution_x, 0, grid.origin_x, 0, -grid.resolution_y, grid.origin_y)
    burnt = rasterio.features.rasterize([(moved, 1)], (grid.height_px, grid.width_px), transform=transform)
    return np.asarray(burnt, bool)


def test_radiance_on_a_map_grid_becomes_reflectance(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    radiance = (ground() * 400).astype(np.float32)
    path = write_product(tmp_path / "p", "radiance", radiance, level="radiance")
    text = (
        path.with_suffix(".toml")
        .read_text()
        .replace(
            'bands = ["blue", "green", "red", "nir"]',
            "bands = ["
            + ", ".join(
                f'{{name = "{name}", common_name = "{name}", center_nm = {nm}, width_nm = 60, esun = 1500}}'
                for name, nm in (("blue", 485), ("green", 555), ("red", 660), ("nir", 830))
            )
            + "]",
        )
    )
    path.with_suffix(".toml").write_text(text)
    scene = bring(conn, database_url, path, tmp_path, clouds="none").scene
    assert scene.processing_level == "toa_reflectance"
    _, seen = reflectance(database_url, scene.product)
    # Pi L d^2 / (esun sin(elevation)), d = 1.0165 in mid July.
    expected = np.pi * radiance * 1.0165**2 / (1500 * np.sin(np.radians(60)))
    assert np.allclose(seen, expected, rtol=2e-3, atol=1e-4)


def test_numbers_that_are_none_have_no_data(conn: Connection, database_url: str, tmp_path: Path) -> None:
    values = ground().astype(np.float32)
    values[:, :20, :20] = np.nan
    values[:, 20:30, :20] = np.inf
    values[:, 30:40, :20] = -9999
    path = write_product(tmp_path / "p", "holes", values, nodata=-9999)
    scene = bring(conn, database_url, path, tmp_path, clouds="none").scene
    assert scene.valid_fraction == pytest.approx(1 - 40 * 20 / (160 * 180), abs=1e-6)
    _, seen = reflectance(database_url, scene.product)
    assert np.isnan(seen[:, :40, :20]).all()
    assert np.allclose(seen[:, 40:, :], values[:, 40:, :])


def test_a_mask_inside_the_file_counts(conn: Connection, database_url: str, tmp_path: Path) -> None:
    path = write_product(tmp_path / "p", "masked", stored_as_ints(ground()), extra="scale = 0.0001")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        mask = np.full((160, 180), 255, np.uint8)
        mask[:, :90] = 0
        file.write_mask(mask)
    with pytest.raises(UsageError, match="state nodata"):
        bring(conn, database_url, path, tmp_path, clouds="none")
    conn.rollback()
    toml = path.with_suffix(".toml")
    toml.write_text(toml.read_text() + "nodata = 0\n")
    scene = bring(conn, database_url, path, tmp_path, clouds="none").scene
    assert scene.valid_fraction == pytest.approx(0.5)


def test_levels_are_not_mixed(conn: Connection, database_url: str, tmp_path: Path) -> None:
    ints = stored_as_ints(ground())
    write_product(tmp_path / "a", "toa", ints, level="toa_reflectance", extra="scale = 0.0001")
    write_product(tmp_path / "b", "surface", ints + 1, extra="scale = 0.0001")
    bring(conn, database_url, tmp_path / "a", tmp_path, clouds="none")
    with pytest.raises(UsageError, match="would be surface_reflectance, and the reference toa holds toa_"):
        bring(conn, database_url, tmp_path / "b", tmp_path, clouds="none", reference="toa")
    conn.rollback()
    bring(conn, database_url, tmp_path / "b", tmp_path, clouds="none", reference="toa", normalise="none")


@pytest.mark.parametrize(
    ("extra", "wishes", "said"),
    [
        ("", {"clouds": "product"}, "has no cloud mask of its own"),
        ("", {"pansharpen": "brovey"}, "leave --pansharpen out"),
        ("", {"resolution_m": 4.0}, "leave --resolution out"),
        ("", {"calibrate": False}, "leave --level digital_number out"),
        ("", {"aerosol_optical_depth": 0.2}, "--aot is for --atmosphere 6s"),
        ("", {"height_m": -50_000.0}, "no ground lies there"),
    ],
)
def test_wishes_without_effect_are_refused(
    conn: Connection, database_url: str, tmp_path: Path, extra: str, wishes: dict[str, Any], said: str
) -> None:
    write_product(tmp_path / "a", "plain", stored_as_ints(ground()), extra=f"scale = 0.0001\n{extra}")
    with pytest.raises(UsageError, match=said):
        bring(conn, database_url, tmp_path / "a", tmp_path, **wishes)


def test_days_that_cannot_be(conn: Connection, database_url: str, tmp_path: Path) -> None:
    path = write_product(tmp_path / "a", "plain", stored_as_ints(ground()), extra="scale = 0.0001")
    toml = path.with_suffix(".toml")
    text = toml.read_text()
    for day in ("2999-01-01", "0001-01-01T00:00:00+23:00", "1960-01-01"):
        toml.write_text(text.replace("2022-07-14T05:15:10Z", day))
        with pytest.raises(UsageError, match="cannot be"):
            bring(conn, database_url, path, tmp_path)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Gaofen2Simulation:
    return simulate_gaofen2(tmp_path_factory.mktemp("gaofen2"), seed=2, side_px=500)


def test_parts_stand_beside_each_other_and_copies_do_not(
    conn: Connection, database_url: str, tmp_path: Path, simulation: Gaofen2Simulation
) -> None:
    package = simulation.packages[0]
    bring(conn, database_url, package.folder, tmp_path)
    pan = bring(conn, database_url, package.folder, tmp_path, role="panchromatic")
    assert pan.replaced_version is None
    assert pan.scene.product == f"{package.product}-panchromatic"
    assert {scene.sensor for scene in list_scenes(conn)} == {"gf2_pms", "gf2_pan"}
    # A part never supersedes another kind of scene.
    with pytest.raises(UsageError, match="another kind of scene"):
        bring(conn, database_url, package.folder, tmp_path, package.product, role="panchromatic")
    conn.rollback()
    # The same files elsewhere are the same content: not twice under two names, and no new version.
    copy = tmp_path / "copy" / "deeper"
    copy.mkdir(parents=True)
    for file in package.folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UsageError, match="this very content is in the database already"):
        bring(conn, database_url, tmp_path / "copy", tmp_path, "second")
    conn.rollback()
    assert not bring(conn, database_url, tmp_path / "copy", tmp_path).is_new
    found = current_scene(conn, package.product)
    assert found is not None
    assert found.version == 1


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"resolution_m": 0.0001}, "choose --resolution between"),
        ({"resolution_m": 1e9}, "choose --resolution between"),
        ({"reference": "gf", "pansharpen": "brovey"}, "too coarse to show what sharpening adds"),
    ],
)
def test_grids_that_make_no_sense(
    conn: Connection,
    database_url: str,
    tmp_path: Path,
    simulation: Gaofen2Simulation,
    wishes: dict[str, Any],
    said: str,
) -> None:
    bring(conn, database_url, simulation.packages[0].folder, tmp_path, "gf", clouds="none")
    with pytest.raises(UsageError, match=said):
        bring(conn, database_url, simulation.packages[1].folder, tmp_path, **wishes)


def test_elevation_models_that_are_none(
    conn: Connection, database_url: str, tmp_path: Path, simulation: Gaofen2Simulation
) -> None:
    with rasterio.open(simulation.terrain) as file:
        heights, profile = file.read(), file.profile
    for name, change, said in (
        ("hole", lambda a: np.where(a > np.median(a), np.float32(-9999), a), "no elevations"),
        ("bands", lambda a: np.concatenate([a, a]), "has 2 bands"),
        ("feet", lambda a: a * 3.28084, "are the heights in metres"),
    ):
        values = change(heights)
        with rasterio.open(tmp_path / f"{name}.tif", "w", **{**profile, "count": len(values)}) as file:
            file.write(values.astype(np.float32))
        with pytest.raises(UsageError, match=said):
            bring(
                conn, database_url, simulation.packages[0].folder, tmp_path,
                terrain=source_file(tmp_path / f"{name}.tif"),
            )  # fmt: skip
        conn.rollback()


def test_an_overcast_scene_leaves_nothing_observed(
    conn: Connection, database_url: str, tmp_path: Path
) -> None:
    """Edges of the outline follow the scene's: straight in one CRS, they are curves in the other."""
    values = np.random.default_rng(0).integers(2000, 5000, (4, 120, 120), np.uint16)
    path = write_product(tmp_path / "a", "grey", values, extra='scale = 0.0001\ncloud_mask = "mask.tif"')
    for name, count in (("grey.tif", 4), ("mask.tif", 1)):
        with rasterio.open(
            path.with_name(name),
            "w",
            driver="GTiff",
            dtype="uint16" if count == 4 else "uint8",
            count=count,
            height=120,
            width=120,
            crs="EPSG:32645",
            transform=Affine(900, 0, 300_000, 0, -900, 5_600_000),
        ) as file:
            file.write(values if count == 4 else np.full((1, 120, 120), 255, np.uint8))
    scene = bring(conn, database_url, path, tmp_path).scene
    assert scene.cloud_fraction == 1
    assert scene.clouded is not None
    assert shapely.difference(scene.footprint, scene.clouded).area < 1e-6 * scene.footprint.area
