"""Atrous spatial pyramid pooling: one feature seen at several reaches at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from inference.networks.convolution import ConvBnRelu


class Aspp(nn.Module):
    """ASPP of DeepLabV3 (Chen et al. 2017, https://arxiv.org/abs/1706.05587).

    Branches: 1x1; a 3x3 at each rate; the mean over the whole tile, 1x1, spread over the tile again; and one
    more where `extra_branch` is given. Concatenated, 1x1, batch normalisation, ReLU, dropout. The pooled
    branch uses statistics of the whole tile: train and infer at one tile size.

    Args:
        in_channels: channels of the deep feature.
        out_channels: width of every branch and of the result.
        rates: dilations of the 3x3 branches, in pixels of the deep feature.
        dropout: share of channels' values dropped in training, 0 to below 1.
        extra_branch: module (n, in_channels, h, w) -> (n, out_channels, h, w), or None.

    Shapes:
        (n, in_channels, h, w) -> (n, out_channels, h, w)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        rates: Sequence[int],
        dropout: float,
        extra_branch: nn.Module | None = None,
    ) -> None:
        super().__init__()
        branches: list[nn.Module] = [ConvBnRelu(in_channels, out_channels)]
        branches += [ConvBnRelu(in_channels, out_channels, 3, dilation=rate) for rate in rates]
        if extra_branch is not None:
            branches.append(extra_branch)
        self.branches = nn.ModuleList(branches)
        self.pooled = ConvBnRelu(in_channels, out_channels)
        self.project = ConvBnRelu((len(branches) + 1) * out_channels, out_channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """The pyramid's feature, of the input's height and width."""
        maps = [branch(x) for branch in self.branches]
        pooled = self.pooled(x.mean(dim=(2, 3), keepdim=True))
        # bilinear resampling of a single pixel is that pixel everywhere
        maps.append(pooled.expand(-1, -1, x.shape[2], x.shape[3]))
        out: Tensor = self.dropout(self.project(torch.cat(maps, dim=1)))
        return out
