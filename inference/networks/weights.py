"""Weights put into a network, all checked before the first is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from db.errors import UsageError

NAMES_SHOWN = 5


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a state.

    Attributes:
        matched: names loaded.
        missing: names that the network has and the state has not; these keep their values.
        unexpected: names that the state has and the network has not; these are left out.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, strict: bool = True) -> LoadReport:
    """Load parameters and buffers, or refuse and leave the network as it was.

    Floating-point tensors may come in another precision and from another device. To start from weights of a
    backbone alone, pass ``network.backbone`` and ``strict=False``.

    Args:
        network: any module that was not compiled (compiling puts a prefix before every name).
        state: tensors by name, as safetensors gives them.
        strict: refuse missing and unexpected names instead of reporting them.

    Returns:
        Names matched, missing and unexpected.

    Raises:
        UsageError: NaN or Inf, also after conversion to the network's precision; a negative running
            variance; another shape or kind of number; no name in common; with `strict`, names missing or
            unexpected.
    """
    wanted = network.state_dict()
    report = LoadReport(
        matched=tuple(name for name in wanted if name in state),
        missing=tuple(name for name in wanted if name not in state),
        unexpected=tuple(name for name in state if name not in wanted),
    )
    if not report.matched:
        raise UsageError(
            f"the weights fit nothing in {type(network).__name__}: "
            f"they name {_shown(state)}, it has {_shown(wanted)}"
        )
    if strict and (report.missing or report.unexpected):
        raise UsageError(
            f"the weights are of another network than this {type(network).__name__}: "
            f"{len(report.matched)} tensors match, "
            f"{len(report.missing)} missing ({_shown(report.missing)}), "
            f"{len(report.unexpected)} unexpected ({_shown(report.unexpected)})"
        )
    converted = {name: _checked(name, state[name], wanted[name]) for name in report.matched}
    with torch.no_grad():
        for name, tensor in converted.items():
            wanted[name].copy_(tensor)  # state_dict shares its storage with the network
    return report


def _checked(name: str, got: object, wanted: Tensor) -> Tensor:
    """`got` in the dtype of `wanted`, or a refusal that names it."""
    if not isinstance(got, Tensor):
        raise UsageError(f"weights {name}: got a {type(got).__name__}, needed is a tensor")
    if got.shape != wanted.shape:
        raise UsageError(
            f"weights {name}: got shape {tuple(got.shape)}, the network needs {tuple(wanted.shape)}; "
            "number of bands, classes, backbone and options must be those of the training"
        )
    if got.is_floating_point() != wanted.is_floating_point() or got.is_complex():
        raise UsageError(f"weights {name}: got numbers of type {got.dtype}, the network needs {wanted.dtype}")
    converted = got.detach().to(wanted.dtype)
    if converted.is_floating_point():
        bad = int((~torch.isfinite(converted)).sum())
        if bad:
            raise UsageError(
                f"weights {name}: {bad} of {converted.numel()} values are NaN or infinite as {wanted.dtype}"
            )
        if name.rsplit(".", 1)[-1] == "running_var" and bool((converted < 0).any()):
            raise UsageError(f"weights {name}: a variance is negative")
    return converted


def _shown(names: Iterable[str]) -> str:
    """The first few names."""
    listed = list(names)
    if not listed:
        return "none"
    tail = ", ..." if len(listed) > NAMES_SHOWN else ""
    return ", ".join(str(name) for name in listed[:NAMES_SHOWN]) + tail
