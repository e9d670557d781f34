"""Sample sets in the database: what is stored, shown and refused, on a simulated district of two years."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.labels import labels_of_scene
from db.samples import (
    list_sample_sets,
    mines_of_labels,
    near_scenes,
    remove_sample_set,
    require_free_set_name,
    sample_set_by_name,
    samples_of_set,
)
from db.scenes import list_scenes, scene_by_id
from inference.sample_commands import samples_group
from inference.samples.counts import sample_truth
from inference.samples.report import report_of
from inference.samples.scenes import scene_groups
from inference.samples.sets import build_sample_set
from inference.samples.settings import SampleSettings
from inference.scene_checks import source_of
from inference.training.label_maps import label_map
from inference.training.statistics import observed_labels
from ingest.simulate.district import simulate_district
from lode import cli
from tests.catalogue_rows import add_mine, add_scene
from tests.conftest import copied_database
from tests.e2e.conftest import labels_of
from tests.grids import cells

TILE_PX = 32
SMALL = SampleSettings(tile_px=TILE_PX, gap_m=20.0)


@pytest.fixture(scope="module")
def labelled(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with two years of a small district: scenes, labels, mines, and the set "a" by mine."""
    folder = tmp_path_factory.mktemp("district")
    district = simulate_district(folder, seed=3, width_px=384, height_px=384)
    name = "lode_test_samples"
    cluster.create_database(name, template=template_database)
    url = cluster.url(name)
    products = [scene.product for scene in district.scenes[:2]]
    for scene in district.scenes[:2]:
        lode(
            url, "ingest", "scene", scene.path, "--sensor", scene.sensor, "--product", scene.product,
            "--acquired-on", scene.acquired_on.isoformat(),
        )  # fmt: skip
    labels = labels_of(district, set(products), tmp_path_factory.mktemp("labels"))
    lode(url, "ingest", "labels", labels)
    lode(url, "ingest", "mines", district.mines)
    with connect(url) as connection:
        build_sample_set(connection, "a", SMALL)
        connection.commit()
    yield name
    cluster.drop_database(name)


def lode(url: str, *arguments: str | Path) -> None:
    """The command line, in this process: starting Python and torch takes longer than the work."""
    done = CliRunner().invoke(cli, list(map(str, arguments)), env={"LODE_DATABASE_URL": url})
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.fixture
def labelled_url(cluster: Cluster, labelled: str) -> Iterator[str]:
    with copied_database(cluster, labelled) as url:
        yield url


@pytest.fixture
def district_conn(labelled_url: str) -> Iterator[Connection[Any]]:
    with connect(labelled_url) as connection:
        yield connection


