"""Whether the network of an exported model can be built, loaded and asked, before it is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from db.errors import UsageError
from db.registry import ModelRecord, NewModel, StoredModel
from inference.models.exchange.archive import METADATA
from inference.networks import build_network
from inference.segmentation_model import ready_model

TRIAL_PX = 64
"""Edge of the window of noise that an imported network must answer."""
MAX_NUMBERS = 1 << 26
"""Largest tensor a network may make of that window; 256 MB of float32."""
_TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32,
    "F64": torch.float64,
}  # fmt: skip


def check_network(new: NewModel, header: Mapping[str, Any], digest: str, what: str) -> None:
    """Build the network, load the weights and have it answer a window of noise.

    First without memory, on torch's meta device: a record of a few bytes could ask for any amount of it.

    Args:
        new: the model.
        header: type, shape and place of each tensor in its weights.
        digest: SHA-256 of the weights.
        what: name for messages.

    Raises:
        UsageError: the network cannot be built, the weights are another one's, are not finite, or lead to
            answers that are not.

    """
    with told_of_building(what):
        network = _without_memory(new)
    compare_tensors(network, header, what)
    try:
        model = ready_model(StoredModel(as_record(new), new.weights, digest), torch.device("cpu"))
    except UsageError as error:
        raise UsageError(f"the model in {what} cannot be used: {error}") from error
    noise = torch.randn(
        1, len(new.band_names), TRIAL_PX, TRIAL_PX, generator=torch.Generator().manual_seed(0)
    )
    try:
        answer = model.probabilities(noise)
    except RuntimeError as error:
        raise UsageError(f"the network in {what} cannot answer: {str(error)[:200]}") from error
    if not bool(torch.isfinite(answer).all()):
        raise UsageError(
            f"the network in {what} answers noise with NaN: its weights or its temperature "
            f"({new.temperature:g}) are spoilt"
        )


@contextmanager
def told_of_building(what: str) -> Iterator[None]:
    """What goes wrong while a network is built from a record is the record's fault, and is told so."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"the network in {what} cannot be built: {error}") from error
    # what Python and torch raise for arguments of a wrong kind or size
    except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise UsageError(f"the network in {what} cannot be built: {str(error)[:200]}") from error


def _without_memory(new: NewModel) -> nn.Module:
    """The network on the meta device, after it was asked about a window there."""
    with torch.device("meta"), torch.inference_mode():
        network = build_network(
            new.architecture, in_channels=len(new.band_names), classes=len(new.class_codes), **new.options
        ).eval()
        for module in network.modules():
            module.register_forward_hook(refuse_huge)
        network(torch.empty(1, len(new.band_names), TRIAL_PX, TRIAL_PX))
    return network


def refuse_huge(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
    """A hook of modules: refuse what would take much memory for a small window."""
    for each in (*inputs, output):
        if isinstance(each, torch.Tensor) and each.numel() > MAX_NUMBERS:
            raise UsageError(
                f"its {type(module).__name__} would make {each.numel():,} numbers of a small window"
            )


def compare_tensors(network: nn.Module, header: Mapping[str, Any], what: str) -> None:
    """Hold names, types and shapes of a file's tensors against the network's.

    Raises:
        UsageError: they differ.

    """
    expected = network.state_dict()
    tensors = {name: each for name, each in header.items() if name != METADATA}
    absent, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if absent or surplus:
        raise UsageError(
            f"the weights in {what} belong to another network than the record: {len(absent)} tensors are "
            f"missing {absent[:3]}, {len(surplus)} are unknown {surplus[:3]}"
        )
    for name, wanted in expected.items():
        told = tensors[name] if isinstance(tensors[name], dict) else {}
        shape, dtype = told.get("shape"), told.get("dtype")
        if shape != list(wanted.shape) or _TYPES.get(str(dtype)) != wanted.dtype:
            raise UsageError(
                f"the weights in {what} do not fit: {name} is {dtype} {str(shape)[:80]}, the network has "
                f"{wanted.dtype} {list(wanted.shape)}"
            )


def as_record(new: NewModel) -> ModelRecord:
    """The row that a model will be, for the checks that rows go through."""
    columns = {name: getattr(new, name) for name in ModelRecord.__dataclass_fields__ if name != "model_id"}
    lists = {name: list(columns[name]) for name in ("class_codes", "mapped_codes", "band_names")}
    return ModelRecord(model_id=0, **{**columns, **lists})
