"""Three years of simulated Gaofen-2 packages, brought in as a user types it, against what is true of them."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.warp import Resampling, reproject, transform_geom

from db.connection import connect
from db.embedded import Cluster
from db.raster.grid import Grid
from db.scenes import Scene
from ingest.simulate.gaofen2 import Gaofen2Simulation, SimulatedPackage, simulate_gaofen2
from tests.conftest import copied_database
from tests.e2e.conftest import lode
from tests.scenes import reflectance

SIDE_PX = 900
YEARS = (2021, 2022, 2023)
BANDS = ("blue", "green", "red", "nir")

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Years:
    """A database with the three scenes, those of 2022 and 2023 fitted to that of 2021, and the truth."""

    url: str
    simulation: Gaofen2Simulation
    scenes: dict[int, Scene]
    pixels: dict[int, FloatArray]

    def package(self, year: int) -> SimulatedPackage:
        return next(each for each in self.simulation.packages if each.year == year)


def on_grid(path: Path, grid: Grid, *, band: int | None = None, mode: Resampling = Resampling.average) -> Any:
    """A truth map on the pixels of a scene."""
    with rasterio.open(path) as source:
        data = source.read() if band is None else source.read(band)
        out = np.full((*data.shape[:-2], grid.height_px, grid.width_px), np.nan, np.float32)
        reproject(
            data.astype(np.float32),
            out,
            src_transform=source.transform,
            src_crs=source.crs,
            dst_transform=affine_of(grid),
            dst_crs=f"EPSG:{grid.srid}",
            resampling=mode,
            dst_nodata=np.nan,
        )
    return out


def affine_of(grid: Grid) -> Affine:
    return Affine(grid.resolution_x, 0, grid.origin_x, 0, -grid.resolution_y, grid.origin_y)


def step(scene: Scene, name: str) -> dict[str, Any]:
    [found] = [each for each in scene.steps if each.get("step") == name]
    return dict(found)


def blocks(image: FloatArray, size: int) -> FloatArray:
    """Means of square blocks; NaN where a pixel has no data."""
    rows, columns = image.shape[-2] // size * size, image.shape[-1] // size * size
    cut = image[..., :rows, :columns]
    parts = cut.reshape(*image.shape[:-2], rows // size, size, columns // size, size)
    means: FloatArray = parts.mean(axis=(-3, -1))
    return means


@pytest.fixture(scope="module")
def years(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Years]:
    simulation = simulate_gaofen2(tmp_path_factory.mktemp("gaofen2"), seed=11, side_px=SIDE_PX)
    with copied_database(cluster, template_database) as url:
        lode(url, "ingest", "calibration", simulation.calibration)
        dem = ("--dem", simulation.terrain)
        first, *others = simulation.packages
        lode(url, "ingest", "scene", first.folder, *dem)
        for package in others:
            lode(url, "ingest", "scene", package.folder, *dem, "--reference", first.product)
        scenes, pixels = {}, {}
        for package in simulation.packages:
            scenes[package.year], pixels[package.year] = reflectance(url, package.product)
        yield Years(url, simulation, scenes, pixels)


def test_reflectance_is_the_planted_one(years: Years) -> None:
    scene, seen = years.scenes[2021], years.pixels[2021]
    assert scene.band_names == BANDS
    assert scene.processing_level == "toa_reflectance"
    truth = on_grid(years.package(2021).reflectance, scene.grid) / 10_000
    valid = np.isfinite(seen).all(axis=0)
    assert 0.5 < valid.mean() < 0.9
    for band in range(4):
        ratio = seen[band][valid] / truth[band][valid]
        assert abs(np.median(ratio) - 1) < 0.005
        # Pixel by pixel the two differ by resampling and noise; means of 16 m do not.
        coarse = blocks(np.where(valid, seen[band], np.nan), 5) / blocks(truth[band], 5)
        assert np.nanquantile(np.abs(coarse - 1), 0.9) < 0.02


def test_facts_of_the_acquisition(years: Years) -> None:
    for year, scene in years.scenes.items():
        acquired = scene.acquisition
        assert acquired.acquired_at is not None
        assert acquired.acquired_at.isoformat()[:16] in {
            2021: "2021-07-18T05:12", 2022: "2022-07-14T05:15", 2023: "2023-07-21T05:09",
        }[year]  # fmt: skip
        assert acquired.sun_elevation_deg == pytest.approx(65, abs=3)
        assert acquired.view_zenith_deg is not None
        assert acquired.view_zenith_deg < 10
        assert len(scene.parts) == 6
        assert all(len(part["sha256"]) == 64 for part in scene.parts)
        assert {each["step"] for each in scene.steps} >= {"calibrated", "orthorectified", "clouds"}


@pytest.mark.parametrize("year", [2022, 2023])
def test_registered_within_half_a_pixel(years: Years, year: int) -> None:
    registered = step(years.scenes[year], "registered")
    pixel_m = years.scenes[year].grid.resolution_x
    east_m, north_m = years.package(year).bias_m
    assert registered["moved"]
    assert registered["d_col_px"] * pixel_m == pytest.approx(east_m, abs=0.5 * pixel_m)
    assert -registered["d_row_px"] * pixel_m == pytest.approx(north_m, abs=0.5 * pixel_m)
    assert registered["rmse_px"] < 0.5


@pytest.mark.parametrize("year", [2022, 2023])
def test_clouds_are_found_and_bright_ground_is_kept(years: Years, year: int) -> None:
    scene, seen = years.scenes[year], years.pixels[year]
    truth = on_grid(years.package(year).clouds, scene.grid, band=1, mode=Resampling.nearest)
    valid = np.isfinite(seen).all(axis=0)
    assert scene.clouded is not None
    outline = transform_geom("EPSG:4326", f"EPSG:{scene.grid.srid}", scene.clouded.__geo_interface__)
    found = rasterize([(outline, 1)], truth.shape, transform=affine_of(scene.grid)).astype(bool)
    hidden = (truth > 0) & valid
    cloud = (truth == 1) & valid
    recall = np.count_nonzero(found & cloud) / np.count_nonzero(cloud)
    both = np.count_nonzero(found & hidden)
    recall_of_both, precision = both / np.count_nonzero(hidden), both / np.count_nonzero(found & valid)
    print(f"{year}: cloud {recall:.3f}, cloud or shadow {recall_of_both:.3f}, precision {precision:.3f}")
    assert recall >= 0.9
    assert precision >= 0.8
    # The truth counts shade of one sixteenth as shadow, which hides nothing.
    assert recall_of_both >= 0.85


def test_unchanged_ground_is_alike_and_change_stays(years: Years) -> None:
    base, seen = years.scenes[2021], years.pixels[2021]
    for year in (2022, 2023):
        scene, other = years.scenes[year], years.pixels[year]
        rows, columns, other_rows, other_columns = common(base.grid, scene.grid)
        one, two = seen[:, rows, columns], other[:, other_rows, other_columns]
        same = on_grid(years.simulation.unchanged, base.grid, band=1)[rows, columns] > 0.99
        hidden = on_grid(years.package(year).clouds, base.grid, band=1)[rows, columns] > 0
        valid = np.isfinite(one).all(axis=0) & np.isfinite(two).all(axis=0) & ~hidden
        for band in range(4):
            a, b = (np.where(valid & same, image[band], np.nan) for image in (one, two))
            difference = blocks(b, 3) / blocks(a, 3) - 1
            assert abs(np.nanmean(difference)) < 0.02, (year, BANDS[band])
            assert np.nanmedian(np.abs(difference)) < 0.02, (year, BANDS[band])
    # Change between the truth of both years is found again as it is, in the light of the first.
    truth = [on_grid(years.package(y).reflectance, base.grid)[:, rows, columns] / 1e4 for y in (2021, 2023)]
    changed = on_grid(years.simulation.changed, base.grid, band=1)[rows, columns] > 0.99
    for band in range(4):
        line = np.polyfit(truth[1][band][valid & same], truth[0][band][valid & same], 1)
        planted = np.polyval(line, truth[1][band]) - truth[0][band]
        large = valid & changed & (np.abs(planted) > 0.03)
        assert np.count_nonzero(large) > 100
        kept = np.median((two[band] - one[band])[large] / planted[large])
        assert kept == pytest.approx(1, abs=0.1)


def common(one: Grid, other: Grid) -> tuple[slice, slice, slice, slice]:
    """Rows and columns that two grids share, in each; they must share pixels."""
    col = (other.origin_x - one.origin_x) / one.resolution_x
    row = (one.origin_y - other.origin_y) / one.resolution_y
    assert abs(col - round(col)) < 0.01
    assert abs(row - round(row)) < 0.01
    d_row, d_col = round(row), round(col)
    height = min(one.height_px, d_row + other.height_px) - max(0, d_row)
    width = min(one.width_px, d_col + other.width_px) - max(0, d_col)
    top, left = max(0, d_row), max(0, d_col)
    return (
        slice(top, top + height),
        slice(left, left + width),
        slice(top - d_row, top - d_row + height),
        slice(left - d_col, left - d_col + width),
    )


def test_the_same_package_again_changes_nothing(years: Years) -> None:
    package = years.package(2021)
    done = lode(years.url, "ingest", "scene", package.folder, "--dem", years.simulation.terrain)
    assert "nothing was changed" in done.stdout


def test_clouds_are_filled_from_an_archive(years: Years, database_url: str, tmp_path: Path) -> None:
    package = years.package(2022)
    archive = tmp_path / f"{package.product}.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(package.folder, package.product)
    clear = years.package(2021)
    dem = ("--dem", years.simulation.terrain)
    lode(database_url, "ingest", "scene", clear.folder, *dem)
    lode(
        database_url, "ingest", "scene", archive, "--dem", years.simulation.terrain, "--product", "filled",
        "--reference", years.package(2021).product, "--fill-clouds",
    )  # fmt: skip
    scene, filled = reflectance(database_url, "filled")
    assert scene.filled is not None
    assert scene.clouded is not None
    assert scene.filled.difference(scene.clouded.buffer(1e-7)).area < 1e-3 * scene.filled.area
    # Filled pixels look like the ground of the clear date, but count as not observed.
    base = years.scenes[2021]
    rows, columns, other_rows, other_columns = common(base.grid, scene.grid)
    hidden = on_grid(package.clouds, base.grid, band=1, mode=Resampling.nearest)[rows, columns] == 1
    one, two = years.pixels[2021][:, rows, columns], filled[:, other_rows, other_columns]
    inside = hidden & np.isfinite(one).all(axis=0) & np.isfinite(two).all(axis=0)
    assert np.median(np.abs(two - one)[:, inside]) < 0.01
    assert scene.cloud_fraction is not None
    assert scene.cloud_fraction > 0.05


def test_sharpened_pixels_are_nearer_the_truth(years: Years, database_url: str) -> None:
    product = years.package(2021).product
    base = years.scenes[2021]
    lode(
        database_url, "ingest", "scene", years.package(2021).folder, "--dem", years.simulation.terrain,
        "--pansharpen", "gram-schmidt",
    )  # fmt: skip
    scene, sharp = reflectance(database_url, product)
    assert scene.grid.resolution_x == pytest.approx(0.8)
    truth = on_grid(years.package(2021).reflectance, scene.grid, mode=Resampling.bilinear) / 1e4
    coarse = on_grid(years.package(2021).reflectance, base.grid)
    assert np.nanmean(sharp[1] / truth[1]) == pytest.approx(1, abs=0.01)
    up = np.kron(coarse[1] / 1e4, np.ones((4, 4), np.float32))
    size = (min(up.shape[0], sharp.shape[1]), min(up.shape[1], sharp.shape[2]))
    error = np.nanmean(np.abs(sharp[1] - truth[1])[: size[0], : size[1]])
    assert error < 0.8 * np.nanmean(np.abs(up[: size[0], : size[1]] - truth[1][: size[0], : size[1]]))


def spoiled(package: SimulatedPackage, folder: Path) -> Path:
    copy = folder / package.product
    shutil.copytree(package.folder, copy)
    return copy


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("image missing", "the image (.tiff)"),
        ("image empty", "the image is empty (0 bytes)"),
        ("polynomials missing", "the rational polynomials (.rpb)"),
        ("polynomials of another scene", "belongs to another"),
        ("polynomials cut off", "damaged rational polynomials"),
        ("another satellite", "is not known"),
        ("another size", "they do not belong together"),
        ("no XML", "is damaged or no XML"),
        ("entities", "document type or entities"),
        ("image cut off", "cannot be read"),
        ("year without coefficients", "--calibration-year"),
    ],
)
def test_spoiled_packages_are_refused_and_leave_nothing(
    years: Years, tmp_path: Path, fault: str, said: str
) -> None:
    folder = spoiled(years.package(2022), tmp_path)
    tiff, rpb, xml = (next(folder.glob(f"*MSS1.{ending}")) for ending in ("tiff", "rpb", "xml"))
    if fault == "image missing":
        tiff.unlink()
    elif fault == "image empty":
        tiff.write_bytes(b"")
    elif fault == "polynomials missing":
        rpb.unlink()
    elif fault == "polynomials of another scene":
        text = rpb.read_text().splitlines()
        rpb.write_text("\n".join("\tlatOffset = 31.25;" if "latOffset" in line else line for line in text))
    elif fault == "polynomials cut off":
        rpb.write_text(rpb.read_text()[:1500])
    elif fault == "another satellite":
        xml.write_text(xml.read_text().replace("<SatelliteID>GF2<", "<SatelliteID>XX9<"))
    elif fault == "another size":
        xml.write_text(
            re.sub(r"(?<=<WidthInPixels>)\d+", lambda found: f"{int(found[0]) + 8}", xml.read_text())
        )
    elif fault == "no XML":
        xml.write_text(xml.read_text()[:400])
    elif fault == "entities":
        xml.write_text(xml.read_text().replace("?>", '?><!DOCTYPE x [<!ENTITY a "b">]>', 1))
    elif fault == "image cut off":
        tiff.write_bytes(tiff.read_bytes()[: tiff.stat().st_size // 2])
    else:
        for each in folder.glob("*.xml"):
            each.write_text(each.read_text().replace("2022-07-14", "2013-07-14"))
    before = catalogued(years.url)
    done = lode(
        years.url, "ingest", "scene", folder, "--product", "spoiled", "--dem", years.simulation.terrain,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert catalogued(years.url) == before


def catalogued(url: str) -> str:
    with connect(url) as conn:
        scenes = conn.execute("select count(*) from lode.scene").fetchall()
        tables = conn.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'lode_raster' order by 1"
        ).fetchall()
    return json.dumps([scenes, tables])