def samples(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(samples_group, list(arguments), env={"LODE_DATABASE_URL": url})


@pytest.mark.parametrize("rule", ["mine", "block"])
def test_what_is_stored_is_what_the_labels_hold(district_conn: Connection[Any], rule: str) -> None:
    conn = district_conn
    found = sample_set_by_name(conn, "a")
    if rule == "block":
        found = build_sample_set(conn, rule, replace(SMALL, split_rule=rule))
    stored = samples_of_set(conn, found.sample_set_id)
    assert {sample.split for sample in stored} == {"train", "validation", "test"}
    assert found.split_rule == rule
    assert any(sample.group_key.startswith("mine ") for sample in stored) == (rule == "mine")
    seen: dict[int, Any] = {}
    drawn_of, ids_of = {}, {}
    for sample in stored:
        grid = scene_by_id(conn, sample.scene_id).grid
        if sample.scene_id not in seen:
            scene = scene_by_id(conn, sample.scene_id)
            labels = labels_of_scene(conn, sample.scene_id)
            every = label_map(
                [each.land_class_code for each in labels], [each.geometry for each in labels], scene.grid
            )
            drawn = observed_labels(source_of(conn, scene, scene.band_names), every)
            drawn_of[sample.scene_id] = drawn
            ids_of[sample.scene_id] = np.array([each.label_id for each in labels])
            keys = np.array([0, *(each.label_id for each in labels)])[drawn.polygons]
            seen[sample.scene_id] = (drawn.classes, keys, np.zeros(keys.shape, bool))
        classes, keys, is_seen = seen[sample.scene_id]
        assert (sample.height_px, sample.width_px) == (TILE_PX, TILE_PX)
        assert 0 <= sample.row_px <= grid.height_px - TILE_PX
        assert 0 <= sample.col_px <= grid.width_px - TILE_PX
        box = (
            slice(sample.row_px, sample.row_px + TILE_PX),
            slice(sample.col_px, sample.col_px + TILE_PX),
        )
        counting = np.isin(keys[box], sample.label_ids)
        assert np.bincount(classes[box][counting], minlength=8).tolist() == sample.class_pixels
        truth = sample_truth(drawn_of[sample.scene_id], ids_of[sample.scene_id], sample)
        np.testing.assert_array_equal(truth, np.where(counting, classes[box], 255))
        own = counting & ~is_seen[box]
        assert np.bincount(classes[box][own], minlength=8).tolist() == sample.own_class_pixels
        is_seen[box] |= counting
        assert sum(sample.class_pixels) >= 16
    report = report_of(conn, found)
    assert (report.leaks, report.close) == (0, 0)
    total = sum(int((classes != 255).sum()) for classes, _keys, _seen in seen.values())
    kept = sum(sum(row.pixels) for row in report.rows)
    assert kept + sum(found.parameters["left_out"]["pixels"].values()) == total
    assert kept / total > 0.5


def test_no_two_parts_share_ground_as_postgis_sees_it(district_conn: Connection[Any]) -> None:
    """Measured on the ellipsoid, over both years, without any of our own geometry."""
    conn = district_conn
    found = sample_set_by_name(conn, "a")
    nearest = conn.execute(
        "select min(st_distance(a.geom::geography, b.geom::geography)) from lode.sample a"
        " join lode.sample b on a.sample_set_id = b.sample_set_id and a.split < b.split"
    ).fetchone()
    assert nearest is not None
    assert nearest[0] >= 20.0 * 0.999
    side_m = TILE_PX * found.resolution_m
    areas = [row[0] for row in conn.execute("select st_area(geom::geography) from lode.sample")]
    # The plane's metres near its central meridian are 0.9996 of those on the ground.
    assert areas == pytest.approx([side_m**2 / 0.9996**2] * len(areas), rel=1e-4)
    outside = conn.execute(
        "select count(*) from lode.sample s join lode.label l on l.label_id = any(s.label_ids)"
        " where not st_intersects(l.geom, s.geom)"
    ).fetchone()
    assert outside == (0,)


def test_the_same_seed_stores_the_same_samples(district_conn: Connection[Any]) -> None:
    conn = district_conn
    first, again = (
        samples_of_set(conn, found.sample_set_id)
        for found in (sample_set_by_name(conn, "a"), build_sample_set(conn, "b", SMALL))
    )
    assert first == again
    one_scene = list_scenes(conn)[0].product
    fewer = build_sample_set(conn, "c", replace(SMALL, split_rule="block"), products=[one_scene])
    assert fewer.parameters["products"] == [one_scene]
    assert {sample.scene_id for sample in samples_of_set(conn, fewer.sample_set_id)} == set(fewer.scene_ids)


def test_a_leak_made_by_hand_is_found(district_conn: Connection[Any]) -> None:
    """Someone copies a training sample into the test part, in the other year."""
    conn = district_conn
    found = sample_set_by_name(conn, "a")
    grids = {scene.scene_id: scene.grid for scene in list_scenes(conn)}
    copied = 0
    for sample in samples_of_set(conn, found.sample_set_id):
        [other] = set(grids) - {sample.scene_id}
        ours, theirs = grids[sample.scene_id], grids[other]
        row = sample.row_px + round((theirs.origin_y - ours.origin_y) / ours.resolution_y)
        col = sample.col_px + round((ours.origin_x - theirs.origin_x) / ours.resolution_x)
        is_inside = 0 <= row < theirs.height_px - 3 and 0 <= col < theirs.width_px - 3
        if sample.split == "train" and is_inside and not copied:
            copied = conn.execute(
                "insert into lode.sample (sample_set_id, scene_id, row_px, col_px, height_px, width_px,"
                " split, group_key, label_ids, class_pixels, own_class_pixels, geom)"
                " select sample_set_id, %s, %s, %s, 3, 3, 'test', group_key, label_ids, class_pixels,"
                " own_class_pixels, geom from lode.sample where sample_set_id = %s"
                " order by sample_id limit 1",
                (other, row + 1, col + 1, found.sample_set_id),
            ).rowcount
    assert copied == 1
    report = report_of(conn, found)
    assert report.leaks >= 1
    assert report.warnings[0].startswith(f"LEAK: {report.leaks} pairs of samples")
    assert "train at row" in report.warnings[1]
    assert "test at row" in report.warnings[1]


def test_deleted_labels_are_mentioned(district_conn: Connection[Any]) -> None:
    conn = district_conn
    found = sample_set_by_name(conn, "a")
    used = {label for sample in samples_of_set(conn, found.sample_set_id) for label in sample.label_ids}
    before = sum(sum(row.polygons) for row in report_of(conn, found).rows)
    assert before >= len(used)
    conn.execute("delete from lode.label where label_id = %s", (min(used),))
    report = report_of(conn, found)
    assert any("1 labels of the set were deleted" in line for line in report.warnings)
    assert sum(sum(row.polygons) for row in report.rows) < before


def test_the_command_line(labelled_url: str) -> None:
    built = samples(
        labelled_url, "build", "--name", "first", "--tile-px", "32", "--gap-m", "20", "--split", "block"
    )
    assert built.exit_code == 0, built.output
    assert samples(labelled_url, "remove", "a").exit_code == 0
    assert "train" in built.output
    assert "left out:" in built.output
    assert "first: windows of 32 px" in samples(labelled_url, "list").output
    shown = json.loads(samples(labelled_url, "show", "first", "--format", "json").output)
    assert shown["leaks"] == 0
    for figures in shown["classes"].values():
        assert figures["pixels"].keys() == {"train", "validation", "test"}
    text = samples(labelled_url, "show").output
    total = sum(shown["classes"]["open_pit"]["pixels"].values())
    assert f"{total:,}" in next(line for line in text.splitlines()[10:] if "open_pit" in line)
    again = samples(labelled_url, "build", "--name", "first", "--tile-px", "32")
    assert isinstance(again.exception, UsageError)
    assert "exists" in str(again.exception)
    assert "removed sample set first" in samples(labelled_url, "remove", "first").output
    with connect(labelled_url) as conn:
        assert conn.execute("select count(*) from lode.sample").fetchone() == (0,)
        assert conn.execute("select count(*) from lode.label").fetchone() != (0,)
    assert "no sample set yet" in samples(labelled_url, "list").output


def refused(conn: Connection[Any], match: str, settings: SampleSettings = SMALL, **options: Any) -> None:
    with pytest.raises(UsageError, match=match):
        build_sample_set(conn, "b", settings, **options)
    assert [each.name for each in list_sample_sets(conn)] == ["a"]


def test_labels_that_make_no_set_are_refused(district_conn: Connection[Any]) -> None:
    conn = district_conn
    refused(conn, "there is no scene 'x'", products=["x"])
    refused(conn, "left for|at least three", SampleSettings(tile_px=512, gap_m=20.0))
    conn.execute("delete from lode.mine")
    refused(conn, "no label lies in a mine", SampleSettings(tile_px=TILE_PX, split_rule="mine"))
    conn.execute("update lode.label set land_class_code = 6")
    refused(conn, "all labels are of class 6")
    conn.execute("update lode.label set land_class_code = 9")
    refused(conn, "no label of a class that networks know")
    conn.execute("update lode.label set land_class_code = 6, geom = st_translate(geom, 1, 1)")
    refused(conn, "covers a pixel with data")
    conn.execute("delete from lode.label")
    refused(conn, "lode ingest labels")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_names_that_cannot_be_shown_are_refused(conn: Connection[Any], name: str) -> None:
    with pytest.raises(UsageError, match="printable"):
        require_free_set_name(conn, name)


def test_an_unknown_set_is_refused(conn: Connection[Any]) -> None:
    with pytest.raises(UsageError, match="there is none yet"):
        sample_set_by_name(conn, "x")
    with pytest.raises(UsageError, match="there is none yet"):
        remove_sample_set(conn, "x'); drop table lode.sample; --")


def test_labels_go_with_the_mine_that_holds_most_of_them(conn: Connection[Any]) -> None:
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("x", "x"))
    add_mine(conn, "A", cells("aaa....", "a"))
    add_mine(conn, "B", cells("..bb...", "b"))
    drawings = ["xxx", "..xx", "...x", ".....x", "......x", "xxxxxxxxxx", "........x"]
    keys = []
    for drawing in drawings:
        row = conn.execute(
            "insert into lode.label (land_class_code, geom, valid_on, scene_id)"
            " values (6, st_geomfromwkb(%s, 4326), '2021-06-01', %s) returning label_id",
            (cells(drawing, "x").wkb, scene),
        ).fetchone()
        assert row is not None
        keys.append(row[0])
    mines = mines_of_labels(conn, keys, 150.0)
    assert [mines.get(key) for key in keys] == [
        ("A", True),
        ("B", True),
        ("B", True),
        ("B", False),  # 100 m east of it
        None,  # 200 m
        ("A", False),  # holds three tenths
        None,
    ]


