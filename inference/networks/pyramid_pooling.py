"""Pyramid pooling: the means of a feature over ever finer parts of the tile, laid beside the feature."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.networks.checks import require_count
from inference.networks.convolution import ConvBnRelu, resize_bilinear


class PyramidPooling(nn.Module):
    """Pyramid pooling module of PSPNet (Zhao et al. 2017, https://arxiv.org/abs/1612.01105).

    For each b of `bins` the feature is averaged over b x b parts of the tile, passes 1x1, batch
    normalisation and ReLU, and is resampled to the feature's size; the results are concatenated behind the
    feature. Part i of b along an axis of n pixels is

        from floor(i n / b) to below ceil((i + 1) n / b)

    so that parts overlap by a pixel where b does not divide n, and repeat pixels where n is below b. The
    parts grow with the tile: train and infer at one tile size.

    Args:
        in_channels: channels of the feature.
        branch_channels: width of each branch.
        bins: parts along each axis, one number a branch.

    Shapes:
        (n, in_channels, h, w) -> (n, in_channels + len(bins) * branch_channels, h, w)

    Attributes:
        out_channels: channels of the result.
    """

    def __init__(self, in_channels: int, branch_channels: int, *, bins: Sequence[int]) -> None:
        super().__init__()
        require_count("channels of the pyramid pooling", in_channels)
        require_count("channels of a branch of the pyramid pooling", branch_channels)
        for parts in bins:
            require_count("an entry of bins", parts)
        if not bins:
            raise UsageError("the pyramid pooling got no bins: give at least one, e.g. 1, 2, 3, 6")
        self.bins = tuple(bins)
        self.branches = nn.ModuleList(ConvBnRelu(in_channels, branch_channels) for _ in self.bins)
        self.out_channels = in_channels + len(self.bins) * branch_channels

    def forward(self, x: Tensor) -> Tensor:
        """The feature and its pyramid."""
        height, width = x.shape[-2:]
        maps = [x]
        for parts, branch in zip(self.bins, self.branches, strict=True):
            maps.append(resize_bilinear(branch(F.adaptive_avg_pool2d(x, parts)), height, width))
        return torch.cat(maps, dim=1)
