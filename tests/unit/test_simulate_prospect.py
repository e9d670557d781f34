"""A simulated district to prospect in: dykes keep their rules; spectra and geology are both needed."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from pyproj import Transformer
from rasterio.features import rasterize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from db.errors import UsageError
from ingest.preprocess.rpc_model import locate
from ingest.products import cresda
from ingest.products.gathering import gather
from ingest.products.product import Product
from ingest.simulate.ahsi_camera import CELL_M, CELLS
from ingest.simulate.mineral_spectra import PEGMATITE_GROUND
from ingest.simulate.package_ahsi import simulate_ahsi
from ingest.simulate.prospect import DISTRICTS, LARGEST_PX, ProspectSimulation, simulate_prospect
from ingest.simulate.prospect_dykes import Dyke
from ingest.simulate.prospect_geology import ProspectGeology
from ingest.simulate.prospect_ground import SCREE_M, SCREE_SHARE, prospect_ground
from ingest.simulate_command import simulate
from tests.unit.test_simulate_packages import digests

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

Shapes = npt.NDArray[np.object_]
Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
BLOCK_M = 1500.0


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> ProspectSimulation:
    return simulate_prospect(tmp_path_factory.mktemp("first"), seed=7, size_px=300)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> ProspectSimulation:
    return simulate_prospect(tmp_path_factory.mktemp("second"), seed=7, size_px=200, district=2)


def features(path: Path) -> tuple[Shapes, dict[str, npt.NDArray[np.object_]]]:
    meta, _, geometry, columns = pyogrio.raw.read(path)
    assert meta["crs"] == "EPSG:32645"
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], columns, strict=True))


def facts_of(made: ProspectSimulation) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(made.facts.read_text())
    return facts


def union(path: Path) -> shapely.Geometry:
    return shapely.union_all(features(path)[0])


def read(made: ProspectSimulation) -> Product:
    package = gather(str(made.package), (), made.package)
    (path,) = cresda.find(package)
    return cresda.read(package, path)


def on_ground(made: ProspectSimulation, line: Values, sample: Values) -> tuple[Values, Values]:
    """Easting and northing that pixels see at the mean height; relief moves them by some 10 m."""
    with rasterio.open(made.terrain) as file:
        height = np.full(line.shape, float(file.read(1).mean()))
    lon, lat = locate(read(made).parts[0].rpc, line, sample, height)
    found: tuple[Values, Values] = Transformer.from_crs(4326, 32645, always_xy=True).transform(lon, lat)
    return found


@pytest.mark.parametrize("which", ["first", "second"])
def test_dykes_keep_the_rules_of_their_kind(which: str, request: pytest.FixtureRequest) -> None:
    made: ProspectSimulation = request.getfixturevalue(which)
    plutons, faults = union(made.plutons), union(made.faults)
    ore, _ = features(made.ore)
    decoys, about = features(made.decoys)
    is_far = about["kind"] == "spectrum_without_geology"
    assert set(about["kind"][~is_far]) == {"geology_without_spectrum"}
    assert set(about["mineral"][~is_far]) == {"barren"}
    assert set(about["mineral"][is_far]) == {"spodumene", "beryl"}
    for shapes in (ore, decoys[~is_far]):
        assert shapely.distance(shapes, plutons).min() > 29
        assert shapely.distance(shapes, plutons).max() < 1500
        assert shapely.distance(shapes, faults).max() < 600
    assert shapely.distance(decoys[is_far], plutons).min() > 3000
    assert shapely.distance(decoys[is_far], faults).min() > 1500

    # They are of one size, 100 to 400 m long and 30 to 90 m wide, do not touch, and lie in the image.
    every = np.concatenate([ore, decoys])
    boxes = shapely.oriented_envelope(every)
    rings = [shapely.get_coordinates(box)[:3] for box in boxes]
    sides = np.sort([[math.dist(a, b), math.dist(b, c)] for a, b, c in rings], axis=1)
    assert 95 < sides[:, 1].min() < sides[:, 1].max() < 410
    assert 28 < sides[:, 0].min() < sides[:, 0].max() < 180  # a bend widens the box
    medians = [np.median(shapely.area(shapes)) for shapes in (ore, decoys[is_far], decoys[~is_far])]
    assert max(medians) < 2.0 * min(medians)  # of seven to ten dykes in the smaller district
    tree = shapely.STRtree(every)
    assert len(tree.query(every, predicate="intersects")[0]) == len(every)
    size = facts_of(made)["size_px"]
    corners = np.array([0, 0, size, size], float) - 0.5, np.array([0, size, size, 0], float) - 0.5
    image = shapely.Polygon(np.column_stack(on_ground(made, *corners)))
    assert shapely.contains(image.buffer(-200), every).all()

    facts = facts_of(made)
    assert facts["dykes"] == {
        "geology_without_spectrum": int((~is_far).sum()),
        "ore": len(ore),
        "spectrum_without_geology": int(is_far.sum()),
    }
    counted = {kind: len(set(about["cluster"][about["kind"] == kind])) for kind in sorted(set(about["kind"]))}
    assert {kind: facts["clusters"][kind] for kind in counted} == counted
    assert min(counted.values()) >= 3


def test_so_many_dykes_as_the_ground_is_large(first: ProspectSimulation) -> None:
    # About 60 true dykes and 40 decoys of each kind on 144 km2.
    facts = facts_of(first)
    dykes, area = facts["dykes"], facts["image_km2"]
    assert area == pytest.approx(81, rel=0.02)
    expected = {"ore": 60, "spectrum_without_geology": 40, "geology_without_spectrum": 40}
    for kind, count in expected.items():
        assert dykes[kind] == pytest.approx(count * area / 144, rel=0.3)


def test_deposits_are_points_on_the_true_dykes(first: ProspectSimulation) -> None:
    points, deposits = features(first.deposits)
    bodies, ore = features(first.ore)
    assert shapely.within(points, bodies).all()
    assert (deposits["name"] == ore["name"]).all()
    assert set(zip(ore["mineral"], deposits["commodity"], strict=True)) == {
        ("spodumene", "lithium"),
        ("beryl", "beryllium"),
    }
    assert set(deposits["deposit_type"]) == {"pegmatite"}


def test_the_second_district_is_another(first: ProspectSimulation, second: ProspectSimulation) -> None:
    farthest = (CELLS * (math.ceil(1.25 * LARGEST_PX) + 8)) * CELL_M
    one, two = DISTRICTS[1], DISTRICTS[2]
    assert max(abs(a - b) for a, b in zip(one.centre_m, two.centre_m, strict=True)) > farthest
    a, b = facts_of(first), facts_of(second)
    assert a["mix"] != b["mix"]
    assert a["air"] != b["air"]
    suns = [read(made).sun_elevation_deg or 0 for made in (first, second)]
    assert suns[0] > suns[1] + 15
    assert first.product != second.product
    assert "20220612" in first.product
    assert read(second).acquired_at == datetime.fromisoformat("2022-09-21T05:23:02+00:00")


def test_the_command_writes_the_same_files_again(second: ProspectSimulation, tmp_path: Path) -> None:
    arguments = [str(tmp_path / "again"), "--kind", "prospect", "--size-px", "200", "--district", "2"]
    result = CliRunner().invoke(simulate, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"district 2: {tmp_path / 'again' / second.product}"
    assert digests(tmp_path / "again") == digests(second.package.parent)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="size is 199; choose 200 to 1000"):
        simulate_prospect(tmp_path, size_px=199)
    with pytest.raises(UsageError, match="seed is -1"):
        simulate_prospect(tmp_path, seed=-1)
    with pytest.raises(UsageError, match="district is 3; choose 1 or 2"):
        simulate_prospect(tmp_path, district=3)
    result = CliRunner().invoke(simulate, [str(tmp_path), "--kind", "ahsi", "--district", "2"])
    assert isinstance(result.exception, UsageError)
    assert not list(tmp_path.iterdir())


def test_the_plain_hyperspectral_package_is_what_it_was(tmp_path: Path) -> None:
    made = simulate_ahsi(tmp_path, seed=3, size_px=40)
    sums = []
    for suffix in ("VN", "SW"):
        with rasterio.open(next(made.package.glob(f"*-{suffix}.tif"))) as file:
            sums.append(int(file.read().astype(np.int64).sum()))
    assert sums == pytest.approx([103_647_078, 113_318_724], rel=1e-6)


def test_true_dykes_show_the_absorptions_of_their_mineral(first: ProspectSimulation) -> None:
    with rasterio.open(first.surface) as file:
        cube, transform = file.read().astype(np.float64), file.transform
    facts = facts_of(first)
    nm = np.array(facts["vnir"]["center_nm"] + facts["swir"]["center_nm"])
    ore, about = features(first.ore)
    decoys, false = features(first.decoys)

    def cells(shapes: Shapes) -> Mask:
        return np.asarray(rasterize(list(shapes), cube.shape[1:], transform=transform) == 1)

    def depth(where: Mask, center: float, reach: float) -> float:
        mean = cube[:, where].mean(axis=1)
        low, middle, high = (int(np.abs(nm - at).argmin()) for at in (center - reach, center, center + reach))
        share = (nm[middle] - nm[low]) / (nm[high] - nm[low])
        return float(1 - mean[middle] / ((1 - share) * mean[low] + share * mean[high]))

    background = ~cells(np.concatenate([ore, decoys]))
    far = false["kind"] == "spectrum_without_geology"
    for center, reach, mineral, factor in ((2207, 60, "spodumene", 1.3), (830, 55, "beryl", 2.0)):
        usual = depth(background, center, reach)
        assert depth(cells(ore[about["mineral"] == mineral]), center, reach) > factor * usual
        assert depth(cells(decoys[far & (false["mineral"] == mineral)]), center, reach) > factor * usual
    assert depth(cells(decoys[~far]), 830, 55) < 1.3 * depth(background, 830, 55)
    # Weak: at most about a third of beryl's own depth is left.
    pure = PEGMATITE_GROUND["beryl_pegmatite"].absorptions[0][2]
    assert depth(cells(ore[about["mineral"] == "beryl"]), 830, 55) < 0.6 * pure


def test_debris_of_a_dyke_thins_out_beside_it() -> None:
    side, cover = 81, 0.5
    middle = side * CELL_M / 2
    dyke = Dyke("dyke", "ore", "beryl", 1, shapely.box(middle - 25, -600, middle + 25, -200), cover)
    shares = prospect_ground(
        (7, "test", 1),
        np.full((side, side), 900, np.float32),
        0.0,
        {"vegetation": 0.6, "sericite": 1.0},
        ProspectGeology([], [], np.array([], object), 0.0),
        [dyke],
        (0.0, 0.0),
    )
    assert shares.sum(axis=0) == pytest.approx(1, abs=1e-5)
    # rows of the dyke's middle, columns to the east of it; its cover varies from place to place
    profile = shares[list(PEGMATITE_GROUND).index("beryl_pegmatite"), 30:50].mean(axis=0)[side // 2 :]
    assert profile[:3] == pytest.approx(1 - cover, abs=0.08)
    away_m = CELL_M * np.arange(1, 21)
    expected = SCREE_SHARE * (1 - cover) * np.exp(-away_m / SCREE_M)
    assert profile[3:23] == pytest.approx(expected, rel=0.15, abs=0.002)
    assert profile[3] > 2 * profile[8] > 0
    assert not profile[3 + int(4 * SCREE_M / CELL_M) :].any()


@dataclass(frozen=True)
class Pixels:
    """Pixels of the package: standardisable bands, distances, what they are, and their spatial block."""

    bands: Values
    distances: Values
    kind: npt.NDArray[np.str_]
    block: npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def pixels(first: ProspectSimulation) -> Pixels:
    """All pixels on dykes and 6,000 others, in the bands that tell pegmatites."""
    facts, product = facts_of(first), read(first)
    bands = []
    for part in product.parts:
        known: dict[str, list[float]] = facts[part.role]
        with rasterio.open(part.layers[0].files[0].path) as file:
            numbers = file.read().astype(np.float64)
        unfit = {*known["dead"], *map(int, known["stripes"])}
        bands += [
            band.ravel()
            for place, (band, nm) in enumerate(zip(numbers, known["center_nm"], strict=True), 1)
            if place not in unfit and (782 <= nm <= 902 or 2014 <= nm <= 2400)
        ]
    line, sample = (axis.ravel().astype(float) for axis in np.mgrid[: facts["size_px"], : facts["size_px"]])
    east, north = on_ground(first, line, sample)
    points = shapely.points(east, north)
    ore, _ = features(first.ore)
    decoys, about = features(first.decoys)
    kind = np.full(len(points), "background", dtype="U24")
    every = [(ore, "ore")] + [(decoys[about["kind"] == name], name) for name in sorted(set(about["kind"]))]
    near = shapely.STRtree(np.concatenate([shapes for shapes, _ in every]))
    kind[near.query(points, predicate="dwithin", distance=3 * SCREE_M)[0]] = "beside"
    for shapes, name in every:
        kind[shapely.STRtree(shapes).query(points, predicate="dwithin", distance=5)[0]] = name
    others = np.random.default_rng(0).choice(np.flatnonzero(kind == "background"), 6000, replace=False)
    kept = np.concatenate([np.flatnonzero((kind != "background") & (kind != "beside")), others])
    distances = np.column_stack(
        [shapely.distance(points[kept], union(path)) for path in (first.plutons, first.faults)]
    )
    block = (east[kept] // BLOCK_M).astype(np.int64) * 100_000 + (north[kept] // BLOCK_M).astype(np.int64)
    return Pixels(np.column_stack(bands)[kept], distances, kind[kept], block)


def scores(pixels: Pixels, features: Values, among: Mask) -> Values:
    """Of a logistic regression for ore, each pixel by one that never saw its spatial block."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10, class_weight="balanced", max_iter=2000))
    found = np.full(len(among), np.nan)
    found[among] = cross_val_predict(
        model,
        features[among],
        pixels.kind[among] == "ore",
        groups=pixels.block[among],
        cv=GroupKFold(4, shuffle=True, random_state=0),
        method="decision_function",
    )
    return found


