"""`lode train prospect`: from a set in the database to a model that is listed, shown, loaded and refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.registry import count_published_runs, model_by_name, retire_model
from inference.models.comparison import compare
from inference.models.listing import listing_csv, listing_json
from inference.prospect.apply import SearchRequest, search_ground
from inference.prospect.baselines import PlainModel
from inference.prospect.dataset import SetRequest, load_set, make_set
from inference.prospect.figures import Judged
from inference.prospect.learning import LearningReport, judge
from inference.prospect.model_report import prospect_lines
from inference.prospect.recording import train_prospect
from inference.prospect.settings import ProspectSettings
from inference.prospect.trained import PlainScorer, load_prospect_model
from inference.segmentation_model import load_segmentation
from inference.training.blocks import TEST
from tests.conftest import RunLode, copied_database
from tests.prospect_ground import (
    BANDS,
    PLACES,
    add_area,
    add_deposits,
    add_geology,
    add_layer,
    add_scene,
    layer_values,
    stored_pixels,
)

CPU = torch.device("cpu")
FOREST = ProspectSettings(network="forest", options={"trees": 20})


@pytest.fixture(scope="session")
def trained_database(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A scene that is brighter in one band around the deposits, a study area, a set of patches on each."""
    cluster.create_database("lode_test_prospect_training", template=template_database)
    pixels = stored_pixels()
    for row, col in PLACES:
        around = pixels[BANDS.index("B066"), row - 4 : row + 5, col - 4 : col + 5]
        around[around > 0] += 3000
    with connect(cluster.url("lode_test_prospect_training")) as conn:
        add_scene(conn, tmp_path_factory.mktemp("scene"), pixels=pixels)
        add_geology(conn)
        add_deposits(conn)
        area = add_area(conn)
        for seed, name in enumerate(("Li", "Be")):
            add_layer(conn, area, name, layer_values(seed))
        request = SetRequest("on scene", product="scene", patch_px=6, buffer_m=120.0)
        make_set(conn, request)
        make_set(conn, SetRequest("on area", area="area", patch_px=6, buffer_m=120.0))
        conn.commit()
    return "lode_test_prospect_training"


@pytest.fixture
def database_url(cluster: Cluster, trained_database: str) -> Iterator[str]:
    with copied_database(cluster, trained_database) as url:
        yield url


def models(conn: Connection[Any]) -> list[str]:
    return [row[0] for row in conn.execute("select name from lode.model order by name")]


def test_a_network_is_trained_stored_and_shown(run_lode: RunLode, conn: Connection[Any]) -> None:
    done = run_lode(
        "train", "prospect", "--name", "gcn", "--set", "on scene", "--width", "8", "--epochs", "3",
        "--lr", "0.003", "--device", "cpu", "--option", "outputs=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("set on scene on scene: 6 channels, patches of 6 px; gcn_residual on CPU")
    assert [line.split(":")[0] for line in lines if line.startswith("epoch")] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]
    assert "the commonest answer" in done.stdout
    assert "95 % interval" in done.stdout
    record = model_by_name(conn, "gcn")
    assert (record.task, record.architecture, record.tile_px) == ("prospect", "gcn_residual", 6)
    assert record.options == {"hidden": 8, "outputs": 1}
    assert record.training["processing_level"] == "surface_reflectance"
    assert record.training["geology"]["bands"] == ["fault_distance_m", "pluton_distance_m"]
    assert record.training["geology"]["proximity_m"] == 1000.0
    assert {each["repeats"] for each in record.metrics["importance"]} == {5}
    assert record.training["channels"][0]["center_nm"] == pytest.approx(793.402)
    shown = run_lode("model", "show", "gcn")
    assert shown.returncode == 0
    assert shown.stdout.strip() == done.stdout[done.stdout.index("\ngcn\n") :].strip().replace(
        "software", "searches   0 published with it\n  software"
    )
    patches = load_set(conn, "on scene")
    model = load_prospect_model(conn, "gcn", CPU)
    judged = Judged.from_metrics(record.metrics, "it")
    np.testing.assert_allclose(judge(model, patches).probabilities, judged.probabilities, rtol=1e-6)
    assert len(judged.blocks) == int((patches.parts == TEST).sum()) == record.metrics["patches"]


def test_the_forest_finds_what_the_majority_does_not(database_url: str, conn: Connection[Any]) -> None:
    forest = train_prospect(database_url, "forest", "on scene", FOREST)
    plain = train_prospect(database_url, "plain", "on scene", ProspectSettings(network="majority"))
    assert forest.metrics["balanced_accuracy"] > 0.8
    assert forest.metrics["intervals"]["balanced_accuracy"]["low"] > 0.5
    assert plain.metrics["balanced_accuracy"] == 0.5
    same = forest.metrics["baselines"]["majority"]
    assert {key: plain.metrics[key] for key in same} == same
    model = load_prospect_model(conn, "forest", CPU)
    assert isinstance(model.scorer, PlainScorer)
    assert isinstance(model.scorer.model, PlainModel)
    assert forest.options == {"trees": 20, "min_samples_leaf": forest.options["min_samples_leaf"]}
    assert "skops" in forest.versions


