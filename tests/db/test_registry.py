"""The registry keeps networks whole: names once, weights with their checksum, nothing damaged comes out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
import torch
from psycopg import Connection
from safetensors.torch import load, save

from db import runs
from db.errors import UsageError
from db.registry import (
    NewModel,
    count_published_runs,
    list_models,
    load_model,
    model_by_name,
    reinstate_model,
    require_free_name,
    retire_model,
    store_model,
)
from inference.networks import build_network
from inference.segmentation_model import load_segmentation
from inference.weights import weights_to_bytes
from tests.catalogue_rows import add_scene, publish_drawing
from tests.db.model_files import BANDS, OPTIONS, new_model
from tests.grids import cells

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> bytes:
    torch.manual_seed(0)
    return weights_to_bytes(build_network("se_cot_deeplabv3plus", in_channels=2, **OPTIONS))


@pytest.fixture
def new(weights: bytes) -> NewModel:
    return replace(
        new_model(),
        architecture="se_cot_deeplabv3plus",
        training={"processing_level": "digital_number"},
        history=[{"epoch": 1, "loss": 1.5}],
        metrics={"mean_iou": 0.7},
        weights=weights,
        temperature=1.0,
        licence=None,
        trained_at=None,
    )


def replace_weights(conn: Connection[Any], name: str, weights: bytes) -> None:
    """As somebody with a client could, checksum included."""
    conn.execute(
        "update lode.model_weights set weights = %s, sha256 = encode(sha256(%s), 'hex')"
        " where model_id = (select model_id from lode.model where name = %s)",
        (weights, weights, name),
    )


def test_what_was_stored_comes_back(conn: Connection[Any], new: NewModel) -> None:
    model_id = store_model(conn, new)
    stored = load_model(conn, new.name)
    assert stored.weights == new.weights
    assert stored.record == model_by_name(conn, new.name)
    assert [record.name for record in list_models(conn)] == [new.name]
    record = stored.record
    assert record.model_id == model_id
    assert (record.options, record.band_names, record.mapped_codes) == (OPTIONS, list(BANDS), [0, 1, 6])
    assert (record.history, record.metrics) == (new.history, new.metrics)


def test_a_stored_network_predicts_as_before(conn: Connection[Any], new: NewModel) -> None:
    store_model(conn, new)
    model = load_segmentation(conn, new.name, CPU)
    original = build_network(new.architecture, in_channels=2, **OPTIONS).eval()
    original.load_state_dict(load(new.weights))
    tiles = torch.randn(2, 2, 64, 64)
    with torch.inference_mode():
        expected = torch.softmax(original(tiles)[:, [0, 1, 6]], dim=1)
    torch.testing.assert_close(model.probabilities(tiles), expected, atol=1e-5, rtol=1e-4)
    assert model.band_names == BANDS
    assert model.normalisation.means == (400.0, 900.0)
    assert model.mapped_outputs == [0, 1, 6]


def test_a_name_is_given_once_and_the_transaction_survives(conn: Connection[Any], new: NewModel) -> None:
    store_model(conn, new)
    with pytest.raises(UsageError, match="'quarries 2023' exists"):
        store_model(conn, new)
    with pytest.raises(UsageError, match="'quarries 2023' exists"):
        require_free_name(conn, new.name)
    assert len(list_models(conn)) == 1


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "矿" * 67])
def test_names_nobody_could_type_are_refused(conn: Connection[Any], name: str) -> None:
    with pytest.raises(UsageError, match="model name"):
        require_free_name(conn, name)


def test_names_in_any_script_and_with_quotes_are_kept(conn: Connection[Any], new: NewModel) -> None:
    for name in ("露天矿", 'x"; drop table lode.model; --', "o'pit"):
        require_free_name(conn, name)
        store_model(conn, replace(new, name=name))
        assert model_by_name(conn, name).name == name


def test_an_unknown_name_lists_those_there_are(conn: Connection[Any], new: NewModel) -> None:
    with pytest.raises(UsageError, match="there is none yet"):
        model_by_name(conn, "pits")
    store_model(conn, new)
    with pytest.raises(UsageError, match="there are quarries 2023"):
        load_model(conn, "pits")


def test_weights_that_differ_from_their_checksum_are_refused(conn: Connection[Any], new: NewModel) -> None:
    store_model(conn, new)
    conn.execute(
        "update lode.model_weights set weights = set_byte(weights, 5000, get_byte(weights, 5000) # 1)"
    )
    with pytest.raises(UsageError, match="damaged"):
        load_model(conn, new.name)
    conn.execute("delete from lode.model_weights")
    with pytest.raises(UsageError, match="has no weights"):
        load_model(conn, new.name)


def spoilt(weights: bytes, what: str) -> bytes:
    import io

    state = load(weights)
    name = "classifier.weight"
    if what == "pickle":
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()
    if what == "nan":
        state[name][0, 0] = float("nan")
    if what == "inf":
        state[name][0, 0] = float("inf")
    if what == "classes":
        state[name] = state[name][:5].contiguous()
    if what == "missing":
        del state[name]
    if what == "double":
        state[name] = state[name].double()
    if what == "other":
        state["layer9.weight"] = torch.zeros(1)
    return save(state)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("pickle", "no safetensors file"),
        ("nan", "NaN or Inf in classifier.weight"),
        ("inf", "NaN or Inf"),
        ("classes", r"do not fit: classifier.weight"),
        ("double", r"do not fit: classifier.weight is torch.float64"),
        ("missing", "1 tensors are missing"),
        ("other", "1 are unknown"),
    ],
)
def test_weights_that_could_not_work_are_refused(
    conn: Connection[Any], new: NewModel, what: str, message: str
) -> None:
    store_model(conn, new)
    replace_weights(conn, new.name, spoilt(new.weights, what))
    with pytest.raises(UsageError, match=message):
        load_segmentation(conn, new.name, CPU)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "prospect"}, "is for prospect"),
        ({"class_codes": (0, 6)}, r"answers the classes \[0, 6\]"),
        ({"architecture": "unheard_of"}, "unheard_of"),
        ({"band_names": ("blue", "red", "nir")}, "do not fit|normalisation"),
        ({"mapped_codes": ()}, "does not say what it was trained on"),
        ({"training": {}}, "does not say what it was trained on"),
        ({"normalisation": {"blue": {"mean": 1}}}, "normalisation lacks"),
    ],
)
def test_models_this_program_cannot_use_are_refused(
    conn: Connection[Any], new: NewModel, changes: dict[str, Any], message: str
) -> None:
    store_model(conn, replace(new, **changes))
    with pytest.raises(UsageError, match=message):
        load_segmentation(conn, new.name, CPU)


def test_a_model_may_bring_the_day_of_its_training(conn: Connection[Any], new: NewModel) -> None:
    trained_at = datetime(2024, 5, 1, 12, tzinfo=UTC)
    store_model(conn, replace(new, trained_at=trained_at, temperature=1.5, licence="CC BY 4.0"))
    record = model_by_name(conn, new.name)
    assert (record.trained_at, record.temperature, record.licence) == (trained_at, 1.5, "CC BY 4.0")
    store_model(conn, replace(new, name="now"))
    now = conn.execute("select now()").fetchone()
    assert now is not None
    assert model_by_name(conn, "now").trained_at == now[0]


def test_a_retired_model_interprets_nothing_until_it_is_back(conn: Connection[Any], new: NewModel) -> None:
    store_model(conn, new)
    assert load_segmentation(conn, new.name, CPU).name == new.name
    retired = retire_model(conn, new.name, "  takes snow for quarries ")
    user = conn.execute("select session_user").fetchone()
    assert user is not None
    assert retired.retired_reason == f"takes snow for quarries ({user[0]})"
    assert retired.retired_at is not None
    with pytest.raises(UsageError) as caught:
        load_segmentation(conn, new.name, CPU)
    message = str(caught.value)
    assert f"retired on {retired.retired_at:%Y-%m-%d %H:%M}" in message
    assert f"takes snow for quarries ({user[0]})" in message
    assert "lode model retire --undo 'quarries 2023'" in message
    # its weights can still be read, to export it
    assert load_model(conn, new.name).weights == new.weights
    assert reinstate_model(conn, new.name).retired_at is None
    assert model_by_name(conn, new.name).retired_reason is None
    assert load_segmentation(conn, new.name, CPU).name == new.name


def test_retiring_twice_or_undoing_nothing_is_refused(conn: Connection[Any], new: NewModel) -> None:
    store_model(conn, new)
    with pytest.raises(UsageError, match="is in service: there is no retirement to undo"):
        reinstate_model(conn, new.name)
    retire_model(conn, new.name, "first reason")
    with pytest.raises(UsageError, match=r"\(first reason .*\) already"):
        retire_model(conn, new.name, "second reason")
    assert str(model_by_name(conn, new.name).retired_reason).startswith("first reason")
    for action in (lambda: retire_model(conn, "pits", "why"), lambda: reinstate_model(conn, "pits")):
        with pytest.raises(UsageError, match="no model is called 'pits'"):
            action()


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "\x1b[2J", "x" * 1001])
def test_a_reason_is_a_line_of_text(conn: Connection[Any], new: NewModel, reason: str) -> None:
    store_model(conn, new)
    with pytest.raises(UsageError, match="reason"):
        retire_model(conn, new.name, reason)
    assert model_by_name(conn, new.name).retired_at is None


def test_published_runs_are_counted_and_stay_when_a_model_retires(
    conn: Connection[Any], new: NewModel
) -> None:
    used, unused = store_model(conn, new), store_model(conn, replace(new, name="unused"))
    footprint = cells("ppp\nppp", "p")
    for year in (2020, 2021):
        scene_id = add_scene(conn, f"scene {year}", date(year, 7, 1), footprint)
        publish_drawing(conn, scene_id, used, year, "ppp\nppp")
        runs.request_interpretation(conn, scene_id, unused)  # asked for, not published
    assert count_published_runs(conn) == {used: 2}
    polygons = conn.execute("select count(*) from lode.landcover").fetchone()
    retire_model(conn, new.name, "old")
    assert count_published_runs(conn) == {used: 2}
    assert conn.execute("select count(*) from lode.landcover").fetchone() == polygons
    assert polygons is not None
    assert polygons[0] > 0
