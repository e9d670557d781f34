"""What comes from outside is checked completely before anything of it is stored."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.registry import list_models, store_model
from inference.models.exchange.archive import MAX_DEPTH, MAX_HEADER_BYTES, with_record, without_record
from inference.models.exchange.export import export_model
from inference.models.exchange.importing import MAX_FILE_BYTES, import_model
from tests.conftest import copied_database
from tests.db.model_files import (
    METRICS,
    OPTIONS,
    lie,
    new_model,
    put_record,
    rewritten,
    set_in,
    small_weights,
    with_tensors,
    with_text,
)


@pytest.fixture(scope="module")
def shared(cluster: Cluster, template_database: str) -> Iterator[Connection[Any]]:
    """A database for all tests that keep nothing in it."""
    with copied_database(cluster, template_database) as url, connect(url) as connection:
        yield connection


@pytest.fixture
def target(shared: Connection[Any]) -> Iterator[Connection[Any]]:
    """A database that models are brought to; what a test leaves is rolled back."""
    yield shared
    shared.rollback()


@pytest.fixture(scope="module")
def exported(shared: Connection[Any], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An exported model's file, whose name is free."""
    folder = tmp_path_factory.mktemp("exported") / "out"
    new = new_model()
    store_model(shared, new)
    export_model(shared, new.name, folder)
    shared.execute("delete from lode.model")
    shared.commit()
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def file(exported: bytes, tmp_path: Path) -> Path:
    """A copy of it, in a folder of its own."""
    path = tmp_path / "quarries" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(exported)
    return path


def refused(conn: Connection[Any], path: Path, message: str, name: str | None = None) -> None:
    with pytest.raises(UsageError, match=message):
        import_model(conn, path, name)
    # the caller's transaction still works, and holds nothing of it
    assert list_models(conn) == []
    assert conn.execute("select count(*) from lode.model_weights").fetchone() == (0,)
    conn.rollback()


