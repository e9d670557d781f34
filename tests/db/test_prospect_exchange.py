"""Models that tell where ore may lie go to another database: whole, and only when nothing is wrong."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import torch
from psycopg import Connection
from safetensors.numpy import load
from safetensors.numpy import save as save_numpy
from sklearn.neighbors import KNeighborsClassifier

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.registry import ModelRecord, list_models, load_model, model_by_name
from inference.models.exchange.archive import without_record
from inference.models.exchange.export import export_model
from inference.models.exchange.importing import import_model
from inference.models.exchange.plain_weights import TENSOR, wrapped
from inference.prospect.apply import SearchRequest, search_ground
from inference.prospect.dataset import SetRequest, make_set
from inference.prospect.recording import train_prospect
from inference.prospect.settings import ProspectSettings
from tests.conftest import RunLode, copied_database
from tests.db.model_files import put_record, rewritten, set_in, with_tensors
from tests.prospect_ground import add_area, add_deposits, add_geology, add_layer, layer_values

CPU = torch.device("cpu")
KINDS = ("gcn_residual", "svm", "forest", "majority")
SETTINGS = {
    "gcn_residual": ProspectSettings(width=8, epochs=2),
    "svm": ProspectSettings(network="svm", options={"C": 1.0, "gamma": 0.5}),
    "forest": ProspectSettings(network="forest", options={"trees": 5, "min_samples_leaf": 3}),
    "majority": ProspectSettings(network="majority"),
}


@pytest.fixture(scope="session")
def ground(cluster: Cluster, template_database: str) -> str:
    """A study area with geology, and no model."""
    cluster.create_database("lode_test_prospect_elsewhere", template=template_database)
    with connect(cluster.url("lode_test_prospect_elsewhere")) as conn:
        add_geology(conn)
        add_deposits(conn)
        area = add_area(conn)
        for seed, name in enumerate(("Li", "Be")):
            add_layer(conn, area, name, layer_values(seed))
        conn.commit()
    return "lode_test_prospect_elsewhere"


@pytest.fixture(scope="session")
def trained(cluster: Cluster, ground: str) -> str:
    """The same with a set and a model of every kind."""
    cluster.create_database("lode_test_prospect_exchange", template=ground)
    url = cluster.url("lode_test_prospect_exchange")
    with connect(url) as conn:
        make_set(conn, SetRequest("set", area="area", patch_px=6, buffer_m=120.0))
        conn.commit()
    for kind, settings in SETTINGS.items():
        train_prospect(url, kind, "set", settings, device_name="cpu", importance_repeats=1)
    return "lode_test_prospect_exchange"


@pytest.fixture(scope="module")
def exported(
    cluster: Cluster, trained: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, ModelRecord]]:
    """Folder and record of each model."""
    folder, found = tmp_path_factory.mktemp("exported"), {}
    with connect(cluster.url(trained)) as conn:
        for kind in KINDS:
            export_model(conn, kind, folder / kind, licence="CC BY 4.0")
            found[kind] = (folder / kind, model_by_name(conn, kind))
    return found


@pytest.fixture
def database_url(cluster: Cluster, ground: str) -> Iterator[str]:
    """Another database with the same ground."""
    with copied_database(cluster, ground) as url:
        yield url


@pytest.fixture
def target(cluster: Cluster, ground: str) -> Iterator[Connection[Any]]:
    """The same for what is refused: nothing is kept there."""
    with connect(cluster.url(ground)) as conn:
        yield conn
        conn.rollback()


def copy_of(exported: dict[str, tuple[Path, ModelRecord]], kind: str, folder: Path) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes((exported[kind][0] / "model.safetensors").read_bytes())
    return path


def refused(conn: Connection[Any], path: Path, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_model(conn, path)
    assert list_models(conn) == []
    assert conn.execute("select count(*) from lode.model_weights").fetchone() == (0,)


def columns_of(record: ModelRecord) -> dict[str, Any]:
    """A row without its key, where it came from, and the key of its set in the first database."""
    training = {
        key: value for key, value in record.training.items() if key not in ("imported", "prospect_set_id")
    }
    return {**vars(record), "training": training, "model_id": None, "licence": None}


def cells(url: str) -> list[tuple[Any, ...]]:
    with connect(url) as conn:
        return conn.execute("select row_px, col_px, probability from lode.prospect order by 1, 2").fetchall()


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_the_same_elsewhere_and_searches_alike(
    cluster: Cluster,
    trained: str,
    exported: dict[str, tuple[Path, ModelRecord]],
    database_url: str,
    tmp_path: Path,
    kind: str,
) -> None:
    folder, here = exported[kind]
    with copied_database(cluster, trained) as home, connect(database_url) as there, connect(home) as first:
        record = import_model(there, folder)
        there.commit()
        assert columns_of(record) == columns_of(here)
        assert (record.licence, record.training.get("prospect_set_id")) == ("CC BY 4.0", None)
        assert record.training["imported"]["name"] == kind
        stored, original = load_model(there, kind), load_model(first, kind)
        assert (stored.weights, stored.sha256) == (original.weights, original.sha256)
        request = SearchRequest(kind, area="area", stride_px=3, device_name="cpu")
        for url in (home, database_url):
            search_ground(url, request)
        assert cells(home) == cells(database_url)
        assert len(cells(home)) > 100
        # and on: nothing wears off
        export_model(there, kind, tmp_path / "again")
        third = import_model(there, tmp_path / "again", "third")
        assert {**columns_of(third), "name": kind} == columns_of(here)


def test_the_commands_take_a_model_there_and_back(
    exported: dict[str, tuple[Path, ModelRecord]], database_url: str, run_lode: RunLode, tmp_path: Path
) -> None:
    folder, record = exported["forest"]
    card = (folder / "README.md").read_text()
    assert "lode prospect apply --model forest --area AREA" in card
    assert f"{record.metrics['balanced_accuracy']:.3f}" in card
    assert "It has seen area and no other ground" in card
    assert "CC BY 4.0" in card
    done = run_lode("model", "import", folder, "--name", "copy")
    assert done.returncode == 0, done.stderr
    with connect(database_url) as conn:
        assert load_model(conn, "copy").sha256 in card
    shown = run_lode("model", "show", "copy")
    assert "trained elsewhere" in shown.stdout
    assert "what it goes by" in shown.stdout
    assert run_lode("model", "export", "copy", tmp_path / "out").returncode == 0
    again = run_lode("model", "import", tmp_path / "out")
    assert again.returncode == 1
    assert "a model called 'copy' exists" in again.stderr


def test_a_plain_model_travels_as_skops_wrote_it(exported: dict[str, tuple[Path, ModelRecord]]) -> None:
    """Parts of a zip archive, of which none is a pickle."""
    file = (exported["svm"][0] / "model.safetensors").read_bytes()
    _content, weights, _header = without_record(file, "it")
    inside = load(weights)
    assert set(inside) == {TENSOR}
    with zipfile.ZipFile(io.BytesIO(inside[TENSOR].tobytes())) as archive:
        names = archive.namelist()
    assert "schema.json" in names
    assert {Path(name).suffix for name in names} == {".json", ".npy"}


@pytest.mark.parametrize("kind", ["gcn_residual", "forest"])
def test_a_damaged_file_is_refused(
    target: Connection[Any], exported: dict[str, tuple[Path, ModelRecord]], tmp_path: Path, kind: str
) -> None:
    path = copy_of(exported, kind, tmp_path)
    whole = path.read_bytes()
    middle = len(whole) - 2000
    for spoilt, message in (
        (whole[:-1], "SHA-256"),
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "SHA-256"),
        (whole.replace(b'"threshold', b'"treshold_', 1), "no model's|was changed"),
        (whole[8:], "no safetensors file"),
    ):
        path.write_bytes(spoilt)
        refused(target, path, message)


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("gcn_residual", ("task",), "segmentation", "no model's"),
        ("gcn_residual", ("architecture",), "unheard_of", "which this version does not know"),
        ("gcn_residual", ("architecture",), "gcn", "belong to another network|cannot be built"),
        ("gcn_residual", ("architecture",), "forest", "are those of a network: a plain model has one tensor"),
        ("forest", ("architecture",), "gcn_residual", "cannot be built|belong to another network"),
        ("forest", ("architecture",), "svm", "not those of a svm: it holds a RandomForest"),
        ("gcn_residual", ("options", "hidden"), 99_000, "do not fit"),
        ("gcn_residual", ("options", "evil"), 1, "unknown option 'evil'"),
        ("gcn_residual", ("tile_px",), 65, "record.tile_px"),
        ("gcn_residual", ("class_codes",), [1, 0], "class_codes and mapped_codes"),
        ("gcn_residual", ("band_names",), ["Li", "Be"], "names its channels in two ways|do not fit"),
        ("gcn_residual", ("normalisation", "stds"), [0.0] * 4, "no numbers to divide by"),
        ("gcn_residual", ("normalisation",), {}, "stored scales cannot be read"),
        ("gcn_residual", ("training", "channels"), [{"name": "Li", "kind": "x"}], "training.channels"),
        ("gcn_residual", ("training", "channels"), [], "training.channels"),
        ("svm", ("training", "channels", 0, "least"), 0, "training.channels"),
        ("svm", ("training", "evidence"), {"Li": {"unit": 7}}, "training.evidence"),
        ("gcn_residual", ("training", "threshold"), 2, "training.threshold"),
        ("gcn_residual", ("training", "geology"), {"bands": []}, "settings of the rasters of geology"),
        ("gcn_residual", ("training", "patches"), {"train": {"ore": "many"}}, "training.patches"),
        ("majority", ("training", "patches", "train"), {"barren": 3, "blocks": 1}, "patches.train.ore"),
        ("majority", ("training", "importance"), [1], "training.importance"),
        ("majority", ("training", "trials"), [{"validation_roc_auc": "high"}], "of a trial is no number"),
        ("majority", ("metrics", "baselines"), {"x": {"confusion": [[1, 2]]}}, "metrics.baselines.x"),
        ("majority", ("metrics", "baselines"), {"x": {"balanced_accuracy": None}}, "metrics.baselines.x"),
        ("gcn_residual", ("history",), [{"epoch": 1}], "record.history"),
        ("gcn_residual", ("metrics", "confusion"), [[1, 2]], "metrics"),
        ("gcn_residual", ("metrics", "roc_auc"), 0.987, "tells roc_auc 0.987, its answers on the test"),
        ("gcn_residual", ("metrics", "patches"), 1, "tells patches 1, its answers"),
        ("gcn_residual", ("metrics", "test", "probabilities"), [0.5], "of different lengths"),
        ("gcn_residual", ("metrics", "importance"), [{"name": "Li"}], "metrics.importance"),
    ],
)  # fmt: skip
def test_a_record_with_one_thing_wrong_is_refused(
    target: Connection[Any],
    exported: dict[str, tuple[Path, ModelRecord]],
    tmp_path: Path,
    kind: str,
    path: tuple[str, ...],
    value: Any,
    message: str,
) -> None:
    file = copy_of(exported, kind, tmp_path)
    rewritten(file, set_in(*path, value=value))
    refused(target, file, message)


def with_skops(file: Path, weights: bytes) -> None:
    """Put other weights into the file of a plain model, and have the record agree with them."""
    content, _weights, _header = without_record(file.read_bytes(), "it")
    put_record(file, wrapped(weights), content)


class Foreign:
    """A type that no model consists of."""


def spoilt(content: dict[str, Any], change: Callable[[Any], object]) -> bytes:
    change(content["estimator"])
    return bytes(skops.io.dumps(content))


def test_foreign_weights_of_a_plain_model_are_refused(
    target: Connection[Any], exported: dict[str, tuple[Path, ModelRecord]], tmp_path: Path
) -> None:
    file = copy_of(exported, "svm", tmp_path)
    _content, weights, _header = without_record(file.read_bytes(), "it")
    own = load(weights)[TENSOR].tobytes()
    trusted = skops.io.get_untrusted_types(data=own)

    def again() -> dict[str, Any]:
        return dict(skops.io.loads(own, trusted=trusted))

    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("schema.json", "w") as out:
        for _ in range(2001):
            out.write(bytes(1_000_000))
    neighbours = KNeighborsClassifier().fit(np.zeros((6, 2)), np.arange(6) % 2 == 0)
    for foreign, message in (
        (b"PK\x03\x04 nothing", "no file of skops"),
        (own[:-30], "no file of skops"),
        (bomb.getvalue(), "would unpack to 2,001,000,000 bytes"),
        (
            skops.io.dumps({"estimator": neighbours, "calibration": None}),
            "not trusted: .*KNeighborsClassifier",
        ),
        (skops.io.dumps({"estimator": Foreign(), "calibration": None}), "types that are not tr"),
        (
            spoilt(again(), lambda svm: setattr(svm[1], "support_", np.zeros(0, np.int32))),
            "support vectors do not go together",
        ),
        (
            spoilt(again(), lambda svm: setattr(svm[1], "_n_support", np.array([9, 9], np.int32))),
            "support vectors do not go together",
        ),
        (spoilt(again(), lambda svm: setattr(svm[1], "kernel", "linear")), "support vectors do not go"),
    ):
        with_skops(file, foreign)
        refused(target, file, message)
    content, _weights, _header = without_record(file.read_bytes(), "it")
    put_record(file, save_numpy({"other": np.zeros(3, np.uint8)}), content)
    refused(target, file, "a plain model has one tensor of bytes")
    with_skops(file, own)
    assert import_model(target, file).architecture == "svm"


def test_foreign_weights_of_a_network_are_refused(
    target: Connection[Any], exported: dict[str, tuple[Path, ModelRecord]], tmp_path: Path
) -> None:
    def spoil(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
        def change(state: dict[str, torch.Tensor]) -> None:
            state["head.weight"].view(-1)[0] = value

        return change

    def shorten(state: dict[str, torch.Tensor]) -> None:
        state["head.weight"] = state["head.weight"][:1].contiguous()

    for change, message in (
        (spoil(float("nan")), "NaN or Inf in head.weight"),
        (spoil(3e38), "answers noise with no probability"),
        (shorten, "do not fit: head.weight"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 are unknown"),
    ):
        file = copy_of(exported, "gcn_residual", tmp_path)
        with_tensors(file, change)
        refused(target, file, message)
