"""`lode train evidence`: no deposit is read, models are stored whole, and are used on other ground."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.evidence import area_by_name, delete_layer, find_layer
from db.registry import load_model, model_by_name
from inference.evidence.recording import EvidenceRequest, train_evidence
from inference.evidence.trained import load_evidence_model, model_ground
from inference.evidence.types import NETWORKS, EvidenceSettings
from tests.conftest import RunLode, copied_database
from tests.evidence_area import (
    ELEMENTS,
    FAST,
    GEOPHYSICS,
    SYSTEM,
    add_area,
    add_deposits,
    add_geology,
    add_layer,
    add_layers,
    contents,
    is_ore,
)

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def area_database(cluster: Cluster, template_database: str) -> Iterator[str]:
    """Name of a database with the area and its geology, and no deposit."""
    name = "lode_test_evidence_area"
    cluster.create_database(name, template=template_database)
    with connect(cluster.url(name)) as conn:
        add_layers(conn, add_area(conn))
        add_geology(conn)
        conn.commit()
    yield name
    cluster.drop_database(name)


@pytest.fixture
def url(cluster: Cluster, area_database: str) -> Iterator[str]:
    with copied_database(cluster, area_database) as copied:
        yield copied


def request_of(method: str = "vit", seeds: int = 2, **fields: Any) -> EvidenceRequest:
    fast = FAST if method in NETWORKS else {}
    if method == "isolation_forest":
        fast = {"options": {"trees": 20}}
    settings = fields.pop("settings", EvidenceSettings(method=method, **fast))
    return EvidenceRequest("area", SYSTEM, settings, seeds, device_name="cpu", **fields)


def weights_of(url: str, name: str) -> bytes:
    with connect(url) as conn:
        return load_model(conn, name).weights


def test_a_model_is_stored_with_all_it_takes(url: str) -> None:
    heard: list[str] = []
    record = train_evidence(url, "ore", request_of(first_seed=4, data="simulated"), heard.append)
    assert (record.task, record.architecture, record.tile_px) == ("evidence", "vit", FAST["window_px"])
    assert record.resolution_m == 100
    training = record.training
    assert (training["area"], training["data"], training["seeds"]) == ("area", "simulated", [4, 5])
    assert set(training["layers"]) == {*ELEMENTS, GEOPHYSICS}
    assert training["judged_cells"] == 40 * 38
    assert training["system"]["name"] == SYSTEM
    assert [channel["name"] for channel in training["channels"]] == record.band_names
    assert {"lithology: granite", "lithology: peridotite", "fault_distance_m"} <= set(record.band_names)
    assert [entry["seed"] for entry in record.history] == [4, 4, 5, 5]
    losses = record.metrics["validation_loss"]
    by_seed = losses["by_seed"]
    for seed in (4, 5):
        stored = [entry["validation_loss"] for entry in record.history if entry["seed"] == seed]
        assert by_seed[str(seed)] == min(stored)
    assert losses["mean"] == pytest.approx((by_seed["4"] + by_seed["5"]) / 2)
    assert losses["spread"] == pytest.approx(abs(by_seed["4"] - by_seed["5"]) / np.sqrt(2))
    assert any(line.startswith("seed 5 (2 of 2): fitted in") for line in heard)
    assert 0.2 < record.metrics["median_loss"] < 1.5
    with connect(url) as conn:
        model = load_evidence_model(conn, "ore", CPU)
        ground = model_ground(conn, model, "area")
    assert [seed for seed, _method in model.members] == [4, 5]
    assert model.settings == EvidenceSettings(method="vit", **FAST)
    assert model.system.as_json() == training["system"]
    assert ground.channels == model.channels
    first, second = (method.anomaly(ground, model.system).anomaly for _seed, method in model.members)
    assert np.isfinite(first[ground.is_scored]).all()
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("method", ["vit", "isolation_forest"])
def test_deposits_change_no_bit(url: str, method: str) -> None:
    train_evidence(url, "before", request_of(method))
    with connect(url) as conn:
        add_deposits(conn)
        conn.commit()
    train_evidence(url, "with", request_of(method))
    with connect(url) as conn:
        conn.execute("drop table lode.deposit cascade")
        conn.commit()
    train_evidence(url, "without the table", request_of(method))
    assert weights_of(url, "before") == weights_of(url, "with") == weights_of(url, "without the table")


@pytest.mark.parametrize(
    "method", ["conv_autoencoder", "pca", "isolation_forest", "one_class_svm", "mahalanobis", "single_layer"]
)
def test_other_methods_are_stored_and_used_alike(url: str, method: str) -> None:
    heard: list[str] = []
    record = train_evidence(url, "ore", request_of(method), heard.append)
    is_random = method in ("conv_autoencoder", "isolation_forest")
    assert record.training["seeds"] == ([1, 2] if is_random else [1])
    assert any("knows no chance" in line for line in heard) != is_random
    with connect(url) as conn:
        model = load_evidence_model(conn, "ore", CPU)
        ground = model_ground(conn, model, "area")
    for _seed, method_of_seed in model.members:
        anomaly = method_of_seed.anomaly(ground, model.system).anomaly
        np.testing.assert_array_equal(np.isfinite(anomaly), ground.is_scored)
        if method in ("pca", "mahalanobis", "single_layer"):
            ore = is_ore() & ground.is_scored
            assert np.median(anomaly[ore]) > np.percentile(anomaly[ground.is_scored & ~ore], 90)


def test_a_taken_name_and_unknown_things_are_refused_before_anything_is_fitted(url: str) -> None:
    train_evidence(url, "ore", request_of("pca"))
    for request, name, match in (
        (request_of("pca"), "ore", "a model called 'ore' exists"),
        (replace(request_of("pca"), area="nowhere"), "new", "there is no study area 'nowhere'"),
        (replace(request_of("pca"), system="unobtainium"), "new", "no mineral system 'unobtainium'"),
        (replace(request_of("pca"), layers=("Cr", "Xx")), "new", "has no layer 'Xx'"),
        (replace(request_of("pca"), leave_out=("Zz",)), "new", "has no 'Zz' to leave out"),
    ):
        with pytest.raises(UsageError, match=match):
            train_evidence(url, name, request)
    with connect(url) as conn, pytest.raises(UsageError, match="no model is called 'new'"):
        model_by_name(conn, "new")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": 101}, "seeds is 101"),
        ({"first_seed": -1}, "first_seed is -1"),
        ({"first_seed": 2**31}, "first_seed is 2147483648"),
        ({"data": "invented"}, "unknown data 'invented'"),
    ],
)
def test_requests_that_mean_nothing_are_refused(fields: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        request_of("pca", **fields)


def test_ground_smaller_than_the_window_is_refused(url: str) -> None:
    settings = EvidenceSettings(**FAST | {"window_px": 64})
    with pytest.raises(UsageError, match="window"):
        train_evidence(url, "ore", request_of(settings=settings))


def test_layers_can_be_chosen_and_left_out(url: str) -> None:
    chosen = train_evidence(
        url, "chosen", request_of("pca", layers=("Cr", "Ni", GEOPHYSICS), leave_out=("fault_distance_m",))
    )
    assert set(chosen.training["layers"]) == {"Cr", "Ni", GEOPHYSICS}
    assert "fault_distance_m" not in chosen.band_names
    with connect(url) as conn:
        model = load_evidence_model(conn, "chosen", CPU)
        ground = model_ground(conn, model, "area")
    assert ground.names == chosen.band_names


def test_another_area_is_brought_to_the_scale_of_training(url: str) -> None:
    train_evidence(url, "ore", request_of("vit", seeds=1))
    doubled = {element: 2 * values for element, values in contents(seed=9).items()}
    heard: list[str] = []
    with connect(url) as conn:
        other = add_area(conn, "other")
        add_layers(conn, other, doubled, seed=9)
        add_layer(conn, other, "Zn", contents(seed=3)["Cu"], element="Zn")
        conn.commit()
        model = load_evidence_model(conn, "ore", CPU)
        home = model_ground(conn, model, "area")
        ground = model_ground(conn, model, "other", heard.append)
    assert ground.channels == model.channels == home.channels
    assert "Zn" not in ground.names
    assert any("was trained on area" in line for line in heard)
    place = ground.names.index(GEOPHYSICS)
    channel, known = model.channels[place], ground.is_known[place]
    by_hand = (ground.raw[place].astype(float) - channel.center) / channel.scale
    np.testing.assert_allclose(ground.values[place][known], by_hand[known], atol=1e-5)
    assert (ground.values[~ground.is_known] == 0).all()
    anomaly = model.members[0][1].anomaly(ground, model.system).anomaly
    assert np.isfinite(anomaly[ground.is_scored]).all()


def test_an_area_that_lacks_layers_is_refused_by_their_names(url: str) -> None:
    train_evidence(url, "ore", request_of("pca"))
    with connect(url) as conn:
        other = add_area(conn, "other")
        for element, values in contents(seed=9).items():
            if element != "Ni":
                add_layer(conn, other, element, values, element=element)
        model = load_evidence_model(conn, "ore", CPU)
        with pytest.raises(UsageError, match=rf"other lacks 2 of .*Ni \(geochemistry\), {GEOPHYSICS}"):
            model_ground(conn, model, "other")


def test_a_unit_matters_where_contents_are_taken_as_they_are(url: str) -> None:
    for name, method in (("plain", "mahalanobis"), ("ratios", "pca")):
        train_evidence(url, name, request_of(method))
    with connect(url) as conn:
        other = add_area(conn, "other")
        add_layers(conn, other, seed=9)
        add_layer(conn, other, "Cr", contents(seed=9)["Cr"] / np.float32(10_000), element="Cr", unit="%")
        with pytest.raises(UsageError, match="Cr of other is in %, model plain was trained on ppm"):
            model_ground(conn, load_evidence_model(conn, "plain", CPU), "other")
        assert model_ground(conn, load_evidence_model(conn, "ratios", CPU), "other").area == "other"


def test_layers_that_changed_since_are_told_and_taken_in_the_old_scale(url: str) -> None:
    train_evidence(url, "ore", request_of("pca"))
    heard: list[str] = []
    with connect(url) as conn:
        area = area_by_name(conn, "area")
        add_layer(
            conn, area, GEOPHYSICS, np.float32(5) * contents(seed=4)["Co"], kind="geophysics", unit="nT"
        )
        model = load_evidence_model(conn, "ore", CPU)
        ground = model_ground(conn, model, "area", heard.append)
        assert ground.channels == model.channels
        assert any("changed since ore was trained" in line for line in heard)
        layer = find_layer(conn, area, GEOPHYSICS)
        assert layer is not None
        delete_layer(conn, layer)
        with pytest.raises(UsageError, match=rf"area lacks 1 of .*{GEOPHYSICS} \(geophysics\)"):
            model_ground(conn, model, "area")


def test_models_of_another_task_and_damaged_ones_are_refused(url: str) -> None:
    train_evidence(url, "ore", request_of("pca"))
    with connect(url) as conn:
        conn.execute("update lode.model set training = jsonb_set(training, '{seeds}', '[7]')")
        with pytest.raises(UsageError, match="of other seeds than its record"):
            load_evidence_model(conn, "ore", CPU)
        conn.execute("update lode.model set training = training - 'channels'")
        with pytest.raises(UsageError, match="does not say what its channels are"):
            load_evidence_model(conn, "ore", CPU)
        conn.execute("update lode.model set architecture = 'oracle'")
        with pytest.raises(UsageError, match="is a oracle, which this version does not know"):
            load_evidence_model(conn, "ore", CPU)
        conn.execute("update lode.model set task = 'prospect'")
        with pytest.raises(UsageError, match="is for prospect, not for evidence"):
            load_evidence_model(conn, "ore", CPU)


def test_the_commands(url: str, run_lode: RunLode, tmp_path: Any) -> None:
    here = {"LODE_DATABASE_URL": url}
    base = ("--area", "area", "--system", SYSTEM)
    trained = run_lode(
        *("train", "evidence", "--name", "vit", *base, "--seeds", "2", "--data", "simulated"),
        *("--window", "16", "--width", "16", "--depth", "1", "--heads", "2", "--stem", "4"),
        *("--decoder-width", "16", "--decoder-depth", "1", "--windows", "32", "--evaluations", "1"),
        *("--device", "cpu"),
        env=here,
    )
    assert (trained.returncode, trained.stderr) == (0, "")
    for words in (
        "seed 2 (2 of 2)",
        "none was read",
        "simulated: made up",
        "spread over seeds",
        "guessing the median",
        "width 16",
    ):
        assert words in trained.stdout, words
    forest = run_lode(
        *("train", "evidence", "--name", "forest", *base, "--method", "isolation_forest"),
        *("--seeds", "1", "--option", "trees=20"),
        env=here,
    )
    assert forest.returncode == 0
    assert "trees 20" in forest.stdout
    shown = run_lode("model", "show", "vit", env=here)
    assert "chromite_podiform" in shown.stdout
    assert "0 published with it" in shown.stdout
    assert '"task": "evidence"' in run_lode("model", "show", "vit", "--format", "json", env=here).stdout
    listed = run_lode("model", "list", env=here).stdout
    assert "isolation_forest" in listed
    assert "validation loss 0." in listed
    for output_format in ("csv", "json"):
        assert "forest" in run_lode("model", "list", "--format", output_format, env=here).stdout
    for arguments, words in (
        (("model", "compare", "vit", "forest"), "lode prospect evaluate"),
        (("model", "export", "vit", tmp_path / "out"), "is not exported"),
        (
            ("train", "evidence", "--name", "x", *base, "--method", "pca", "--width", "8"),
            "--width: pca is no",
        ),
        (("train", "evidence", "--name", "x", *base, "--method", "pca", "--option", "k=1"), "option 'k'"),
        (("train", "evidence", "--name", "x", *base, "--seeds", "0"), "seeds is 0"),
    ):
        refused = run_lode(*arguments, env=here)
        assert refused.returncode == 1
        assert words in refused.stderr, refused.stderr
    assert not (tmp_path / "out").exists()