def area_under_curve(pixels: Pixels, score: Values, other: str) -> float:
    chosen = (pixels.kind == "ore") | (pixels.kind == other)
    return float(roc_auc_score(pixels.kind[chosen] == "ore", score[chosen]))


A, B = "spectrum_without_geology", "geology_without_spectrum"


def test_spectra_and_geology_together_find_the_ore_and_neither_alone_does(pixels: Pixels) -> None:
    every = np.ones(len(pixels.kind), np.bool_)
    both = np.column_stack([pixels.bands, pixels.distances])
    auc: dict[str, dict[str, float]] = {}
    precision: dict[str, float] = {}
    for name, features in (("spectra", pixels.bands), ("geology", pixels.distances), ("both", both)):
        score = scores(pixels, features, every)
        auc[name] = {other: area_under_curve(pixels, score, other) for other in ("background", A, B)}
        precision[name] = float(average_precision_score(pixels.kind == "ore", score))
    assert auc["both"]["background"] > 0.92
    assert auc["both"]["background"] > 0.03 + max(auc["spectra"]["background"], auc["geology"]["background"])
    assert auc["both"][A] > 0.95
    assert auc["both"][B] > 0.80
    assert auc["spectra"][A] < 0.65
    assert auc["geology"][B] < 0.65
    assert precision["both"] > 0.75
    assert precision["both"] > 1.5 * max(precision["spectra"], precision["geology"])


def test_trained_on_them_spectra_do_not_tell_far_decoys_nor_geology_barren_ones(pixels: Pixels) -> None:
    found = {}
    for name, features in (("spectra", pixels.bands), ("geology", pixels.distances)):
        for other in (A, B):
            among = (pixels.kind == "ore") | (pixels.kind == other)
            found[name, other] = area_under_curve(pixels, scores(pixels, features, among), other)
    assert found["spectra", A] < 0.65
    assert found["geology", B] < 0.65
    # What tells them is there: it is the other half.
    assert found["geology", A] > 0.99
    assert found["spectra", B] > 0.75