def test_what_a_model_goes_by_is_told_and_stored(run_lode: RunLode, conn: Connection[Any]) -> None:
    forest = ("train", "prospect", "--set", "on scene", "--network", "forest", "--option", "trees=20")
    done = run_lode(*forest, "--name", "forest", "--importance", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("what it goes by"))
    assert lines[head].endswith("mean of 3 times")
    named = [line[2:].split("  ")[0] for line in lines[head + 2 : head + 10]]
    assert named[0] == "B066"  # brighter round the deposits
    assert sorted(named[:6]) == ["B066", "B070", "B185", "B200", "fault_distance_m", "pluton_distance_m"]
    assert named[6:] == ["all spectral", "all geology"]
    stored = {each["name"]: each for each in model_by_name(conn, "forest").metrics["importance"]}
    assert stored["all geology"]["channels"] == ["fault_distance_m", "pluton_distance_m"]
    assert stored["B066"]["repeats"] == 3
    assert stored["B066"]["roc_auc_drop"] > 0.2 > abs(stored["all geology"]["roc_auc_drop"])
    assert f"{stored['all geology']['roc_auc_drop']:.3f} ± " in lines[head + 9]
    assert "what it goes by" in run_lode("model", "show", "forest").stdout
    conn.rollback()
    for arguments in (("--name", "mute", "--importance", "0"), ("--name", "m", "--network", "majority")):
        arguments = arguments if "majority" in arguments else (*forest[4:], *arguments)
        silent = run_lode("train", "prospect", "--set", "on scene", *arguments)
        assert silent.returncode == 0, silent.stderr
        assert "what it goes by" not in silent.stdout
        assert "importance" not in model_by_name(conn, str(arguments[arguments.index("--name") + 1])).metrics
        conn.rollback()


def test_geology_is_left_out_where_asked(run_lode: RunLode, conn: Connection[Any]) -> None:
    done = run_lode(
        "train", "prospect", "--name", "bare", "--set", "on scene", "--network", "svm", "--without-geology"
    )
    assert done.returncode == 0, done.stderr
    record = model_by_name(conn, "bare")
    assert [channel["kind"] for channel in record.training["channels"]] == ["spectral"] * 4
    assert record.training["geology"] is None
    assert len(record.training["trials"]) == 12


def test_a_study_area_is_trained_on_and_its_elements_remembered(
    database_url: str, conn: Connection[Any]
) -> None:
    conn.execute("update lode.evidence_layer set element = 'Li2O' where name = 'Li'")
    conn.commit()
    record = train_prospect(database_url, "area", "on area", FOREST)
    assert record.training["evidence"] == {
        "Li": {"kind": "geochemistry", "element": "Li2O", "unit": "ppm"},
        "Be": {"kind": "geochemistry", "element": None, "unit": "ppm"},
    }
    least = {each["name"]: each.get("least") for each in record.training["channels"]}
    with connect(database_url) as other:
        grounds = load_set(other, "on area").ground
    for name, values in zip(("Li", "Be"), grounds.values, strict=False):
        assert least[name] == pytest.approx(10 ** float(np.nanmin(values[grounds.is_judged])), rel=1e-5)
    assert least["fault_distance_m"] is None
    assert record.training["processing_level"] is None
    assert record.training["ground"] == "area"


