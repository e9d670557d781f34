"""A backbone with a small decoder that fills in what was hidden; the decoder is thrown away afterwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.backbone import Backbone
from inference.networks.convolution import ConvBnRelu, resize_bilinear
from inference.networks.registry import BACKBONES

DECODER_CHANNELS = 64
STRIDE = 4  # of the low-level feature that the decoder ends on


class MaskedAutoencoder(nn.Module):
    """Predicts hidden pixels of a window from its visible ones (after Xie et al. 2022, SimMIM).

    Hidden pixels go in as 0, as pixels without data do in every network here: 0 is the mean of a band. The
    answer at a hidden pixel therefore cannot depend on its value. The decoder is narrow, so that what is
    learned has to be learned by the backbone.

    Args:
        backbone: of any width.

    Shapes:
        pixels (n, bands, h, w), hidden (n, h, w) bool -> (n, bands, h, w), h and w multiples of 16

    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.deep = ConvBnRelu(backbone.deep_channels, DECODER_CHANNELS)
        self.low_level = ConvBnRelu(backbone.low_level_channels, DECODER_CHANNELS // 2)
        self.merge = ConvBnRelu(DECODER_CHANNELS + DECODER_CHANNELS // 2, DECODER_CHANNELS, 3)
        self.answer = nn.Conv2d(DECODER_CHANNELS, backbone.in_channels * STRIDE**2, 1)

    def forward(self, pixels: Tensor, hidden: Tensor) -> Tensor:
        """The window as the visible pixels let expect it."""
        visible = pixels.masked_fill(hidden[:, None], 0.0)
        low_level, deep, _ = self.backbone(visible.contiguous(memory_format=torch.channels_last))
        wide = resize_bilinear(self.deep(deep), *low_level.shape[2:])
        merged = self.merge(torch.cat((wide, self.low_level(low_level)), dim=1))
        answer: Tensor = F.pixel_shuffle(self.answer(merged), STRIDE)
        return answer


def new_autoencoder(backbone: str, bands: int) -> MaskedAutoencoder:
    """An autoencoder with fresh weights.

    Args:
        backbone: key of `BACKBONES`.
        bands: number of them.

    """
    return MaskedAutoencoder(BACKBONES[backbone](bands, 16))


def hidden_loss(answer: Tensor, pixels: Tensor, counted: Tensor) -> Tensor:
    """Mean Huber loss over pixels that were hidden and hold data, in standard deviations of a band.

    Squared up to one standard deviation and linear beyond, so that a glint does not outweigh the rest.

    Args:
        answer: (n, bands, h, w).
        pixels: (n, bands, h, w), what was to be said.
        counted: (n, h, w) bool; other pixels play no part.

    Returns:
        A number; 0 where nothing counts.

    """
    # both are blanked, not weighed by 0: what is no number there would come back in the gradient
    apart = ~counted[:, None]
    each = F.smooth_l1_loss(
        answer.float().masked_fill(apart, 0.0), pixels.masked_fill(apart, 0.0), reduction="none"
    )
    return each.mean(dim=1).sum() / counted.sum().clamp(min=1)
