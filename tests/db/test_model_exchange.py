"""Models leave a database and enter another: whole, unchanged, and only when they are written whole."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from psycopg import Connection
from safetensors import safe_open
from safetensors.torch import load, load_file
from shapely import MultiPolygon, box

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.registry import ModelRecord, NewModel, load_model, model_by_name, retire_model, store_model
from inference.interpret import interpret
from inference.models.exchange.archive import KEY
from inference.models.exchange.export import export_model
from inference.models.exchange.importing import import_model
from inference.models.exchange.scenes import scene_facts
from inference.segmentation_model import load_segmentation
from lode import cli
from tests.catalogue_rows import add_scene
from tests.conftest import copied_database
from tests.db.model_files import METRICS, new_model
from tests.unit.stored_models import TRAINED_AT, training_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def new() -> NewModel:
    return new_model()


@pytest.fixture
def stored(conn: Connection[Any], new: NewModel) -> ModelRecord:
    store_model(conn, new)
    conn.commit()
    return model_by_name(conn, new.name)


def lode(url: str, *arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)), env={"LODE_DATABASE_URL": url})


def columns_of(record: ModelRecord) -> dict[str, Any]:
    """A row without its key and without where it was imported from."""
    training = {key: value for key, value in record.training.items() if key != "imported"}
    return {**vars(record), "training": training, "model_id": None}


def test_a_model_goes_to_another_database_and_is_the_same_there(
    conn: Connection[Any], stored: ModelRecord, cluster: Cluster, template_database: str, tmp_path: Path
) -> None:
    export_model(conn, stored.name, tmp_path / "out")
    with copied_database(cluster, template_database) as url, connect(url) as there:
        record = import_model(there, tmp_path / "out")
        assert columns_of(record) == columns_of(stored)
        assert record.trained_at == TRAINED_AT
        origin = record.training["imported"]
        assert (origin["name"], origin["scenes"]) == (
            "quarries 2023",
            [{"product": "GF2_20200714", "version": 1}],
        )
        here, far = load_model(conn, stored.name), load_model(there, stored.name)
        assert far.weights == here.weights
        assert far.sha256 == here.sha256
        tiles = torch.randn(2, 2, 64, 64)
        models = [load_segmentation(each, stored.name, CPU) for each in (conn, there)]
        assert torch.equal(models[0].probabilities(tiles), models[1].probabilities(tiles))

        # and on, under another name: nothing wears off
        export_model(there, stored.name, tmp_path / "again")
        third = import_model(there, tmp_path / "again" / "model.safetensors", "third")
        assert {**columns_of(third), "name": stored.name} == columns_of(stored)
        assert third.training["imported"]["scenes"] == origin["scenes"]
        assert load_model(there, "third").sha256 == here.sha256


def test_the_file_is_plain_safetensors_with_a_record(
    conn: Connection[Any], stored: ModelRecord, new: NewModel, tmp_path: Path
) -> None:
    done = export_model(conn, stored.name, tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    tensors, original = load_file(path), load(new.weights)
    assert tensors.keys() == original.keys()
    assert all(torch.equal(tensors[name], original[name]) for name in original)
    with safe_open(path, "pt") as opened:
        content = json.loads(opened.metadata()[KEY])
    assert content["format"] == 1
    assert content["record"]["metrics"] == METRICS
    assert set(content["record"]) == {each.name for each in fields(ModelRecord)} - {"model_id"}
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["README.md", "model.safetensors"]
    assert done.sha256 in (tmp_path / "out" / "README.md").read_text()
    assert done.size_bytes == path.stat().st_size
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_the_scenes_of_training_travel_with_their_days_and_sensors(
    conn: Connection[Any], new: NewModel, tmp_path: Path
) -> None:
    footprint = MultiPolygon([box(87, 44, 87.01, 44.01)])
    scene_id = add_scene(conn, "GF2_20200714", date(2020, 7, 14), footprint)
    scenes = [
        {"product": "GF2_20200714", "version": 1, "scene_id": scene_id},
        {"product": "GF2_20200714", "version": 2, "scene_id": scene_id},  # another one took its key
        {"product": "gone", "version": 1, "scene_id": scene_id + 1},
    ]
    store_model(conn, NewModel(**{**vars(new), "training": training_of(scenes=scenes)}))
    export_model(conn, new.name, tmp_path / "out")
    known, other, gone = scene_facts(conn, model_by_name(conn, new.name))
    assert (known.sensor, known.acquired_on, known.resolution_m) == ("gf2_pms", "2020-07-14", 100.0)
    assert (other.sensor, gone.sensor) == (None, None)
    assert "It has seen July only" in (tmp_path / "out" / "README.md").read_text()
    imported = import_model(conn, tmp_path / "out", "copy")
    conn.execute("delete from lode.scene")
    assert scene_facts(conn, imported) == [known, other, gone]


def test_a_retired_model_stays_retired_on_its_way(
    conn: Connection[Any], stored: ModelRecord, tmp_path: Path
) -> None:
    retired = retire_model(conn, stored.name, "misses snow")
    export_model(conn, stored.name, tmp_path / "out")
    copy = import_model(conn, tmp_path / "out", "copy")
    assert (copy.retired_at, copy.retired_reason) == (retired.retired_at, retired.retired_reason)
    with pytest.raises(UsageError, match="misses snow"):
        load_segmentation(conn, "copy", CPU)


def test_a_name_that_is_taken_is_refused_and_another_can_be_given(
    conn: Connection[Any], stored: ModelRecord, tmp_path: Path
) -> None:
    export_model(conn, stored.name, tmp_path / "out")
    with pytest.raises(UsageError, match="'quarries 2023' exists"):
        import_model(conn, tmp_path / "out")
    with pytest.raises(UsageError, match="model name"):
        import_model(conn, tmp_path / "out", "\x1b[2J")
    assert import_model(conn, tmp_path / "out", "copy").training["imported"]["name"] == "quarries 2023"


def test_nothing_is_written_over_and_bad_places_are_refused(
    conn: Connection[Any], stored: ModelRecord, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in ("empty", "link"):
        with pytest.raises(UsageError, match="exists: name a new folder"):
            export_model(conn, stored.name, tmp_path / taken)
    with pytest.raises(UsageError, match="is no folder: make it first"):
        export_model(conn, stored.name, tmp_path / "a" / "b")
    with pytest.raises(UsageError, match="no model is called"):
        export_model(conn, "pits", tmp_path / "out")
    with pytest.raises(UsageError, match="name the terms"):
        export_model(conn, stored.name, tmp_path / "out", licence="\x1b[31m")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty", "link"]


def test_what_could_not_be_imported_again_is_not_exported(
    conn: Connection[Any], stored: ModelRecord, tmp_path: Path
) -> None:
    conn.execute('update lode.model set metrics = \'{"mean_iou": "high"}\'')
    with pytest.raises(UsageError, match=r"could not be imported again.*metrics.mean_iou"):
        export_model(conn, stored.name, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


_EXPORT_INTO_A_SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from db.connection import connect
from inference.models.exchange.export import export_model
if sys.argv[3] == "kill":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
with connect(sys.argv[1]) as conn:
    export_model(conn, "quarries 2023", Path(sys.argv[2]))
"""


