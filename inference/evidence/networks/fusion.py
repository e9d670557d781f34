"""Sources of evidence brought together, each through a stem of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FusionLayer(nn.Module):
    """One 3x3 stem with GELU per source, their channels concatenated, 1x1 with GELU, 3x3.

    Sources differ in number of channels and in what a step of one means, so each gets features of its own
    before they meet. Nothing is normalised: the statistics of a window would depend on how much of it is
    hidden.

    Args:
        sizes: channels of each source.
        stem: channels of each stem; the result has twice as many.

    Shapes:
        sources (n, size + 1, h, w) each, the last channel says what is known -> (n, 2 * stem, h, w)
    """

    def __init__(self, sizes: Sequence[int], stem: int) -> None:
        super().__init__()
        self.out_channels = 2 * stem
        self.stems = nn.ModuleList(nn.Conv2d(size + 1, stem, 3, padding=1) for size in sizes)
        self.mixing = nn.Conv2d(stem * len(sizes), self.out_channels, 1)
        self.local = nn.Conv2d(self.out_channels, self.out_channels, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # GELU lets through about as much as a ReLU
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, sources: Sequence[Tensor]) -> Tensor:
        """(n, 2 * stem, h, w)."""
        features = [F.gelu(stem(source)) for stem, source in zip(self.stems, sources, strict=True)]
        fused: Tensor = self.local(F.gelu(self.mixing(torch.cat(features, 1))))
        return fused
