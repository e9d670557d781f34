"""Sample sets that hold out whole scenes: two zones, two years, few places, folds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from click.testing import CliRunner
from psycopg import Connection
from rasterio import Affine

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.samples import Sample, list_sample_sets, samples_of_set
from db.scenes import list_scenes
from inference.sample_commands import samples_group
from inference.samples.report import report_of
from inference.samples.sets import build_sample_set
from inference.samples.settings import SCENE, Fold, SampleSettings
from inference.training.segmentation import TrainingReport, train_segmentation
from inference.training.settings import TrainingSettings
from lode import cli
from tests.conftest import copied_database
from tests.ingest_files import some_pixels, write_tiff

TILE_PX = 32
EDGE_PX = 64
LON, LAT = 84.0, 43.9  # the line between zones 44 and 45
SITES = (
    ("a_2020", 32644, -3000.0),
    ("a_2021", 32644, -2800.0),  # another year of the first, 200 m east
    ("b_west", 32644, -320.0),  # 640 m wide: over the line between the zones
    ("b_east", 32645, 340.0),  # 20 m east of it, in the other zone
    ("c", 32645, 3000.0),
    ("d", 32645, 6000.0),
)
GROUPS = ["scenes a_2020 and 1 more", "scenes b_east and 1 more", "scenes c", "scenes d"]


@pytest.fixture(scope="module")
def places(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with six labelled scenes at four places along a parallel."""
    name = "lode_test_places"
    cluster.create_database(name, template=template_database)
    folder = tmp_path_factory.mktemp("places")
    for number, (product, srid, east_m) in enumerate(SITES):
        x, y = pyproj.Transformer.from_crs(4326, srid, always_xy=True).transform(LON, LAT)
        corner = Affine(10.0, 0.0, round(x + east_m, -1), 0.0, -10.0, round(y, -1))
        classes = np.ones((1, EDGE_PX, EDGE_PX), np.uint8)
        classes[0, 20:44, 20:44] = 6 if product != "d" else 7
        where = {"crs": f"EPSG:{srid}", "transform": corner}
        pixels = some_pixels(4, EDGE_PX, EDGE_PX, seed=number)
        scene = write_tiff(folder / f"{product}.tif", pixels, **where)
        drawn = write_tiff(folder / f"{product}_classes.tif", classes, **where)
        table = folder / "classes.toml"
        table.write_text('[classes]\n1 = "background"\n6 = "open_pit"\n7 = "tailings_pond"\n')
        url = cluster.url(name)
        lode(url, "ingest", "scene", scene, "--sensor", "gf2_pms", "--acquired-on", f"202{number}-06-01",
             "--bands", "blue,green,red,nir")  # fmt: skip
        lode(url, "ingest", "labels", drawn, "--classes", table, "--scene", product)
    yield name
    cluster.drop_database(name)


@pytest.fixture
def places_url(cluster: Cluster, places: str) -> Iterator[str]:
    with copied_database(cluster, places) as url:
        yield url


@pytest.fixture
def places_conn(places_url: str) -> Iterator[Connection[Any]]:
    with connect(places_url) as connection:
        yield connection


def lode(url: str, *arguments: str | Path) -> None:
    done = CliRunner().invoke(cli, list(map(str, arguments)), env={"LODE_DATABASE_URL": url})
    assert done.exit_code == 0, (done.output, done.exception)


def by_scene(**options: Any) -> SampleSettings:
    return SampleSettings(**{"tile_px": TILE_PX, "gap_m": 50.0, "split_rule": SCENE, **options})


def parts_by_product(conn: Connection[Any], samples: list[Sample]) -> dict[str, set[str]]:
    names = {scene.scene_id: scene.product for scene in list_scenes(conn)}
    parts: dict[str, set[str]] = {name: set() for name in names.values()}
    for sample in samples:
        parts[names[sample.scene_id]].add(sample.split)
    return parts


def test_scenes_on_common_ground_play_one_part(places_conn: Connection[Any]) -> None:
    conn = places_conn
    found = build_sample_set(conn, "a", by_scene())
    assert found.split_rule == "scene"
    samples = samples_of_set(conn, found.sample_set_id)
    assert sorted({sample.group_key for sample in samples}) == GROUPS
    parts = parts_by_product(conn, samples)
    assert all(len(each) == 1 for each in parts.values())
    assert parts["a_2020"] == parts["a_2021"]
    assert parts["b_west"] == parts["b_east"]
    assert {sample.split for sample in samples} == {"train", "validation", "test"}
    # nothing has to be given up, and nothing is cut away between blocks
    assert found.parameters["left_out"]["windows_near_another_part"] == 0
    assert sum(sum(sample.own_class_pixels) for sample in samples) == len(SITES) * EDGE_PX**2
    nearest = conn.execute(
        "select min(st_distance(a.geom::geography, b.geom::geography)) from lode.sample a"
        " join lode.sample b on a.sample_set_id = b.sample_set_id and a.split < b.split"
    ).fetchone()
    assert nearest is not None
    assert nearest[0] > 1000