def test_what_is_no_file_of_tensors_is_refused(target: Connection[Any], file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    refused(target, tmp_path / "nowhere", "cannot be read")
    refused(target, tmp_path, "model.safetensors cannot be read")
    for content, message in (
        (b"", "no safetensors file"),
        (b"hello world, I am a model", "no safetensors file"),
        (whole[:5], "no safetensors file"),
        (whole[: len(whole) // 2], "SHA-256"),
        (whole[:-1], "SHA-256"),
        (whole + b"\0", "SHA-256"),
        ((1 << 62).to_bytes(8, "little") + whole[8:], "no safetensors file"),
        ((2).to_bytes(8, "little") + b"[]" + whole[8:], "no safetensors file"),
        ((4).to_bytes(8, "little") + b"{\xff\xfe}" + whole[8:], "no UTF-8"),
        ((4).to_bytes(8, "little") + b"{{{{" + whole[8:], "no JSON"),
    ):
        file.write_bytes(content)
        refused(target, file, message)


def test_a_pickle_is_never_opened(target: Connection[Any], file: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {trap}",)

    for protocol in (0, 2, 5):
        file.write_bytes(pickle.dumps(Bomb(), protocol))
        refused(target, file, "pickle" if protocol else "no safetensors file")
    torch.save(Bomb(), file)
    refused(target, file, "pickle")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Bomb()))  # noqa: S301 - the trap works
    assert trap.exists()


def test_links_pipes_and_folders_are_not_followed(
    target: Connection[Any], file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(file)
    refused(target, link, "is a link")
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / "model.safetensors").symlink_to(file)
    refused(target, inside, "is a link")
    os.mkfifo(tmp_path / "pipe")
    refused(target, tmp_path / "pipe", "no plain file")


def test_a_file_of_many_gigabytes_is_refused_by_its_size(
    target: Connection[Any], file: Path, tmp_path: Path
) -> None:
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as opened:
        opened.truncate(MAX_FILE_BYTES + 1)  # takes no room
    refused(target, huge, "at most 1,000,000,000 are taken")


def test_a_record_that_is_no_record_is_refused(target: Connection[Any], file: Path) -> None:
    original = file.read_bytes()
    _content, weights, _header = without_record(original, "it")
    file.write_bytes(weights)
    refused(target, file, "holds tensors but no record of a model")
    for text, message in (
        ("", "no JSON"),
        ("not json", "no JSON"),
        ("[]", "does not say its format"),
        ("null", "does not say its format"),
        ('{"format": 1}', "record: Field required"),
        ('{"format": true}', "does not say its format"),
        ('{"format": 2}', "use a newer Lode"),
        ('{"format": NaN}', "NaN is no number"),
        ('{"format": 1, "x": 1e999}', "not finite"),
        ('{"format": 1, "x": ' + "9" * 30 + "}", "more than 64 bits"),
        ('{"format": 1, "x": ' + "9" * 9000 + "}", "no JSON|64 bits"),
        ('{"format": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
        ('{"format": 1, "x": ' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}", "nested too deep"),
        ('{"format": 1, "x": "\\u0000"}', "cannot be shown"),
        ('{"format": 1, "x": "\\ud800"}', "cannot be shown"),
        ('{"format": 1, "x": "\\u001b[2J"}', "cannot be shown"),
        ('{"format": 1, "\\u202e": 1}', "cannot be shown"),
        ('{"format": 1, "x": "' + "y" * MAX_HEADER_BYTES + '"}', "a model's is at most"),
    ):
        file.write_bytes(original)
        with_text(file, text)
        refused(target, file, message)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("name",), "", "model name ''"),
        (("name",), "a\nb", "model name"),
        (("name",), "矿" * 67, "model name"),
        (("name",), 7, "record.name"),
        (("task",), "pits", "is for pits"),
        (("task",), "prospect", "record.class_codes"),
        (("architecture",), "unheard_of", "unknown architecture 'unheard_of'"),
        (("architecture",), "unet", "belong to another network"),
        (("options",), {"backbone": "huge"}, "unknown backbone"),
        (("options",), {"backbone": "small", "evil": 1}, "unknown option 'evil'"),
        (("options",), {"backbone": "small", "classes": 8}, "cannot be built"),
        (("options",), {"backbone": ["small"]}, "cannot be built"),
        (("options",), {"backbone": "small", "decoder_channels": 10**9}, "options hold 1000000000"),
        (("options",), {"backbone": "small", "aspp_channels": 90_000}, "do not fit|belong to|numbers of"),
        (("options",), {"backbone": "small", "atrous_rates": [1] * 20_001}, "more than 20000 values"),
        (("options",), {"backbone": "small", "dropout": "often"}, "dropout is 'often'"),
        (("options",), [], "record.options"),
        (("class_codes",), [0, 1, 2, 3, 4, 5, 6, 99], "answers the classes"),
        (("class_codes",), [0, 6], "mapped_codes"),
        (("class_codes",), [0, 1, 2, 3, 4, 5, 6, 7, 8], "do not fit"),
        (("class_codes",), [0.5] * 8, "record.class_codes"),
        (("class_codes",), [1 << 40], "record.class_codes"),
        (("mapped_codes",), [], "record.mapped_codes"),
        (("mapped_codes",), [0, 0], "names one twice"),
        (("mapped_codes",), [0, 200], "not all among the class_codes"),
        (("band_names",), ["blue", "blue"], "names one twice"),
        (("band_names",), ["blue"], "do not fit"),
        (("band_names",), ["blue", "red"], "normalisation lacks"),
        (("band_names",), [f"b{n}" for n in range(3000)], "record.band_names"),
        (("resolution_m",), 0, "record.resolution_m"),
        (("resolution_m",), "2", "record.resolution_m"),
        (("tile_px",), 10**12, "record.tile_px"),
        (("tile_px",), -64, "record.tile_px"),
        (("normalisation", "blue", "std"), 0.0, "standard deviation 0"),
        (("normalisation", "blue", "medians"), [], "normalisation lacks"),
        (("training",), {}, "training.processing_level: Field required"),
        (("training", "scenes"), "all", "training.scenes"),
        (("training", "members"), [{}], "training.members"),
        (("training", "split", "blocks"), [[1]], "training.split.blocks"),
        (("training", "pixels", "train"), {"dump": -1}, "training.pixels"),
        (("history",), [1, 2], "record.history"),
        (("history", ), [{"epoch": 1, "loss": "low"}], "loss"),
        (("metrics", "mean_iou"), 1.5, "metrics.mean_iou"),
        (("metrics", "by_class", "dump", "iou"), "good", "metrics.by_class.dump.iou"),
        (("metrics", "confusion"), [[1, 2], [3]], "not of the 8 classes"),
        (("metrics", "blocks"), [{"key": "1,1", "confusion": [[1]]}], "not of the 8 classes"),
        (("metrics", "baselines", "majority_class"), None, "metrics.baselines.majority_class"),
        (("metrics", "boundary", "by_class"), [], "metrics.boundary.by_class"),
        (("metrics", "calibration", "after", "reliability"), [{}], "reliability"),
        (("metrics", "calibration", "before", "mean_classwise_ece"), "low", "mean_classwise_ece"),
        (("metrics", "intervals", "mean_iou"), {"low": "a", "high": "b"}, "metrics.intervals"),
        (("training", "settings", "augmentation"), {"scale": "much"}, "training.settings.augmentation"),
        (("versions",), {"torch": 2}, "record.versions"),
        (("temperature",), 0, "record.temperature"),
        (("temperature",), -1.0, "record.temperature"),
        (("temperature",), None, "record.temperature"),
        (("temperature",), 1e-300, "record.temperature"),
        (("temperature",), 1e300, "record.temperature"),
        (("tile_px",), 16, "record.tile_px"),
        (("tile_px",), 50, "record.tile_px"),
        (("mapped_codes",), [0], "record.mapped_codes"),
        (("trained_at",), "yesterday", "record.trained_at"),
        (("trained_at",), "2020-01-01T00:00:00", "time zone"),
        (("trained_at",), "2999-01-01T00:00:00+00:00", "in the future"),
        (("licence",), 5, "record.licence"),
        (("retired_at",), "soon", "record.retired_at"),
        (("surprise",), 1, "record.surprise: Extra inputs"),
    ],
)  # fmt: skip
def test_a_record_with_one_thing_wrong_is_refused(
    target: Connection[Any], file: Path, path: tuple[str, ...], value: Any, message: str
) -> None:
    rewritten(file, set_in(*path, value=value))
    refused(target, file, message)


