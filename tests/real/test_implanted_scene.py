"""Ore implanted in a real EnMAP scene comes in, shows its absorptions, and all parts hold some of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from db.connection import connect
from demo.geology_experiment import IMPLANTED_SEED
from inference.prospect.dataset import make_set
from inference.prospect.experiment.decoys import decoy_patches
from inference.prospect.experiment.implanted import BLOCK_M, STRIDE_PX, implanted_request
from inference.prospect.experiment.planted import Planted
from ingest.simulate.implanted import DEPOSIT_TYPE, MINERALS, ImplantedSimulation, simulate_implanted
from tests.conftest import RunLode
from tests.support import test_data as data

pytestmark = pytest.mark.timeout(180)

ABSORPTION_NM, SHOULDER_NM = 2205.0, 50.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ImplantedSimulation:
    scene, spectra = data("enmap_potsdam"), data("usgs_spectra")
    return simulate_implanted(
        tmp_path_factory.mktemp("implanted"),
        scene_folder=scene,
        spectra_folder=spectra,
        seed=IMPLANTED_SEED,
    )


def depth(nm: NDArray[np.float64], reflectance: NDArray[np.float64]) -> float:
    """Depth of the absorption of Al-OH below the line between its shoulders."""
    low, middle, high = (
        int(np.abs(nm - at).argmin())
        for at in (ABSORPTION_NM - SHOULDER_NM, ABSORPTION_NM, ABSORPTION_NM + SHOULDER_NM)
    )
    share = (nm[middle] - nm[low]) / (nm[high] - nm[low])
    return float(1 - reflectance[middle] / ((1 - share) * reflectance[low] + share * reflectance[high]))


def test_implanted_pixels_show_the_absorption_near_2205_nm(made: ImplantedSimulation) -> None:
    with rasterio.open(made.scene) as file:
        cube, nodata = file.read().astype(np.float64), file.nodata
    with rasterio.open(made.shares) as file:
        shares = file.read()
    with made.spectra.open() as file:
        rows = list(csv.DictReader(file))
    nm = np.array([float(row["center_nm"]) for row in rows])
    is_valid = cube[0] != nodata
    assert not shares[:, ~is_valid].any()
    is_touched = shares.sum(axis=0) > 0
    near = ndimage.binary_dilation(is_touched, iterations=3) & is_valid & ~is_touched
    usual = depth(nm, cube[:, near].mean(axis=1))
    # vegetation and soil bulge there instead; the real scene is no mineral scene
    assert usual < 0
    of_library = {}
    for mineral, share in zip(MINERALS, shares, strict=True):
        pure = np.array([float(row[f"implanted {mineral}"]) for row in rows])
        of_library[mineral] = depth(nm, pure)
        found = depth(nm, cube[:, share > 0.3].mean(axis=1))
        assert usual + 0.05 < found < of_library[mineral]
    # spodumene absorbs weakly there, mica strongly
    assert 0.03 < of_library["spodumene"] < 0.15
    assert min(of_library["lepidolite"], of_library["muscovite"]) > 0.2


def test_every_part_has_ore_and_the_test_has_both_decoys(
    made: ImplantedSimulation, run_lode: RunLode, database_url: str
) -> None:
    facts = json.loads(Path(made.facts).read_text())
    assert (facts["width_px"], facts["height_px"], facts["valid_km2"]) == (160, 192, 16.59)
    assert "surface_reflectance" in run_lode("ingest", "scene", made.scene).stdout
    for kind, path in (("faults", made.faults), ("plutons", made.plutons), ("deposits", made.ore)):
        run_lode("ingest", kind, path)
    with connect(database_url) as conn:
        patches = make_set(conn, implanted_request(made.product, DEPOSIT_TYPE))
    # 15 bands of 782-902 nm, 46 of 2014-2400 nm, and the proximity of faults and plutons
    assert len(patches.ground.channels) == 63
    for part in range(3):
        of_part = patches.is_positive[patches.parts == part]
        assert of_part.sum() >= 20
        assert (~of_part).sum() >= 60
    places = decoy_patches(
        patches,
        Planted.read(made.product, made.srid, made.ore, made.decoys),
        edge_m=BLOCK_M,
        stride_px=STRIDE_PX,
    )
    assert min(len(at.rows) for at in places.values()) >= 10