def test_a_sample_of_nonsense_is_refused_by_the_database(district_conn: Connection[Any]) -> None:
    conn = district_conn
    for change in ("split = 'holdout'", "row_px = -1", "width_px = 0", "class_pixels = '{1}'", "geom = null"):
        with pytest.raises(psycopg.errors.IntegrityError), conn.transaction():
            conn.execute("update lode.sample set " + change)


def test_scenes_are_near_as_the_ellipsoid_has_it(conn: Connection[Any]) -> None:
    """Cells are 100 m wide: the third scene begins 100 m after the second ends, the fourth 400 m later."""
    drawings = ["aa.........", ".aaa.......", ".....aa....", "...........a"]
    keys = [
        add_scene(conn, f"scene {number}", date(2020 + number, 6, 1), cells(drawing, "a"))
        for number, drawing in enumerate(drawings)
    ]
    a, b, c, d = keys
    assert near_scenes(conn, keys, 0.0) == [(a, b)]
    assert near_scenes(conn, keys, 95.0) == [(a, b)]
    assert near_scenes(conn, keys, 105.0) == [(a, b), (b, c)]
    assert near_scenes(conn, keys, 450.0) == [(a, b), (a, c), (b, c), (c, d)]
    assert near_scenes(conn, [a, c], 105.0) == []


def test_scenes_hang_together_over_others(conn: Connection[Any]) -> None:
    drawings = ["aa........", ".aaa......", "...aa.....", "........aa"]
    for number, drawing in enumerate(drawings):
        add_scene(conn, f"scene {number}", date(2020, 6, 1 + number), cells(drawing, "a"))
    scenes = sorted(list_scenes(conn), key=lambda scene: scene.product)
    chain = "scenes scene 0 and 2 more"
    assert scene_groups(conn, scenes, 0.0) == [chain, chain, chain, "scenes scene 3"]
    assert set(scene_groups(conn, scenes, 350.0)) == {"scenes scene 0 and 3 more"}
    assert scene_groups(conn, [scenes[0], scenes[2]], 50.0) == ["scenes scene 0", "scenes scene 2"]