@pytest.mark.parametrize("how", ["kill", "full"])
def test_an_interrupted_export_leaves_nothing_that_passes_for_a_model(
    conn: Connection[Any], stored: ModelRecord, database_url: str, tmp_path: Path, how: str
) -> None:
    """The system stops the process, or refuses to write, in the middle of the weights."""
    target = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT_INTO_A_SMALL_DISK, database_url, str(target), how],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    left = list(tmp_path.iterdir())
    if how == "kill":
        assert done.returncode == -signal.SIGXFSZ
        assert len(left) == 1
        assert left[0].name.startswith(".out-")
        inside = list(left[0].iterdir())
        assert [each.name for each in inside] == ["model.safetensors.partial"]
        for debris in (left[0], *inside):
            with pytest.raises(UsageError, match="interrupted export"):
                import_model(conn, debris)
    else:
        assert "UsageError" in done.stderr
        assert "nothing is left of it. Free some space there" in done.stderr
        assert left == []
    assert not target.exists()
    export_model(conn, stored.name, target)
    assert import_model(conn, target, "copy").name == "copy"


# The commands, as typed.


def test_the_commands_take_a_model_there_and_back(
    conn: Connection[Any], stored: ModelRecord, database_url: str, tmp_path: Path
) -> None:
    done = lode(database_url, "model", "export", stored.name, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "SHA-256" in done.output
    assert "no licence" not in done.output
    taken = lode(database_url, "model", "import", tmp_path / "out")
    assert isinstance(taken.exception, UsageError)
    assert lode(database_url, "model", "import", tmp_path / "out", "--name", "copy").exit_code == 0
    listed = json.loads(lode(database_url, "model", "list", "--format", "json").output)
    assert [each["name"] for each in listed] == ["copy", "quarries 2023"]
    compared = lode(database_url, "model", "compare", "copy", "quarries 2023")
    assert "the same mean IoU as copy" in compared.output
    shown = lode(database_url, "model", "show", "copy", "--reliability", tmp_path / "drawn.png")
    assert "trained elsewhere" in shown.output
    assert (tmp_path / "drawn.png").stat().st_size > 10_000
    as_json = json.loads(lode(database_url, "model", "show", "copy", "--format", "json").output)
    assert as_json["metrics"] == METRICS


def test_without_a_licence_the_commands_warn(
    conn: Connection[Any], stored: ModelRecord, database_url: str, tmp_path: Path
) -> None:
    conn.execute("update lode.model set licence = null")
    conn.commit()
    done = lode(database_url, "model", "export", stored.name, tmp_path / "out")
    assert "do not pass the weights on" in done.output
    assert "must not be passed on" in (tmp_path / "out" / "README.md").read_text()
    taken = lode(database_url, "model", "import", tmp_path / "out", "--name", "copy")
    assert "states no licence" in taken.output
    given = lode(database_url, "model", "export", stored.name, tmp_path / "b", "--licence", "CC0")
    assert "do not pass" not in given.output
    assert lode(database_url, "model", "import", tmp_path / "b", "--name", "free").exit_code == 0
    conn.rollback()
    assert model_by_name(conn, "free").licence == "CC0"
    assert model_by_name(conn, stored.name).licence is None


def test_a_retired_model_is_hidden_and_interprets_nothing_until_it_is_back(
    conn: Connection[Any], stored: ModelRecord, database_url: str
) -> None:
    add_scene(conn, "scene", date(2020, 7, 14), MultiPolygon([box(87, 44, 87.01, 44.01)]))
    conn.commit()
    done = lode(database_url, "model", "retire", stored.name, "--reason", "misses snow")
    assert done.exit_code == 0, done.output
    assert f"on {datetime.now(UTC):%Y-}" in done.output
    assert stored.name not in lode(database_url, "model", "list").output.splitlines()[0]
    assert "1 retired, see them with --all" in lode(database_url, "model", "list").output
    assert "retired" in lode(database_url, "model", "list", "--all").output
    with pytest.raises(UsageError) as caught:
        interpret(database_url, "scene", stored.name, device_name="cpu")
    message = str(caught.value)
    assert "was retired on" in message
    assert "misses snow (" in message
    assert "lode model retire --undo 'quarries 2023'" in message
    assert conn.execute("select count(*) from lode.run").fetchone() == (0,)
    conn.rollback()
    assert lode(database_url, "model", "retire", stored.name, "--undo").exit_code == 0
    with pytest.raises(UsageError, match="scene has pixels of 100 m"):  # it goes on to look at the scene
        interpret(database_url, "scene", stored.name, device_name="cpu")


@pytest.mark.parametrize("arguments", [("--undo", "--reason", "x"), ()])
def test_retire_needs_a_reason_or_undo(
    stored: ModelRecord, database_url: str, arguments: tuple[str, ...]
) -> None:
    done = lode(database_url, "model", "retire", stored.name, *arguments)
    assert done.exit_code == 2
    assert "either --reason TEXT, or --undo" in done.output