def test_a_record_that_was_edited_is_noticed(target: Connection[Any], file: Path) -> None:
    content, weights, _header = without_record(file.read_bytes(), "it")
    content["record"]["band_names"].reverse()
    file.write_bytes(with_record(weights, content))
    refused(target, file, "was changed since the model was exported")


def test_a_record_may_lack_what_older_versions_did_not_store(target: Connection[Any], file: Path) -> None:
    def make_old(content: dict[str, Any]) -> None:
        content["record"]["training"] = {"processing_level": "digital_number"}
        content["record"]["metrics"] = {"mean_iou": 0.7}
        content["record"]["history"] = []
        del content["scenes"]

    rewritten(file, make_old)
    assert import_model(target, file).metrics == {"mean_iou": 0.7}
    rewritten(file, lambda content: content["record"].pop("licence") and None)
    with pytest.raises(UsageError, match="licence: Field required"):
        import_model(target, file, "x")


def test_options_that_would_fill_the_memory_are_refused_before_they_do(
    target: Connection[Any], file: Path
) -> None:
    weights = small_weights("pspnet")
    content, _, _ = without_record(file.read_bytes(), "it")
    content["record"] |= {"architecture": "pspnet", "options": {**OPTIONS, "bins": [1, 2, 3, 90_000]}}
    put_record(file, weights, content)
    refused(target, file, "would make .* numbers of a small window")


