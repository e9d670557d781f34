"""Squeeze aggregated excitation, the block of SENetV2."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.checks import require_count


class SqueezeAggregatedExcitation(nn.Module):
    """Weighs channels by what the whole tile holds (Narayanan 2023, https://arxiv.org/abs/2311.10807).

    z = global mean of x, (n, C)
    q = concat over the branches of ReLU(Linear(C -> max(C // reduction, 1))(z))
    s = sigmoid(Linear(-> C)(q))
    out = x + x * s, or x * s without the inner residual

    It starts as a plain gain of about 1.5 (s = 0.5 for every channel), which the normalisation behind it
    takes out again. It uses statistics of the whole tile: train and infer at one tile size.

    Args:
        channels: C.
        reduction: factor by which a branch narrows the channels.
        cardinality: number of parallel branches.
        residual: whether x is added.

    Shapes:
        (n, C, h, w) -> (n, C, h, w)
    """

    def __init__(
        self, channels: int, *, reduction: int = 32, cardinality: int = 4, residual: bool = True
    ) -> None:
        super().__init__()
        require_count("channels of the SaE block", channels)
        require_count("sae_reduction", reduction)
        require_count("sae_cardinality", cardinality)
        squeezed = max(channels // reduction, 1)
        self.squeeze = nn.ModuleList(_squeezing_layer(channels, squeezed) for _ in range(cardinality))
        self.excite = nn.Linear(cardinality * squeezed, channels)
        self.residual = residual
        # small, not zero: at zero no gradient would reach the squeezing layers
        nn.init.normal_(self.excite.weight, std=0.01)
        nn.init.zeros_(self.excite.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The reweighted feature."""
        mean = x.mean(dim=(2, 3))
        squeezed = torch.cat([F.relu(branch(mean)) for branch in self.squeeze], dim=1)
        scale = torch.sigmoid(self.excite(squeezed))[:, :, None, None]
        return x + x * scale if self.residual else x * scale


def _squeezing_layer(channels: int, squeezed: int) -> nn.Linear:
    layer = nn.Linear(channels, squeezed)
    nn.init.normal_(layer.weight, std=channels**-0.5)
    # Means of rectified features are positive and much alike from tile to tile: without this bias half of
    # the few units would be dead for every tile, and stay so.
    nn.init.ones_(layer.bias)
    return layer
