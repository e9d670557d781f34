"""One step of the decoder beyond stride 4, for structures a few pixels wide."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from inference.networks.convolution import ConvBnRelu, resize_bilinear


class Refine(nn.Module):
    """Brings the decoded feature to the grid of the stride-2 feature and merges both with a 3x3.

    Args:
        fine_channels: channels of the stride-2 feature; also the width of the result.
        decoded_channels: channels of the decoded feature.

    Shapes:
        fine (n, fine_channels, h, w), decoded (n, decoded_channels, any, any) -> (n, fine_channels, h, w)
    """

    def __init__(self, fine_channels: int, decoded_channels: int) -> None:
        super().__init__()
        self.out_channels = fine_channels
        # narrowed before it grows: four times fewer pixels to convolve
        self.reduce = ConvBnRelu(decoded_channels, fine_channels)
        self.merge = ConvBnRelu(2 * fine_channels, fine_channels, 3)

    def forward(self, fine: Tensor, decoded: Tensor) -> Tensor:
        """The feature at stride 2."""
        height, width = fine.shape[-2:]
        coarse = resize_bilinear(self.reduce(decoded), height, width)
        out: Tensor = self.merge(torch.cat((coarse, fine), dim=1))
        return out
