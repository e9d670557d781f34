"""Sets of patches: cut from a scene or a study area, stored, read again, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.prospect_sets import (
    list_prospect_sets,
    patches_of_set,
    prospect_set_by_name,
    read_deposits,
    remove_prospect_set,
    require_free_set_name,
)
from inference.prospect.channels import Channel, GeologyChoice
from inference.prospect.dataset import TEST, TRAIN, VALIDATION, PatchSet, SetRequest, cut, load_set, make_set
from inference.prospect.split import Parallel
from tests.conftest import copied_database
from tests.prospect_ground import (
    BANDS,
    BY_WAVELENGTH,
    OFFSET,
    PLACES,
    SCALE,
    SIDE,
    add_area,
    add_body,
    add_deposits,
    add_fault,
    add_layer,
    add_scene,
    at,
    box,
    fill,
    layer_values,
    stored_pixels,
)
from tests.support import lode_here

NONE = GeologyChoice(bands=())
REQUEST = SetRequest("set", "scene")


@pytest.fixture(scope="session")
def prospect_database(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A database with a hyperspectral scene, geology, deposits, and a study area of two layers."""
    cluster.create_database("lode_test_prospect", template=template_database)
    with connect(cluster.url("lode_test_prospect")) as conn:
        fill(conn, tmp_path_factory.mktemp("scene"))
    return "lode_test_prospect"


@pytest.fixture
def url(cluster: Cluster, prospect_database: str) -> Iterator[str]:
    with copied_database(cluster, prospect_database) as copy:
        yield copy


@pytest.fixture
def ground(cluster: Cluster, prospect_database: str) -> Iterator[Connection[Any]]:
    """Connection to that database; what a test does to it is rolled back."""
    with connect(cluster.url(prospect_database)) as conn:
        yield conn
        conn.rollback()


