"""The decoder of DeepLabV3+: what the encoder knows, put back on the edges of the low-level feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inference.networks.convolution import ConvBnRelu, resize_bilinear


class Decoder(nn.Module):
    """Decoder of DeepLabV3+ (Chen et al. 2018, https://arxiv.org/abs/1802.02611), up to the classifier.

    The low-level feature goes through 1x1 to `reduced_channels`; the encoder's feature is resampled to the
    low-level feature's size, whatever that is; both are concatenated and pass two 3x3.

    Args:
        low_level_channels: channels of the low-level feature.
        encoded_channels: channels of the encoder's feature.
        reduced_channels: width that the low-level feature is reduced to.
        out_channels: width of the 3x3 convolutions.
        concat_block: module on the concatenated feature (n, encoded + reduced, h, w), shape kept, or None.

    Shapes:
        low_level (n, low_level_channels, h, w), encoded (n, encoded_channels, any, any)
        -> (n, out_channels, h, w)
    """

    def __init__(
        self,
        low_level_channels: int,
        encoded_channels: int,
        *,
        reduced_channels: int,
        out_channels: int,
        concat_block: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.reduce = ConvBnRelu(low_level_channels, reduced_channels)
        self.concat_block = concat_block
        self.merge = nn.Sequential(
            ConvBnRelu(encoded_channels + reduced_channels, out_channels, 3),
            ConvBnRelu(out_channels, out_channels, 3),
        )

    def forward(self, low_level: Tensor, encoded: Tensor) -> Tensor:
        """The decoded feature on the grid of the low-level feature."""
        height, width = low_level.shape[-2:]
        both = torch.cat((resize_bilinear(encoded, height, width), self.reduce(low_level)), dim=1)
        if self.concat_block is not None:
            both = self.concat_block(both)
        out: Tensor = self.merge(both)
        return out
