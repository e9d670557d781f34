"""The registry keeps networks whole: names once, weights with their checksum, nothing damaged comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from psycopg import Connection
from safetensors.torch import load, save

from db.errors import UsageError
from db.registry import (
    NewModel,
    list_models,
    load_model,
    model_by_name,
    require_free_name,
    store_model,
)
from inference.networks import build_network
from inference.normalisation import Normalisation
from inference.segmentation_model import CLASS_CODES, load_segmentation
from inference.weights import weights_to_bytes

CPU = torch.device("cpu")
BANDS = ("blue", "nir")
OPTIONS = {"backbone": "small"}


@pytest.fixture(scope="module")
def weights() -> bytes:
    torch.manual_seed(0)
    return weights_to_bytes(build_network("se_cot_deeplabv3plus", in_channels=2, **OPTIONS))


@pytest.fixture
def new(weights: bytes) -> NewModel:
    normalisation = Normalisation(
        BANDS, (400.0, 900.0), (50.0, 120.0), ((380.0, 420.0), (850.0, 950.0)), (300.0, 700.0)
    )
    return NewModel(
        name="quarries 2023",
        task="segmentation",
        architecture="se_cot_deeplabv3plus",
        options=OPTIONS,
        class_codes=CLASS_CODES,
        mapped_codes=(0, 1, 6),
        band_names=BANDS,
        resolution_m=2.0,
        tile_px=64,
        normalisation=normalisation.as_json(),
        training={"processing_level": "digital_number"},
        history=[{"epoch": 1, "loss": 1.5}],
        metrics={"mean_iou": 0.7},
        versions={"torch": "2"},
        weights=weights,
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