def spoil(name: str, value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    def change(state: dict[str, torch.Tensor]) -> None:
        state[name].view(-1)[0] = value

    return change


def reshape(state: dict[str, torch.Tensor]) -> None:
    state["classifier.weight"] = state["classifier.weight"][:5].contiguous()


def double(state: dict[str, torch.Tensor]) -> None:
    state["classifier.weight"] = state["classifier.weight"].double()


def negative_variance(state: dict[str, torch.Tensor]) -> None:
    name = next(name for name in state if name.endswith("running_var"))
    state[name].fill_(-1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("classifier.weight", float("nan")), "NaN or Inf in classifier.weight"),
        (spoil("classifier.weight", float("inf")), "NaN or Inf"),
        (spoil("classifier.weight", 3e38), "answers noise with NaN|cannot answer"),
        (negative_variance, "answers noise with NaN"),
        (reshape, r"do not fit: classifier.weight is F32 \[5, "),
        (double, "do not fit: classifier.weight is F64"),
        (lambda state: state.__delitem__("classifier.weight"), "1 tensors are missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "1 are unknown"),
    ],
)
def test_weights_that_could_not_work_are_refused(
    target: Connection[Any], file: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    with_tensors(file, change)
    refused(target, file, message)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["classifier.weight"].update(data_offsets=[0, 1 << 60]),
        lambda header: header["classifier.weight"].update(data_offsets=[-8, 8]),
        lambda header: header["classifier.weight"].update(
            data_offsets=header["classifier.bias"]["data_offsets"]
        ),
        lambda header: header["classifier.weight"].update(shape=[1 << 40, 1 << 40]),
        lambda header: header["classifier.weight"].update(shape="many"),
        lambda header: header["classifier.weight"].update(dtype="F7"),
        lambda header: header["classifier.weight"].pop("data_offsets"),
        lambda header: header.update({"classifier.weight": 5}),
        lambda header: header.update({"\ud800": header.pop("classifier.weight")}),
        lambda header: header.update(__metadata__={"x": 5}),
        lambda header: header.update(__metadata__=[1]),
    ],
)
def test_a_header_that_lies_is_refused(
    target: Connection[Any], file: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    try:
        lie(file, change)
    except UsageError:
        # our own writer refuses to make such a file: write the bare lie
        _content, weights, header = without_record(file.read_bytes(), "it")
        change(header)
        text = json.dumps(header).encode()
        length = int.from_bytes(weights[:8], "little")
        file.write_bytes(len(text).to_bytes(8, "little") + text + weights[8 + length :])
    refused(target, file, "no safetensors file|do not fit|belong to another|cannot be shown|no record")


def test_a_card_that_lies_changes_nothing(target: Connection[Any], file: Path) -> None:
    (file.parent / "README.md").write_text("# best model\n\nmean IoU 1.000, licence: anything goes\n")
    record = import_model(target, file.parent)
    assert (record.metrics["mean_iou"], record.licence) == (METRICS["mean_iou"], "CC BY 4.0")
    target.rollback()
    (file.parent / "README.md").unlink()
    assert import_model(target, file.parent).name == "quarries 2023"


def test_a_file_of_any_noise_is_refused_without_a_crash(target: Connection[Any], file: Path) -> None:
    """Bytes of a good header, changed at random: refused, or it was one that says nothing."""
    whole, rng = file.read_bytes(), np.random.default_rng(5)
    header = 8 + int.from_bytes(whole[:8], "little")
    outcomes = []
    for _ in range(60):
        spoilt = bytearray(whole)
        for place in rng.integers(0, header, 3):
            spoilt[place] = int(rng.integers(0, 256))
        file.write_bytes(spoilt)
        try:
            import_model(target, file)
        except UsageError:
            outcomes.append("refused")
        else:
            outcomes.append("taken")
        target.rollback()
    assert outcomes.count("refused") > 30


def test_clocks_may_differ_by_a_little(target: Connection[Any], file: Path) -> None:
    soon = datetime.now(UTC) + timedelta(hours=2)
    rewritten(file, set_in("trained_at", value=soon.isoformat()))
    assert import_model(target, file).trained_at == soon
    target.rollback()