def test_the_level_of_the_pixels_is_stored_and_kept_to(database_url: str, conn: Connection[Any]) -> None:
    conn.execute("update lode.scene set processing_level = 'toa_reflectance'")
    make_set(conn, SetRequest("bright", product="scene", patch_px=6, buffer_m=120.0))
    conn.commit()
    record = train_prospect(database_url, "m", "bright", ProspectSettings(network="majority"))
    assert record.training["processing_level"] == "toa_reflectance"
    assert any(line.startswith("scene holds toa_reflectance") for line in record.training["warnings"])
    assert any("Warning: scene holds toa_reflectance" in line for line in prospect_lines(record))
    request = SearchRequest("m", product="scene", device_name="cpu")
    assert search_ground(database_url, request).figures["cells"] > 0
    conn.execute("update lode.scene set processing_level = 'surface_reflectance'")
    conn.commit()
    with pytest.raises(UsageError, match="holds surface_reflectance, model m was trained on toa_reflectance"):
        search_ground(database_url, replace(request, stride_px=3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "nowhere"), "nowhere"),
        (("--network", "svm", "--width", "8"), "--width: a svm is no network"),
        (("--network", "forest", "--grid"), "--grid: a forest is no network"),
        (("--option", "depth=3"), "unknown option 'depth'"),
        (("--option", "hidden=3"), "give it as --width"),
        (("--option", "outputs"), "give NAME=VALUE"),
        (("--epochs", "0"), "epochs is 0"),
        (("--device", "gpu"), "unknown device"),
        (("--name", " "), "model name"),
        (("--importance", "-1"), "-1 is not in the range"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_stored(
    run_lode: RunLode, conn: Connection[Any], arguments: tuple[str, ...], message: str
) -> None:
    done = run_lode("train", "prospect", "--name", "m", "--set", "on scene", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert models(conn) == []


def test_a_name_that_is_taken_is_refused_before_the_training(database_url: str) -> None:
    train_prospect(database_url, "m", "on scene", ProspectSettings(network="majority"))
    lines: list[str] = []
    with pytest.raises(UsageError, match="a model called 'm' exists"):
        train_prospect(database_url, "m", "on scene", FOREST, report=LearningReport(lines.append))
    assert lines == []


def test_a_training_that_is_killed_stores_nothing(database_url: str, conn: Connection[Any]) -> None:
    def killed(*_epoch: object) -> None:
        raise KeyboardInterrupt

    settings = ProspectSettings(width=4, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train_prospect(
            database_url, "m", "on scene", settings, device_name="cpu", report=LearningReport(epoch=killed)
        )
    assert models(conn) == []
    assert conn.execute("select count(*) from lode.model_weights").fetchone() == (0,)


def test_what_lists_models_copes_with_those_of_ore(
    run_lode: RunLode, database_url: str, conn: Connection[Any]
) -> None:
    first = train_prospect(database_url, "first", "on scene", FOREST)
    second = train_prospect(database_url, "second", "on scene", ProspectSettings(network="majority"))
    for output_format in ("text", "json", "csv"):
        listed = run_lode("model", "list", "--format", output_format)
        assert listed.returncode == 0
        assert "first" in listed.stdout
        compared = run_lode("model", "compare", "first", "second", "--format", output_format)
        assert compared.returncode == 0, compared.stderr
    assert "set on scene" in listing_csv([first, second], {}) + listing_json([first], {})
    assert compare([first, second])[0].hindrances == ()
    assert run_lode("model", "show", "first", "--format", "json").returncode == 0
    listed = run_lode("model", "list")
    [line] = [line for line in listed.stdout.splitlines() if line.startswith("first")]
    assert f"balanced accuracy {first.metrics['balanced_accuracy']:.3f}" in line
    rows = list(csv.DictReader(run_lode("model", "list", "--format", "csv").stdout.splitlines()))
    assert float(rows[0]["balanced_accuracy"]) == first.metrics["balanced_accuracy"]
    assert rows[0]["mean_iou"] == ""
    with pytest.raises(UsageError, match="is for prospect, not for segmentation"):
        load_segmentation(conn, "first", CPU)


def test_a_retired_or_damaged_model_is_not_loaded(database_url: str, conn: Connection[Any]) -> None:
    train_prospect(database_url, "m", "on scene", FOREST)
    retire_model(conn, "m", "too old")
    with pytest.raises(UsageError, match="was retired"):
        load_prospect_model(conn, "m", CPU)
    conn.rollback()
    conn.execute("update lode.model_weights set weights = substring(weights from 2)")
    with pytest.raises(UsageError, match="SHA-256"):
        load_prospect_model(conn, "m", CPU)


def test_searches_that_stand_count_as_published(database_url: str, conn: Connection[Any]) -> None:
    model_id = train_prospect(database_url, "m", "on scene", FOREST).model_id
    for digest, withdrawn in (("one", None), ("two", "2026-01-01")):
        conn.execute(
            "insert into lode.prospect_run (model_id, scene_id, parameters, content_digest, threshold,"
            " cell_m, tile_table, band_names, figures, device, versions, withdrawn_at)"
            " values (%s, 1, '{}', %s, 0.5, 30, %s, '{a}', '{}', 'CPU', '{}', %s)",
            (model_id, digest, digest, withdrawn),
        )
    assert count_published_runs(conn) == {model_id: 1}


def test_models_of_one_set_are_compared_block_by_block(
    run_lode: RunLode, database_url: str, conn: Connection[Any]
) -> None:
    good = train_prospect(database_url, "good", "on scene", FOREST)
    train_prospect(database_url, "plain", "on scene", ProspectSettings(network="majority"))
    train_prospect(database_url, "elsewhere", "on area", ProspectSettings(network="majority"))
    told = run_lode("model", "compare", "plain", "good", "elsewhere")
    assert told.returncode == 0, told.stderr
    difference = good.metrics["roc_auc"] - 0.5
    [line] = [line for line in told.stdout.splitlines() if line.startswith("area under ROC curve  +")]
    assert f"{difference:+.3f}" in line
    assert line.endswith("beyond chance")
    assert "elsewhere and plain cannot be compared: plain was tested on sample set on scene" in told.stdout
    found = json.loads(run_lode("model", "compare", "plain", "good", "--format", "json").stdout)
    assert found["against_first"][0]["differences"]["roc_auc"]["value"] == pytest.approx(difference)
    assert found["against_first"][0]["differences"]["precision"]["value"] is None
    rows = list(
        csv.DictReader(run_lode("model", "compare", "plain", "good", "--format", "csv").stdout.splitlines())
    )
    assert len(rows) == 16
    assert {row["model"]: row["comparable"] for row in rows} == {"plain": "", "good": "True"}
    for names in (("good",), ("good", "good")):
        refused = run_lode("model", "compare", *names)
        assert refused.returncode != 0
        assert "name two or more different models" in refused.stderr
