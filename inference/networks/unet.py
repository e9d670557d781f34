"""U-Net: an encoder of its own, and a decoder that takes up each of its features again."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.checks import check_tiles, require_choice, require_count
from inference.networks.convolution import ConvBnRelu, initialise_convolution
from inference.networks.options import UNetOptions

GROWTH = (1, 2, 4, 8, 16)  # widths at strides 1, 2, 4, 8, 16, as multiples of the first
ENCODERS = {"plain": 64, "small": 16}
"""Encoders by name: channels at stride 1. The small one makes a network of two million parameters; the other
architectures have about one million on the small backbone."""


class DoubleConvolution(nn.Sequential):
    """Two 3x3, each with batch normalisation and ReLU; padded, where the paper loses two pixels a side.

    Shapes:
        (n, in_channels, h, w) -> (n, out_channels, h, w)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(ConvBnRelu(in_channels, out_channels, 3), ConvBnRelu(out_channels, out_channels, 3))


class UpStep(nn.Module):
    """One step of the decoder: 2x2 transposed convolution, the skip laid before it, two 3x3.

    Args:
        in_channels: channels of the coarse feature; the skip has half as many, and so has the result.

    Shapes:
        coarse (n, in_channels, ceil(h / 2), ceil(w / 2)), skip (n, in_channels / 2, h, w)
        -> (n, in_channels / 2, h, w)
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        out_channels = in_channels // 2
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        # each pixel is a sum over in_channels alone: with this the result is as large as the skip beside it
        nn.init.normal_(self.up.weight, std=in_channels**-0.5)
        if self.up.bias is not None:
            nn.init.zeros_(self.up.bias)
        self.merge = DoubleConvolution(in_channels, out_channels)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """The feature on the grid of the skip."""
        height, width = skip.shape[-2:]
        # coarse pixel i covers 2 i and 2 i + 1; at an odd edge the second of them is outside
        grown = self.up(coarse)[..., :height, :width]
        out: Tensor = self.merge(torch.cat((skip, grown), dim=1))
        return out


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597) with batch normalisation.

    Encoder: two 3x3 at each of the strides 1, 2, 4, 8, 16, maxima of 2x2 between them, dropout at the end.
    Decoder: four `UpStep`. Classifier: 1x1. The paper takes tiles of special sizes only and gives smaller
    maps; here the convolutions are padded and an odd edge makes a part of 2x1, so that every size goes
    through without resampling and the grid hangs on the upper left corner whatever the size.

    Args:
        in_channels: number of bands.
        classes: number of classes, background included.
        options: the rest.
        encoder: key of `ENCODERS`; says the width unless the options do.

    Shapes:
        (n, bands, h, w), floating point, h and w any number of at least `minimum_px`
        -> logits (n, classes, h, w)

    Attributes:
        in_channels: bands it was built for.
        classes: channels of its logits.
        minimum_px: least height and width it takes: one pixel at the encoder's end.
        options: what it was built with.
    """

    def __init__(self, in_channels: int, classes: int, options: UNetOptions, encoder: str = "plain") -> None:
        super().__init__()
        require_count("in_channels (number of bands)", in_channels)
        require_count("classes", classes)
        require_choice("encoder", encoder, ENCODERS)
        self.in_channels = in_channels
        self.classes = classes
        self.minimum_px = 2 ** (len(GROWTH) - 1)
        self.options = options

        widths = [(options.base_channels or ENCODERS[encoder]) * factor for factor in GROWTH]
        self.encoder = nn.ModuleList(DoubleConvolution(*pair) for pair in pairwise([in_channels, *widths]))
        self.dropout = nn.Dropout(options.dropout)
        self.decoder = nn.ModuleList(UpStep(width) for width in widths[:0:-1])
        # logits of about 1, as in DeepLabV3+
        self.classifier = initialise_convolution(nn.Conv2d(widths[0], classes, 1), std=widths[0] ** -0.5)

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits of tiles; see the class for shapes.

        Raises:
            UsageError: another number of bands, too small, not floating point, one tile in training.
        """
        check_tiles(tiles, in_channels=self.in_channels, minimum_px=self.minimum_px, training=self.training)
        skips: list[Tensor] = []
        out = tiles
        for stage in self.encoder:
            if skips:
                out = F.max_pool2d(out, 2, ceil_mode=True)
            out = stage(out)
            skips.append(out)
        out = self.dropout(out)
        for step, skip in zip(self.decoder, skips[-2::-1], strict=True):
            out = step(out, skip)
        logits: Tensor = self.classifier(out)
        return logits
