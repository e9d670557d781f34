"""What the networks on patches share: the check of their input and the form of their output."""

from __future__ import annotations

import torch
from torch import Tensor

from db.errors import UsageError


def check_patches(patches: Tensor, patch_px: int, in_channels: int) -> None:
    """Refuse a batch that a network cannot take; looks at shape and type, not at values.

    Raises:
        UsageError: says the shape or type it got and what is needed.

    """
    nodes = patch_px**2
    if patches.ndim != 3 or patches.shape[1:] != (nodes, in_channels) or patches.shape[0] == 0:
        raise UsageError(
            f"got patches of shape {tuple(patches.shape)}: the network was built for (n, {nodes}, "
            f"{in_channels}), which is n patches of {patch_px} x {patch_px} cells with {in_channels} channels"
        )
    if not patches.is_floating_point():
        raise UsageError(f"got patches of type {patches.dtype}: standardise the channels first")


def as_two_logits(outputs: Tensor) -> Tensor:
    """Logits (n, 2) of a network with two outputs or one; one, z, becomes [0, z]."""
    if outputs.shape[1] == 2:
        return outputs
    return torch.cat((torch.zeros_like(outputs), outputs), dim=1)
