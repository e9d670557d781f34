"""A small model as it is stored and exported, and ways to spoil its file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from db.registry import NewModel
from inference.models.exchange.archive import KEY, with_record, without_record
from inference.models.exchange.consistency import digest_of
from inference.networks import build_network
from inference.normalisation import Normalisation
from inference.segmentation_model import CLASS_CODES
from inference.weights import weights_to_bytes
from tests.unit.stored_models import TRAINED_AT, history_of, metrics_of, training_of

BANDS = ("blue", "nir")
OPTIONS = {"backbone": "small"}
METRICS = metrics_of()


def small_weights(architecture: str = "deeplabv3plus") -> bytes:
    torch.manual_seed(0)
    return weights_to_bytes(build_network(architecture, in_channels=len(BANDS), **OPTIONS))


def new_model() -> NewModel:
    normalisation = Normalisation(
        BANDS, (400.0, 900.0), (50.0, 120.0), ((380.0, 420.0), (850.0, 950.0)), (300.0, 700.0)
    )
    return NewModel(
        name="quarries 2023",
        task="segmentation",
        architecture="deeplabv3plus",
        options=OPTIONS,
        class_codes=CLASS_CODES,
        mapped_codes=(0, 1, 6),
        band_names=BANDS,
        resolution_m=2.0,
        tile_px=64,
        normalisation=normalisation.as_json(),
        training=training_of(),
        history=history_of(),
        metrics=METRICS,
        versions={"torch": "2"},
        weights=small_weights(),
        temperature=1.75,
        licence="CC BY 4.0",
        trained_at=TRAINED_AT,
    )


def rewritten(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the record in a file; the weights stay as they are."""
    content, weights, _header = without_record(file.read_bytes(), "it")
    changed = change(content)
    content = content if changed is None else changed
    if isinstance(content, dict):
        content["digest"] = digest_of(content)
    file.write_bytes(with_record(weights, content))


def with_text(file: Path, text: str) -> None:
    """Put any text where the record is."""
    _content, weights, _header = without_record(file.read_bytes(), "it")
    file.write_bytes(save(load(weights), {KEY: text}))


def with_tensors(file: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change tensors, and have the record agree with the new weights."""
    content, weights, _header = without_record(file.read_bytes(), "it")
    state = load(weights)
    change(state)
    put_record(file, save(state), content)


def put_record(file: Path, weights: bytes, content: dict[str, Any]) -> None:
    _, bare, _ = without_record(with_record(weights, {}), "it")
    content["weights_sha256"] = hashlib.sha256(bare).hexdigest()
    content["digest"] = digest_of(content)
    file.write_bytes(with_record(bare, content))


def set_in(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        place = content["record"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


def lie(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the header's table of tensors; the record agrees with what comes out."""
    content, weights, header = without_record(file.read_bytes(), "it")
    change(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    length = int.from_bytes(weights[:8], "little")
    put_record(file, len(text).to_bytes(8, "little") + text + weights[8 + length :], content)
