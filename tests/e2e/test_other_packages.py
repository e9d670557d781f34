"""Products that come georeferenced, and a hyperspectral one, brought in as a user types it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import Resampling, reproject

from ingest.simulate.package_ahsi import simulate_ahsi
from tests import landsat_files, sentinel2_files
from tests.conftest import RunLode
from tests.scenes import reflectance
from tests.support import test_data

PRODUCT = re.compile(r"^stored scene (\S+) version (\d+)", re.MULTILINE)


def ingested(run_lode: RunLode, *arguments: str | Path) -> str:
    """Bring a scene in; its product name."""
    done = run_lode("ingest", "scene", *arguments)
    assert done.returncode == 0, done.stderr
    found = PRODUCT.search(done.stdout)
    assert found is not None, done.stdout
    return found.group(1)


def shown(run_lode: RunLode, product: str) -> dict[str, Any]:
    done = run_lode("scene", "show", product, "--format", "json")
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_sentinel2_keeps_its_pixels_and_its_mask(
    run_lode: RunLode, database_url: str, tmp_path: Path
) -> None:
    product = ingested(run_lode, sentinel2_files.write_safe(tmp_path))
    scene, seen = reflectance(database_url, product)
    assert scene.sensor == "sentinel2_msi"
    assert scene.processing_level == "surface_reflectance"
    assert (scene.value_offset, scene.value_scale) == (-1000, pytest.approx(1e-4))
    for place, name in enumerate(scene.band_names):
        step = sentinel2_files.SIZES[name] // 10
        stored = np.kron(sentinel2_files.stored(name), np.ones((step, step)))
        assert np.allclose(seen[place], (stored - 1000.0) * 1e-4, atol=1e-6), name
    facts = shown(run_lode, product)
    clouds = next(step for step in facts["steps"] if step["step"] == "clouds")
    assert clouds["source"] == "product"
    assert facts["cloud_fraction"] is not None


def test_landsat_becomes_reflectance(run_lode: RunLode, database_url: str, tmp_path: Path) -> None:
    landsat_files.write_landsat(tmp_path / "landsat")
    product = ingested(run_lode, tmp_path / "landsat")
    scene, seen = reflectance(database_url, product)
    assert scene.sensor == "landsat9_oli"
    assert scene.processing_level == "toa_reflectance"
    assert scene.acquisition.sun_elevation_deg is not None
    red = scene.band_names.index("B4")
    stored = landsat_files.stored(4)
    sun = np.sin(np.radians(scene.acquisition.sun_elevation_deg))
    expected = (2e-5 * stored - 0.1) / sun
    assert np.allclose(seen[red][1:, 1:], expected[1:, 1:], atol=1e-5)
    assert np.isnan(seen[red][0, 0])


def test_a_geotiff_with_a_description(run_lode: RunLode, database_url: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1500, 4000, (4, 60, 50), np.uint16)
    with rasterio.open(
        tmp_path / "drone.tif", "w", driver="GTiff", dtype="uint16", count=4, height=60, width=50,
        crs="EPSG:32645", transform=Affine(2, 0, 500_000, 0, -2, 4_860_000),
    ) as file:  # fmt: skip
        file.write(pixels)
    (tmp_path / "drone.toml").write_text(
        'sensor = "gf2_pms"\nacquired = 2023-05-06T11:12:13+08:00\nlevel = "surface_reflectance"\n'
        'bands = ["blue", "green", "red", "nir"]\nscale = 0.0001\nproduct = "mine survey"\n'
    )
    done = run_lode("ingest", "scene", tmp_path / "drone.tif", "--find-clouds", "none")
    assert done.returncode == 0, done.stderr
    scene, seen = reflectance(database_url, "mine survey")
    assert np.allclose(seen, pixels * 1e-4, atol=1e-6)
    assert scene.acquisition.acquired_at is not None
    assert scene.acquisition.acquired_at.isoformat().startswith("2023-05-06T03:12:13")


def test_a_hyperspectral_package(run_lode: RunLode, database_url: str, tmp_path: Path) -> None:
    simulation = simulate_ahsi(tmp_path / "ahsi", seed=3, size_px=90)
    product = ingested(run_lode, simulation.package, "--dem", simulation.terrain, "--denoise", "mnf")
    scene, seen = reflectance(database_url, product)
    assert len(scene.band_names) == 166
    facts = shown(run_lode, product)
    faults = {band["name"]: band["fault"] for band in facts["bands"] if band["fault"]}
    planted = json.loads(simulation.facts.read_text())
    for letter, part in (("V", "vnir"), ("S", "swir")):
        for place in planted[part]["dead"]:
            assert faults[f"{letter}{place:03d}"] == "dead"
    assert {"water vapour", "overlap", "noisy"} <= set(faults.values())
    assert {step["step"] for step in facts["steps"]} >= {
        "calibrated", "bad_bands", "destriped", "orthorectified", "denoised",
    }  # fmt: skip

    # Usable bands are the planted reflectance at the top of the atmosphere.
    grid = scene.grid
    truth = np.full((166, grid.height_px, grid.width_px), np.nan, np.float32)
    with rasterio.open(simulation.top) as file:
        reproject(
            file.read().astype(np.float32) / 10_000, truth,
            src_transform=file.transform, src_crs=file.crs, dst_nodata=np.nan,
            dst_transform=Affine(grid.resolution_x, 0, grid.origin_x, 0, -grid.resolution_y, grid.origin_y),
            dst_crs=f"EPSG:{grid.srid}", resampling=Resampling.bilinear,
        )  # fmt: skip
    usable = [place for place, name in enumerate(scene.band_names) if name not in faults]
    valid = np.isfinite(seen[usable]).all(axis=0) & np.isfinite(truth[usable]).all(axis=0)
    ratio = np.array([np.median(seen[place][valid] / truth[place][valid]) for place in usable])
    assert np.median(np.abs(ratio - 1)) < 0.01
    assert np.abs(ratio - 1).max() < 0.05

    # The same rule as for any instrument selects the bands that tell pegmatites.
    done = run_lode("scene", "bands", product, "--pegmatite")
    assert "37 of 166 bands" in done.stdout
    picture = tmp_path / "ahsi.png"
    assert run_lode("scene", "quicklook", product, "--out", picture).returncode == 0
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(picture) as file:
        assert file.read().max() > 200


def test_real_tiles_of_enmap_become_one_scene(run_lode: RunLode, database_url: str, tmp_path: Path) -> None:
    folder = test_data("enmap_potsdam")
    product = ingested(run_lode, folder)
    scene, seen = reflectance(database_url, product)
    assert (scene.grid.width_px, scene.grid.height_px, scene.grid.resolution_x) == (160, 192, 30)
    assert scene.valid_fraction == pytest.approx(18 * 32 * 32 / (160 * 192), abs=0.001)
    tile = folder / "images" / "enmap_potsdam_tile_128_32.tif"
    with rasterio.open(tile) as file:
        pixels = file.read()
        col = round((file.transform.c - scene.grid.origin_x) / 30)
        row = round((scene.grid.origin_y - file.transform.f) / 30)
    inside = seen[:, row : row + 32, col : col + 32]
    expected = np.where(pixels == -32768, np.nan, pixels * 1e-4)
    assert np.allclose(inside, expected, atol=1e-6, equal_nan=True)

    listed = run_lode("scene", "bands", product, "--pegmatite", "--format", "json")
    bands = json.loads(listed.stdout)
    assert len(bands) == 61
    assert sum(782 <= band["center_nm"] <= 902 for band in bands) == 15
    assert sum(2014 <= band["center_nm"] <= 2400 for band in bands) == 46
    faults = [band for band in shown(run_lode, product)["bands"] if band["fault"]]
    assert len(faults) == 6
    assert all(1330 < band["center_nm"] < 1392 for band in faults)
    listing = run_lode("scene", "list", "--sensor", "enmap_hsi").stdout
    assert product in listing
    assert "224 bands" in listing
    picture = tmp_path / "enmap.png"
    assert run_lode("scene", "quicklook", product, "--out", picture, "--false-colour").returncode == 0
    assert run_lode("scene", "quicklook", product, product, "--out", picture, "--size", "100").returncode == 0


def test_bad_questions_about_scenes(run_lode: RunLode, tmp_path: Path) -> None:
    assert "bring one" in run_lode("scene", "list").stdout
    for arguments, said in (
        (("scene", "show", "nothing"), "there is no scene"),
        (("scene", "bands", "nothing", "--window", "900-800"), "lower and upper limit"),
        (("scene", "quicklook", "nothing", "--bands", "a,b"), "three bands"),
    ):
        done = run_lode(*arguments)
        assert done.returncode == 1
        assert said in done.stderr