def same(a: PatchSet, b: PatchSet) -> None:
    for name in ("rows", "cols", "is_positive", "parts", "blocks"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert np.array_equal(a.ground.values, b.ground.values, equal_nan=True)
    assert np.array_equal(a.ground.is_judged, b.ground.is_judged)
    assert a.ground.channels == b.ground.channels
    assert (a.name, a.prospect_set_id, a.patch_px) == (b.name, b.prospect_set_id, b.patch_px)


@pytest.mark.parametrize("is_scene", [True, False])
def test_a_set_is_read_as_it_was_made(url: str, is_scene: bool) -> None:
    request = REQUEST if is_scene else replace(REQUEST, product=None, area="area")
    with connect(url) as conn:
        made = make_set(conn, request)
        conn.commit()
    with connect(url) as conn:
        same(load_set(conn, "set"), made)
        [stored] = list_prospect_sets(conn)
        assert (stored.scene_id is None) != is_scene
        assert (stored.evidence_area_id is None) == is_scene
        assert stored.geology_digest == made.ground.geology_digest
        patches = patches_of_set(conn, made.prospect_set_id)
    assert [patch.row_px for patch in patches] == made.rows.tolist()
    assert set(made.parts.tolist()) == {TRAIN, VALIDATION, TEST}
    for part in (TRAIN, VALIDATION, TEST):
        assert set(made.is_positive[made.parts == part].tolist()) == {True, False}


def test_labels_are_those_of_the_ground_near_deposits(ground: Connection[Any]) -> None:
    made = make_set(ground, REQUEST)
    rows, cols = np.indices((SIDE, SIDE))
    near = np.zeros((SIDE, SIDE), bool)
    for row, col in PLACES:
        near |= np.hypot(rows - row, cols - col) * 30 <= 100
    for row, col, patch in zip(
        made.rows, made.cols, patches_of_set(ground, made.prospect_set_id), strict=True
    ):
        share = near[row : row + 10, col : col + 10].mean()
        assert patch.positive_share == pytest.approx(share)
        assert patch.is_positive == (share >= 0.2)
        assert patch.is_positive or share == 0
        assert made.ground.is_valid[row : row + 10, col : col + 10].mean() >= 0.9
    assert not (made.rows % 5).any()
    assert not (made.cols % 5).any()
    assert made.is_positive.sum() >= 40
    stored = prospect_set_by_name(ground, "set")
    assert len(stored.deposit_ids) == len(PLACES)
    assert (~made.is_positive).sum() <= 3 * made.is_positive.sum()


def test_patches_hold_the_values_of_their_ground(ground: Connection[Any]) -> None:
    made = make_set(ground, REQUEST)
    nodes = cut(made.ground.values, made.rows, made.cols, made.patch_px)
    assert nodes.shape == (made.rows.size, 100, len(BY_WAVELENGTH) + 2)
    stored = stored_pixels()[BANDS.index("B066")].astype(np.float64)
    row, col = made.rows[5], made.cols[5]
    expected = (stored[row : row + 10, col : col + 10].ravel() + OFFSET) * SCALE
    np.testing.assert_allclose(nodes[5, :, 0], expected, rtol=1e-6)


def test_what_is_stored_says_how_the_set_was_made(ground: Connection[Any]) -> None:
    add_deposits(ground, [(500, 500), (10, 2), (2, 2)])  # far away, and two on the collar
    ground.execute("update lode.deposit set commodity = 'Li'")
    request = replace(REQUEST, deposits=(("commodity", "Li"),), seed=3)
    made = make_set(ground, request)
    stored = prospect_set_by_name(ground, "set")
    assert (stored.buffer_m, stored.positive_share, stored.split_rule, stored.seed) == (100, 0.2, "block", 3)
    assert (stored.patch_px, stored.spacing_m) == (10, 30)
    assert [Channel.from_json(each) for each in stored.channels] == list(made.ground.channels)
    parameters = stored.parameters
    assert parameters["deposits"] == ["commodity=Li"]
    assert parameters["stride_px"] == 5
    assert parameters["windows_nm"] == [[782, 902], [2014, 2400]]
    assert parameters["geology"]["proximity_m"] == 1000
    for split, part in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        counts = parameters["patches"][split]
        assert counts["positive"] == (made.is_positive & (made.parts == part)).sum()
        assert counts["negative"] == (~made.is_positive & (made.parts == part)).sum()
        assert parameters["places"][split] >= 1
    left = parameters["left_out"]
    assert left["deposits_outside"] == 1
    assert left["deposits_unjudged"] == 2
    assert len(left["channels"]) == 2
    used, positions = sum(sum(each.values()) for each in parameters["patches"].values()), 29 * 29
    assert used == made.rows.size
    assert positions == used + sum(left[key] for key in (
        "patches_without_values", "patches_between", "positive_near_another_part",
        "negative_near_another_part", "negative_not_drawn",
    ))  # fmt: skip
    # the first column on the collar, two at the cloud, four round the hole in a band
    assert left["patches_without_values"] == 29 + 2 + 4
    assert any("not judged" in line for line in parameters["warnings"])


def test_outlines_are_the_ground_of_the_patches(ground: Connection[Any]) -> None:
    made = make_set(ground, REQUEST)
    rows = ground.execute(
        "select row_px, col_px, st_xmin(g), st_ymax(g), st_xmax(g), st_ymin(g)"
        " from (select *, st_transform(geom, 32645) as g from lode.prospect_patch) p"
    ).fetchall()
    assert len(rows) == made.rows.size
    for row, col, *bounds in rows:
        west, north = 500_000 + 30 * col, 4_860_000 - 30 * row
        assert bounds == pytest.approx([west, north, west + 300, north - 300], abs=0.01)
    [(count,)] = ground.execute(
        "select count(*) from lode_api.prospect_sample where set_name = 'set'"
    ).fetchall()
    assert count == made.rows.size


def test_the_same_request_gives_the_same_patches_and_another_seed_others(ground: Connection[Any]) -> None:
    a, b, c = (
        make_set(ground, replace(REQUEST, name=name, seed=seed))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    same(a, replace(b, name="a", prospect_set_id=a.prospect_set_id))
    assert not (np.array_equal(a.rows, c.rows) and np.array_equal(a.parts, c.parts))


def test_beyond_a_parallel_is_the_test(ground: Connection[Any]) -> None:
    latitude = at(95, 0)[1]
    made = make_set(ground, replace(REQUEST, parallel=Parallel("south", latitude)))
    stored = prospect_set_by_name(ground, "set")
    assert stored.split_rule == "south"
    assert stored.parameters["parallel_deg"] == latitude
    assert made.rows[made.parts == TEST].min() >= 95
    assert made.rows[made.parts != TEST].max() + 10 <= 95 - 10


def test_bodies_count_by_their_outline(ground: Connection[Any]) -> None:
    ground.execute("delete from lode.deposit")
    for row, col in ((20, 30), (70, 70), (120, 40), (100, 120), (40, 110)):
        add_body(ground, row + 3, col + 3, box(row, col, row + 6, col + 8))
    made = make_set(ground, replace(REQUEST, buffer_m=0.0))
    assert made.is_positive.any()
    near = np.zeros((SIDE, SIDE), bool)
    for row, col in ((20, 30), (70, 70), (120, 40), (100, 120), (40, 110)):
        near[row : row + 6, col : col + 8] = True
    for row, col, is_positive in zip(made.rows, made.cols, made.is_positive, strict=True):
        assert is_positive == (near[row : row + 10, col : col + 10].mean() >= 0.2)
    assert all(deposit.body is not None for deposit in read_deposits(ground))


def test_deposits_deleted_since_are_no_matter(ground: Connection[Any]) -> None:
    made = make_set(ground, REQUEST)
    ground.execute("delete from lode.deposit")
    same(load_set(ground, "set"), made)


def test_geology_that_changed_since_is_refused(ground: Connection[Any]) -> None:
    make_set(ground, REQUEST)
    make_set(ground, replace(REQUEST, name="bare", geology=NONE))
    add_fault(ground, (10, 10), (12, 90))
    with pytest.raises(UsageError, match=r"faults or plutons near scene have changed since 'set'.*again"):
        load_set(ground, "set")
    assert load_set(ground, "bare").ground.geology_digest is None


def test_layers_brought_in_again_are_refused(ground: Connection[Any]) -> None:
    from db.evidence import area_by_name, find_layer

    make_set(ground, replace(REQUEST, product=None, area="area"))
    make_set(ground, replace(REQUEST, product=None, area="area", layers=("Be",), name="Be"))
    area = area_by_name(ground, "area")
    add_layer(ground, area, "Li", layer_values(1), replaces=find_layer(ground, area, "Li"))
    with pytest.raises(UsageError, match=r"layers of area area were brought in again .*\(Li\)"):
        load_set(ground, "set")
    assert load_set(ground, "Be").ground.channels[0].name == "Be"


def test_a_set_goes_on_with_the_version_it_was_cut_from(ground: Connection[Any], tmp_path: Path) -> None:
    made = make_set(ground, REQUEST)
    add_scene(ground, tmp_path, pixels=stored_pixels() + 1)
    said: list[str] = []
    same(load_set(ground, "set", report=said.append), made)
    assert said == ["scene scene has a newer version than version 1, which set is of"]


@pytest.mark.parametrize("name", ["", " a", "-a", "a\nb", "x" * 201])
def test_names_that_are_none_are_refused(ground: Connection[Any], name: str) -> None:
    with pytest.raises(UsageError, match=r"name of a set of patches .*printable"):
        require_free_set_name(ground, name)


def test_names_are_data_and_taken_once(ground: Connection[Any]) -> None:
    name = "伟晶岩'); drop table lode.prospect_set; --"
    make_set(ground, replace(REQUEST, name=name))
    with pytest.raises(UsageError, match=r"exists: choose another name"):
        make_set(ground, replace(REQUEST, name=name))
    with pytest.raises(UsageError, match=r"no set of patches is called 'x': there are 伟晶岩"):
        load_set(ground, "x")
    count = len(patches_of_set(ground, prospect_set_by_name(ground, name).prospect_set_id))
    assert remove_prospect_set(ground, name) == count
    assert list_prospect_sets(ground) == []
    with pytest.raises(UsageError, match=r"there is none yet, see lode prospect dataset"):
        prospect_set_by_name(ground, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"product": "x"}, r"no scene 'x'"),
        ({"deposits": (("commodity", "Au"),)}, r"no deposit has commodity=Au; .*: Be, Li"),
        ({"block_m": 500.0}, r"blocks of 500 m are too small for patches of 300 m"),
        ({"buffer_m": 10.0}, r"the buffer is 10 m and cells are 30 m wide"),
        ({"positive_share": 0.9}, r"no patch is positive: at most 0\.37 of the cells"),
        ({"buffer_m": 5000.0}, r"so that none can be negative"),
        ({"block_m": 5000.0}, r"with blocks of 5000 m not every part holds positive and negative"),
        ({"parallel": Parallel("north", 50.0)}, r"no positive patch lies north of 50"),
    ],
)
def test_what_no_set_can_be_made_of_is_refused_and_nothing_is_stored(
    ground: Connection[Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make_set(ground, replace(REQUEST, **change))
    assert list_prospect_sets(ground) == []


def test_deposits_elsewhere_or_on_missing_data_are_refused(ground: Connection[Any]) -> None:
    ground.execute("delete from lode.deposit")
    with pytest.raises(UsageError, match=r"there are no deposits"):
        make_set(ground, REQUEST)
    add_deposits(ground, [(900, 900)])
    with pytest.raises(UsageError, match=r"none of the 1 deposits lies within 100 m of scene; the nearest"):
        make_set(ground, REQUEST)
    add_deposits(ground, [(50, 1)])
    with pytest.raises(UsageError, match=r"scene is not judged where its 1 deposits lie"):
        make_set(ground, REQUEST)


def test_ground_that_lacks_values_is_refused(ground: Connection[Any]) -> None:
    area = add_area(ground, "sparse")
    values = np.full((SIDE, SIDE), np.nan, np.float32)
    values[::3] = layer_values(4)[::3]
    add_layer(ground, area, "sparse", values)
    with pytest.raises(UsageError, match=r"no patch on sparse has values .*channel sparse has a value on 33"):
        make_set(ground, replace(REQUEST, product=None, area="sparse"))


def test_a_ground_smaller_than_a_patch_is_refused(ground: Connection[Any], tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(1, 900, (len(BANDS), 9, 44)).astype(np.uint16)
    add_scene(ground, tmp_path, "small", pixels=pixels)
    add_deposits(ground, [(3, 8)])
    with pytest.raises(UsageError, match=r"patches of 10 x 10 cells do not fit on ground of 44 x 9 cells"):
        make_set(ground, replace(REQUEST, product="small"))


def test_the_command_says_what_the_set_holds(url: str) -> None:
    done = lode_here(
        url, "prospect", "dataset", "--name", "a", "--scene", "scene", "--deposits", "commodity=Li",
        "--deposits", "commodity=Be", "--geology", "proximity", "--geology", "density",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "band B210 is left out: it holds no value" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("a: ")
    assert "patches of 10 x 10 cells of 30 m on scene, split by blocks of" in lines[0]
    assert "spectral channels: 4 (B066, B070, B185, B200)" in lines
    assert "geology channels: 3 (fault_proximity, pluton_proximity, fault_density)" in lines
    assert "positive: 0.2 of a patch within 100 m of one of 25 deposits (commodity=Li, commodity=Be)" in lines
    with connect(url) as conn:
        made = load_set(conn, "a")
    table = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    for part, split in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        chosen = made.is_positive[made.parts == part]
        assert table[split][:2] == [str(int(chosen.sum())), str(int((~chosen).sum()))]
    assert "band B210 is left out: it holds no value" in lines
    assert any(line.startswith("left out: 35 patches that lack values") for line in lines)


def test_a_set_learns_from_logarithms_of_contents_unless_told_otherwise(url: str) -> None:
    for name, words in (("logs", ()), ("raw", ("--raw-contents",))):
        done = lode_here(
            url, "prospect", "dataset", "--name", name, "--area", "area", "--deposits", "all", *words
        )
        assert done.returncode == 0, done.stderr
        taken = "" if words else ", log10 of 2"
        assert f"evidence channels: 2 (Li, Be){taken}" in done.stdout.splitlines()
    with connect(url) as conn:
        logs, raw = load_set(conn, "logs"), load_set(conn, "raw")
        assert [prospect_set_by_name(conn, name).parameters["raw_contents"] for name in ("logs", "raw")] == [
            False,
            True,
        ]
    assert [channel.is_log for channel in logs.ground.channels] == [True, True, False, False]
    assert not any(channel.is_log for channel in raw.ground.channels)
    np.testing.assert_allclose(logs.ground.values[:2], np.log10(raw.ground.values[:2]), rtol=1e-6)
    np.testing.assert_array_equal(logs.ground.values[2:], raw.ground.values[2:])
    assert np.array_equal(logs.rows, raw.rows)


def test_a_set_of_a_scene_that_is_no_surface_reflectance_warns(url: str) -> None:
    with connect(url) as conn:
        conn.execute("update lode.scene set processing_level = 'toa_reflectance'")
        conn.commit()
    done = lode_here(url, "prospect", "dataset", "--name", "a", "--scene", "scene", "--deposits", "all")
    assert done.returncode == 0, done.stderr
    assert "warning: scene holds toa_reflectance, not surface_reflectance" in done.stderr
    assert "warning: scene holds toa_reflectance, not surface_reflectance" in done.stdout
    with connect(url) as conn:
        [warning] = [line for line in prospect_set_by_name(conn, "a").parameters["warnings"] if "toa" in line]
    assert "searches scenes of that level alone" in warning


def test_the_command_removes_a_set_and_its_name_is_free(url: str) -> None:
    with connect(url) as conn:
        count = len(make_set(conn, replace(REQUEST, name="old ore")).rows)
        make_set(conn, replace(REQUEST, name="kept"))
        conn.commit()
        with pytest.raises(UsageError, match=r"remove it with `lode prospect remove`"):
            require_free_set_name(conn, "old ore")
        conn.rollback()
        done = lode_here(url, "prospect", "remove", "old ore")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"set old ore removed, with {count} patches\n"
        assert [each.name for each in list_prospect_sets(conn)] == ["kept"]
        require_free_set_name(conn, "old ore")
    again = lode_here(url, "prospect", "remove", "old ore")
    assert again.returncode == 1
    assert "no set of patches is called 'old ore': there are kept" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scene", "scene", "--area", "area"), "name either a scene (--scene) or a study area (--area)"),
        ((), "name either a scene (--scene) or a study area (--area)"),
        (("--scene", "scene", "--layer", "Li"), "--layer names layers of a study area"),
        (("--scene", "scene", "--geology", "density", "--no-geology"), "exclude each other"),
        (("--scene", "scene", "--test-north-of", "1", "--test-south-of", "2"), "exclude each other"),
        (("--scene", "scene", "--share", "1.5"), "the share is 1.5"),
        (("--scene", "scene", "--windows-nm", "902-782"), "--windows-nm 902-782: write the lower and upper"),
        (("--scene", "scene", "--deposits", "Li"), "--deposits 'all': write `all` alone"),
        (("--scene", "scene", "--density-radius-m", "0"), "density_radius_m of the geology must be"),
        (("--area", "area", "--layer", "Au"), "no layer 'Au'"),
        (("--scene", "scene", "--raw-contents"), "--raw-contents speaks of layers of geochemistry"),
    ],
)
def test_wrong_options_are_refused(
    cluster: Cluster, prospect_database: str, arguments: tuple[str, ...], message: str
) -> None:
    url = cluster.url(prospect_database)  # nothing is stored
    done = lode_here(url, "prospect", "dataset", "--name", "a", "--deposits", "all", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
