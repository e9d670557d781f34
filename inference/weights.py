"""Weights as safetensors bytes, and the checks before they enter a network."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from db.errors import UsageError


def weights_to_bytes(network: nn.Module) -> bytes:
    """A safetensors file with everything in the network's state."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    return save(state)


def load_weights(network: nn.Module, weights: bytes, what: str) -> None:
    """Put the weights of a safetensors file into a network.

    Args:
        network: built with the architecture the weights belong to.
        weights: the file's content.
        what: name for messages.

    Raises:
        UsageError: no safetensors file, other tensors than the network has, other shapes, NaN or Inf.

    """
    try:
        state = load(weights)
    except SafetensorError as error:
        raise UsageError(f"the weights of {what} are no safetensors file: {error}") from error
    expected = network.state_dict()
    absent, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if absent or surplus:
        raise UsageError(
            f"the weights of {what} belong to another architecture: "
            f"{len(absent)} tensors are missing {absent[:3]}, {len(surplus)} are unknown {surplus[:3]}"
        )
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise UsageError(
                f"the weights of {what} do not fit: {name} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"the network has {expected[name].dtype} {tuple(expected[name].shape)} (bands, classes?)"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise UsageError(f"the weights of {what} hold NaN or Inf in {name}: train it again")
    network.load_state_dict(state)
