"""Ore implanted in a scene: mixtures are exactly the known ones, and lie where they may."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from numpy.typing import NDArray
from rasterio.transform import Affine

from db.errors import UsageError
from db.raster import Grid
from ingest.products.enmap import find, read
from ingest.products.gathering import gather
from ingest.simulate.implanted import (
    MINERALS,
    SAMPLES,
    ImplantedSimulation,
    dyke_shares,
    implant,
    mixed,
    simulate_implanted,
)
from ingest.simulate.prospect_dykes import Dyke
from ingest.simulate_command import simulate
from tests.unit.spectral_libraries import write_library
from tests.unit.test_products_enmap import EMPTY, WAVELENGTHS
from tests.unit.test_simulate_packages import digests

SIDE, NODATA = 120, -32768
GAP, LAKE = (slice(0, 40), slice(70, 120)), (slice(90, 120), slice(0, 30))
A, B = "spectrum_without_geology", "geology_without_spectrum"
CENTERS = dict(zip(MINERALS, (2150.0, 2200.0, 2250.0), strict=True))


def reflectance(mineral: str, nm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Level but for an absorption of the mineral's own."""
    return np.asarray(0.8 - 0.4 * np.exp(-0.5 * ((nm - CENTERS[mineral]) / 15) ** 2))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a made-up EnMAP scene of 3.6 km with a gap and a lake, and of a library."""
    folder = tmp_path_factory.mktemp("inputs")
    library, scene = folder / "library", folder / "scene"
    library.mkdir()
    scene.mkdir()
    nm = np.arange(400.0, 2500.0, 2.0)
    write_library(
        library / "x.sli", nm, {f"{sample} =a": reflectance(name, nm) for name, sample in SAMPLES.items()}
    )
    rng = np.random.default_rng(3)
    pixels = rng.integers(1500, 3000, (len(WAVELENGTHS), SIDE, SIDE)).astype(np.int16)
    pixels[(slice(None), *LAKE)] = 200
    pixels[(slice(None), *GAP)] = NODATA
    pixels[EMPTY[0] - 1 : EMPTY[-1]] = NODATA
    place = Affine(30, 0, 360_000, 0, -30, 5_800_000)
    with rasterio.open(
        scene / "enmap_made_up.tif", "w", "GTiff", SIDE, SIDE, len(WAVELENGTHS), "EPSG:32633", place,
        "int16", NODATA,
    ) as file:  # fmt: skip
        file.write(pixels)
        file.update_tags(start_time="2022-07-24T10:45:26")
        for band, wavelength in enumerate(WAVELENGTHS, 1):
            file.update_tags(
                band, wavelength=f"{wavelength:.6g}", fwhm="8", wavelength_units="Nanometers",
                bbl="0" if band in EMPTY else "1",
            )  # fmt: skip
    return scene, library


@pytest.fixture(scope="module")
def made(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> ImplantedSimulation:
    folder = tmp_path_factory.mktemp("made")
    return simulate_implanted(folder, scene_folder=inputs[0], spectra_folder=inputs[1])


def features(path: Path) -> tuple[NDArray[np.object_], dict[str, NDArray[np.object_]]]:
    meta, _, geometry, columns = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:32633"
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], columns, strict=True))


def pixels_of(path: Path) -> NDArray[np.float64]:
    with rasterio.open(path) as file:
        return np.asarray(file.read().astype(np.float64))


def test_a_known_share_gives_exactly_the_known_mixture() -> None:
    values = np.array([[0.1, 0.2, 0.3], [0.5, 0.4, 0.0]])
    shares = np.array([[0.0, 0.25, 0.5], [0.0, 0.0, 0.5]])
    spectra = np.array([[0.6, 0.8], [0.2, 1.0]])
    assert mixed(values, shares, spectra) == pytest.approx(
        np.array([[0.1, 0.75 * 0.2 + 0.25 * 0.6, 0.4], [0.5, 0.75 * 0.4 + 0.25 * 0.8, 0.9]])
    )


@pytest.mark.parametrize("kind", ["int16", "float32"])
def test_values_without_data_and_pixels_without_a_share_stay(kind: str) -> None:
    stored = np.array([[[1000, 2000, 3000]], [[NODATA, NODATA, 500]]], kind)
    shares = np.array([[[0.0, 0.25, 0.5]]])
    implant(stored, shares, np.array([[0.6, 0.7]]), float(NODATA))
    assert stored.dtype == kind
    assert stored[:, 0].T.tolist() == [[1000, NODATA], [3000, NODATA], [4500, 3750]]


def test_a_pixel_shows_as_much_of_a_dyke_as_lies_in_it() -> None:
    grid = Grid(32633, 0.0, 300.0, 30.0, 30.0, 10, 10)
    # covers a pixel, half of the one to the right of it, and a third of that to the left
    outline = shapely.box(50, 210, 105, 240)
    dyke = Dyke("dyke", "ore", "lepidolite", 1, outline, 0.6)
    is_valid = np.ones((10, 10), bool)
    shares = dyke_shares(7, [dyke], grid, is_valid)
    assert shares.shape == (3, 10, 10)
    assert np.argwhere(shares > 0).tolist() == [[1, 2, 1], [1, 2, 2], [1, 2, 3]]
    left, whole, right = shares[1, 2, 1:4]
    assert 0.15 <= whole <= 0.6
    assert whole == pytest.approx(0.4, abs=0.2)
    assert 0.15 / 3 <= left <= 0.6 / 3
    assert 0.15 / 2 <= right <= 0.6 / 2
    assert not np.array_equal(shares, dyke_shares(8, [dyke], grid, is_valid))
    is_valid[2, 2] = False
    assert dyke_shares(7, [dyke], grid, is_valid)[1, 2, 1:4].tolist() == [left, 0, right]


def test_the_scene_holds_the_mixture_that_the_truth_tells(
    made: ImplantedSimulation, inputs: tuple[Path, Path]
) -> None:
    before, after = pixels_of(inputs[0] / "enmap_made_up.tif"), pixels_of(made.scene)
    shares = pixels_of(made.shares)
    spectra = np.loadtxt(made.spectra, delimiter=",", skiprows=1, usecols=(3, 4, 5))
    usable = np.setdiff1d(np.arange(len(WAVELENGTHS)), np.array(EMPTY) - 1)
    expected = mixed(before[usable].reshape(len(usable), -1) / 1e4, shares.reshape(3, -1), spectra[usable].T)
    is_changed = shares.sum(axis=0).ravel() > 0
    assert is_changed.sum() > 100
    found = after[usable].reshape(len(usable), -1)
    assert np.abs(found[:, is_changed] / 1e4 - expected[:, is_changed]).max() < 6e-5
    untouched = ~is_changed.reshape(SIDE, SIDE)
    assert np.array_equal(after[:, untouched], before[:, untouched])
    assert (after[np.array(EMPTY) - 1] == NODATA).all()
    # the library's own absorptions, in the bands of the instrument
    for place, mineral in enumerate(MINERALS):
        assert spectra[:, place] == pytest.approx(reflectance(mineral, WAVELENGTHS), abs=0.012)


def test_dykes_lie_on_valid_ground_as_the_rules_say(made: ImplantedSimulation) -> None:
    shares = pixels_of(made.shares)
    assert (shares.sum(axis=0)[GAP] == 0).all()
    assert shares.sum(axis=0).max() <= 0.6 + 1e-6
    ground = shapely.box(360_000, 5_800_000 - 30 * SIDE, 360_000 + 30 * SIDE, 5_800_000)
    gap = shapely.box(360_000 + 30 * 70, 5_800_000 - 30 * 40, 360_000 + 30 * SIDE, 5_800_000)
    ore, about = features(made.ore)
    decoys, false = features(made.decoys)
    every = np.concatenate([ore, decoys])
    assert shapely.within(every, ground.difference(gap)).all()
    plutons, faults = (shapely.union_all(features(path)[0]) for path in (made.plutons, made.faults))
    is_far = false["kind"] == A
    assert set(false["kind"]) == {A, B}
    for near in (ore, decoys[~is_far]):
        assert shapely.distance(near, plutons).max() < 600
        assert shapely.distance(near, faults).max() < 250
    assert shapely.distance(decoys[is_far], plutons).min() > 700
    assert shapely.distance(decoys[is_far], faults).min() > 350
    assert set(about["mineral"]) == {"spodumene", "lepidolite"}
    assert set(false["mineral"][is_far]) <= {"spodumene", "lepidolite"}
    assert set(false["mineral"][~is_far]) == {"muscovite"}
    # no cluster's middle lies in the lake: its dykes reach 130 m from there at most
    lake = shapely.box(360_000, 5_800_000 - 30 * SIDE, 360_000 + 30 * 30, 5_800_000 - 30 * 90)
    assert not shapely.within(every, lake.buffer(-200)).any()


def test_all_that_is_written_says_implanted(made: ImplantedSimulation) -> None:
    facts: dict[str, Any] = json.loads(made.facts.read_text())
    assert facts["data"] == "implanted"
    assert facts["real"] == "pixels of enmap_made_up_20220724T104526"
    assert facts["implanted_dykes"]["ore"] == len(features(made.ore)[0])
    assert facts["samples"] == {name: f"{sample} =a" for name, sample in SAMPLES.items()}
    for path in (made.faults, made.plutons, made.deposits, made.ore, made.decoys):
        assert all(name.startswith("implanted ") for name in features(path)[1]["name"])
    points, deposits = features(made.deposits)
    assert set(deposits["deposit_type"]) == {"implanted pegmatite"}
    assert set(deposits["commodity"]) == {"lithium"}
    assert shapely.within(points, features(made.ore)[0]).all()
    with rasterio.open(made.shares) as file:
        assert file.descriptions == tuple(f"implanted {mineral}" for mineral in MINERALS)
    package = gather(str(made.scene), (), made.scene.parent)
    product = read(package, find(package)[0])
    assert product.name == made.product == "enmap_implanted_20220724T104526"
    assert product.acquired_at == datetime(2022, 7, 24, 10, 45, 26, tzinfo=UTC)
    (part,) = product.parts
    assert [layer.band.center_nm for layer in part.layers] == pytest.approx(WAVELENGTHS, rel=1e-5)
    assert [place for place, layer in enumerate(part.layers, 1) if layer.band.fault] == list(EMPTY)
    assert part.level == "surface_reflectance"


def test_the_command_writes_the_same_files_again(
    made: ImplantedSimulation, inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    options = ["--kind", "implanted", "--scene-folder", str(inputs[0]), "--spectra", str(inputs[1])]
    result = CliRunner().invoke(simulate, [str(tmp_path / "again"), *options])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"implanted: {tmp_path / 'again' / 'enmap_implanted.tif'}"
    assert digests(tmp_path / "again") == digests(made.scene.parent)
    other = CliRunner().invoke(simulate, [str(tmp_path / "other"), *options, "--seed", "8"])
    assert other.exit_code == 0, other.output
    assert digests(tmp_path / "other") != digests(made.scene.parent)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "implanted"], "name a real scene"),
        (["--kind", "implanted", "--size-px", "300"], "--size-px: an implanted scene"),
        (["--kind", "ahsi", "--spectra", "."], "only --kind implanted"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(simulate, [str(tmp_path / "out"), *arguments])
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_a_scene_whose_bands_have_no_width_is_refused(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    scene, library = inputs
    shutil.copytree(scene, tmp_path / "scene")
    with rasterio.open(tmp_path / "scene" / "enmap_made_up.tif", "r+") as file:
        file.update_tags(5, fwhm="0")
    with pytest.raises(UsageError, match=r"the band at .* nm has a width of 0 nm"):
        simulate_implanted(tmp_path / "out", scene_folder=tmp_path / "scene", spectra_folder=library)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_scene_and_a_seed_below_zero_are_refused(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    scene, library = inputs
    with pytest.raises(UsageError, match="seed is -1"):
        simulate_implanted(tmp_path, scene_folder=scene, spectra_folder=library, seed=-1)
    with pytest.raises(UsageError, match="no EnMAP Level 2A scene"):
        simulate_implanted(tmp_path / "out", scene_folder=library, spectra_folder=library)
    assert not (tmp_path / "out").exists()