def test_a_smaller_gap_parts_neighbours_and_a_larger_one_joins_more(places_conn: Connection[Any]) -> None:
    conn = places_conn
    for name, gap_m, groups in (("near", 5.0, 5), ("far", 2000.0, 3)):
        found = build_sample_set(conn, name, by_scene(gap_m=gap_m))
        assert sum(found.parameters["groups"].values()) == groups
        report = report_of(conn, found)
        assert (report.leaks, report.close) == (0, 0)
    with pytest.raises(UsageError, match=r"labels lie in 1 groups of scenes, at least three .* other places"):
        build_sample_set(conn, "all", by_scene(gap_m=5000.0))


def test_in_folds_every_place_is_the_test_once(places_conn: Connection[Any]) -> None:
    conn = places_conn
    held_out = []
    for number in range(1, 5):
        found = build_sample_set(conn, f"fold {number}", by_scene(fold=Fold(number, 4)))
        assert found.parameters["fold"] == f"{number}/4"
        report = report_of(conn, found)
        train, validation, test = report.groups
        assert (len(train), len(validation), len(test)) == (2, 1, 1)
        assert sorted(train + validation + test) == GROUPS
        held_out.append((validation, test))
        assert not any("60 : 20 : 20" in line for line in report.warnings)
    assert [test for _validation, test in held_out] == [(key,) for key in GROUPS]
    assert [validation for validation, _test in held_out] == [(GROUPS[n],) for n in (1, 2, 3, 0)]
    with pytest.raises(UsageError, match="fold is 1/5, but the labels lie in 4 groups of scenes: with 4"):
        build_sample_set(conn, "too many", by_scene(fold=Fold(1, 5)))


def test_a_class_of_one_place_is_mentioned(places_conn: Connection[Any]) -> None:
    found = build_sample_set(places_conn, "a", by_scene())
    [line] = [each for each in found.parameters["warnings"] if each.startswith("tailings_pond")]
    assert line == ("tailings_pond: only 1 groups of scenes hold it, none is left for validation and test")


def test_the_command_line(places_url: str) -> None:
    def samples(*arguments: str) -> Any:
        return CliRunner().invoke(samples_group, list(arguments), env={"LODE_DATABASE_URL": places_url})

    size = ("--tile-px", "32", "--split", "scene")
    built = samples("build", "--name", "second", *size, "--fold", "2/4")
    assert built.exit_code == 0, built.output
    assert "split by scene, fold 2/4" in built.output
    assert "test: scenes b_east and 1 more\n" in built.output
    assert "split by scene, fold 2/4" in samples("list").output
    for options, message in (
        (("--fold", "2of4"), "like 2/5"),
        (("--fold", "5/4"), "1 to 4"),
        (("--fold", "1/2"), "at least 3"),
        (("--block-m", "500"), "has no blocks"),
    ):
        refused = samples("build", "--name", "other", *size, *options)
        assert isinstance(refused.exception, UsageError)
        assert message in str(refused.exception)
    with connect(places_url) as conn:
        assert [each.name for each in list_sample_sets(conn)] == ["second"]


def test_all_windows_of_two_parts_are_of_two_places(places_conn: Connection[Any]) -> None:
    found = build_sample_set(places_conn, "a", by_scene())
    split_of: dict[str, str] = {}
    for a, b in itertools.combinations(samples_of_set(places_conn, found.sample_set_id), 2):
        split_of.setdefault(a.group_key, a.split)
        assert (a.group_key == b.group_key) <= (a.split == b.split)
    assert len(split_of) == len(GROUPS)


def test_training_tells_what_became_of_a_set_since_it_was_made(places_url: str, tmp_path: Path) -> None:
    """Labels drawn on a scene go to its newer version, and the set still names the older one."""
    with connect(places_url) as conn:
        found = build_sample_set(conn, "set", by_scene())
        samples = samples_of_set(conn, found.sample_set_id)
        parts = parts_by_product(conn, samples)
        conn.commit()
    product, srid, east_m = next(site for site in SITES if site[0] != "d" and parts[site[0]] == {"train"})
    settings = TrainingSettings(
        architecture="deeplabv3plus", backbone="small", epochs=1, windows_per_epoch=8, batch_size=4
    )

    def told(name: str) -> str:
        lines: list[str] = []
        report = TrainingReport(lines.append, lambda _epoch: None)
        train_segmentation(places_url, name, settings, sample_set="set", device_name="cpu", report=report)
        return "\n".join(lines)

    assert "newer versions" not in (before := told("before"))
    assert "when the samples were made" not in before
    x, y = pyproj.Transformer.from_crs(4326, srid, always_xy=True).transform(LON, LAT)
    corner = Affine(10.0, 0.0, round(x + east_m, -1), 0.0, -10.0, round(y, -1))
    pixels = some_pixels(4, EDGE_PX, EDGE_PX, seed=77)
    path = write_tiff(tmp_path / f"{product}.tif", pixels, crs=f"EPSG:{srid}", transform=corner)
    day = f"202{[site[0] for site in SITES].index(product)}-06-01"
    lode(places_url, "ingest", "scene", path, "--sensor", "gf2_pms", "--acquired-on", day,
         "--bands", "blue,green,red,nir")  # fmt: skip
    after = told("after")
    assert f"newer versions replaced the scenes {product}: build the samples again" in after
    then = sum(sum(sample.own_class_pixels) for sample in samples if sample.split == "train")
    now = then - EDGE_PX**2
    assert f"train: {now:,} labelled pixels, {then:,} when the samples were made" in after
    assert "test: " not in after
