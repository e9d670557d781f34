"""The simulated province: what is planted is there, where it should be, and the same for the same seed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio

from db.errors import UsageError
from ingest.simulate.evidence import (
    DETECTION_PPM,
    ELEMENTS,
    SAMPLED,
    EvidenceSimulation,
    simulate_evidence,
)
from ingest.simulate.evidence_ground import make_contents, make_province
from ingest.simulate.evidence_ore import (
    APART_PX,
    FAVOURED_FAULT_M,
    FAVOURED_GRANITE_M,
    FREE_FAULT_M,
    FREE_GRANITE_M,
    ORE_ELEMENTS,
    Place,
    halos,
    plant,
)

SIZE, SEED = 128, 3


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> EvidenceSimulation:
    return simulate_evidence(tmp_path_factory.mktemp("province"), seed=SEED, size_px=SIZE)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_files(made: EvidenceSimulation, tmp_path: Path) -> None:
    again = simulate_evidence(tmp_path, seed=SEED, size_px=SIZE)
    first, second = _digests(made.folder), _digests(again.folder)
    assert first == second
    assert len(first) == len(ELEMENTS) + 2 + 6 + 5, "elements, geophysics, geology and samples, truth"
    other = simulate_evidence(tmp_path / "other", seed=SEED + 1, size_px=SIZE)
    assert _digests(other.folder)["Li.tif"] != first["Li.tif"]


def test_ore_and_barren_places_lie_on_favourable_geology_and_decoys_far_from_it() -> None:
    province, places = plant(SEED, SIZE)
    kinds = [place.kind for place in places]
    assert kinds.count("ore") == kinds.count("decoy") == kinds.count("barren") == 6
    for place in places:
        granite_m, fault_m = (each[place.row, place.col] for each in (province.granite_m, province.fault_m))
        assert province.is_inside[place.row, place.col]
        if place.kind == "decoy":
            assert granite_m > FREE_GRANITE_M
            assert fault_m > FREE_FAULT_M
        else:
            assert granite_m <= FAVOURED_GRANITE_M
            assert fault_m <= FAVOURED_FAULT_M
    cells = np.array([(place.row, place.col) for place in places])
    apart = np.hypot(*(cells[:, None] - cells).transpose(2, 0, 1)) + 1000 * np.eye(len(cells))
    assert apart.min() >= APART_PX


def test_halos_stand_where_ore_and_decoys_are_and_nowhere_else() -> None:
    _province, places = plant(SEED, SIZE)
    halo = halos(places, SIZE)
    assert set(halo) == set(ORE_ELEMENTS)
    for place in places:
        if place.kind == "barren":
            assert all(strength == 0 for strength in place.strength.values())
        else:
            strengths = [halo[element][place.row, place.col] for element in ORE_ELEMENTS]
            assert min(strengths) >= 0.08 - 1e-6
    alone = Place("ore", 40, 40, 1.5, {"Li": 0.2}, 0.0, 0.0)
    found = halos([alone], SIZE)["Li"]
    assert found[40, 40] == pytest.approx(0.2)
    assert found[40, 43] == pytest.approx(0.2 * np.exp(-9 / (2 * 1.5**2)), rel=1e-4)
    assert found[60, 60] == pytest.approx(0, abs=1e-9)


def test_a_halo_raises_the_logarithm_of_the_contents_by_its_strength() -> None:
    province = make_province(SEED, SIZE)
    none = {element: np.zeros((SIZE, SIZE), np.float32) for element in ORE_ELEMENTS}
    raised = {**none, "Li": np.full((SIZE, SIZE), 0.25, np.float32)}
    before, after = make_contents(SEED, province, none), make_contents(SEED, province, raised)
    np.testing.assert_allclose(np.log(after["Li"] / before["Li"]), 0.25, atol=1e-4)
    np.testing.assert_array_equal(after["Cs"], before["Cs"])


def test_files_are_as_a_survey_hands_them_over(made: EvidenceSimulation) -> None:
    with rasterio.open(made.elements["Li"]) as file:
        values = file.read(1, masked=True)
        assert (file.shape, file.crs.to_epsg(), file.res) == ((SIZE, SIZE), 32650, (500.0, 500.0))
    assert 0.001 < values.mask.mean() < 0.1, "layers have gaps of their own"
    assert values.min() > 0
    lines = made.samples.read_text().splitlines()
    contents = [line.split(",")[2] for line in lines[1:]]
    assert lines[0] == f"x,y,{SAMPLED}_ppm"
    below = [content for content in contents if content.startswith("<")]
    assert below
    assert set(below) == {f"<{DETECTION_PPM:g}"}
    rocks = pyogrio.read_info(made.lithology)
    assert rocks["features"] > 10
    assert pyogrio.read_info(made.deposits)["features"] == 6
    facts = json.loads((made.truth / "facts.json").read_text())
    assert facts["places"] == {"barren": 6, "decoy": 6, "ore": 6}
    assert facts["is_simulated"]
    commands = [" ".join(command) for command in made.commands()]
    assert not any("deposits" in command for command in commands), "nothing is learned from them"


@pytest.mark.parametrize("size_px", [95, 2001, 0, -1])
def test_sizes_that_make_no_province_are_refused(tmp_path: Path, size_px: int) -> None:
    with pytest.raises(UsageError, match="--size-px"):
        simulate_evidence(tmp_path, seed=1, size_px=size_px)
    assert not list(tmp_path.iterdir())


def test_ground_without_room_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.simulate.evidence_ore.FREE_GRANITE_M", 1e9)
    with pytest.raises(UsageError, match="room for 6 places"):
        plant(SEED, SIZE)
