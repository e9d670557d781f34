"""Learning rate, averaging and decay: what a training does with its steps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

WARM_UP_SHARE = 0.05
AVERAGE_DECAY = 0.98


def schedule(progress: float) -> float:
    """Share of the highest learning rate at a share of the training: linear rise, then half a cosine to 0."""
    if progress < WARM_UP_SHARE:
        return max(progress / WARM_UP_SHARE, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE), 1.0)))


def average_into(averaged: nn.Module, live: nn.Module, step: int) -> None:
    """Move the averaged network's state towards the live one's; the first steps count for less."""
    share = 1 - min(AVERAGE_DECAY, step / (step + 10))
    with torch.no_grad():
        for old, new in zip(averaged.state_dict().values(), live.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, share)
            else:
                old.copy_(new)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and normalisation, which have one axis, do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
