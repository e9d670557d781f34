"""Autoencoders: what a narrow middle cannot carry is unusual. Nothing is hidden from them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.evidence.networks.layout import SourceLayout
from inference.networks.checks import require_count

_DENSE_SHARE = 4
_CONVOLVED_SHARE = 2


class DenseAutoencoder(nn.Module):
    """A perceptron with a narrow middle on each cell's geochemistry and geophysics; cells do not meet.

    Args:
        layout: of the channels; geology and spectra are not read.
        width: of its outer layers.
        bottleneck: of the middle; None: a quarter of the hidden channels, at least 2.

    Shapes:
        as `inference.evidence.networks.vit.MaskedViT`; ``is_hidden`` is not read.
    """

    hides = False
    is_local = True

    def __init__(self, layout: SourceLayout, width: int, bottleneck: int | None = None) -> None:
        super().__init__()
        self.layout = layout
        channels, sources = sum(layout.hidden_sizes), len(layout.hidden_sizes)
        middle = max(2, channels // _DENSE_SHARE) if bottleneck is None else bottleneck
        require_count("width", width, at_least=2)
        require_count("bottleneck", middle)
        self.encoder = _perceptron(channels + sources, width, width // 2, middle)
        self.decoder = _perceptron(middle, width // 2, width, channels)

    def forward(self, values: Tensor, known: Tensor, _is_hidden: Tensor | None = None) -> Tensor:
        """The hidden channels as the middle can carry them."""
        sizes = self.layout.hidden_sizes
        cells = torch.cat((values[:, : sum(sizes)], known[:, : len(sizes)]), 1)
        result: Tensor = self.decoder(self.encoder(cells))
        return result


class ConvAutoencoder(nn.Module):
    """Windows of all sources, halved twice, through few channels, and doubled twice.

    Args:
        layout: of the channels.
        stem: channels of the outer convolutions; the inner ones have twice as many.
        bottleneck: channels of the middle, each cell of which stands for 4 x 4; None: twice the hidden ones,
            so that the middle holds an eighth of the numbers.

    Shapes:
        as `inference.evidence.networks.vit.MaskedViT`; ``is_hidden`` is not read.
    """

    hides = False
    is_local = False

    def __init__(self, layout: SourceLayout, stem: int, bottleneck: int | None = None) -> None:
        super().__init__()
        self.layout = layout
        channels = sum(layout.hidden_sizes)
        middle = _CONVOLVED_SHARE * channels if bottleneck is None else bottleneck
        require_count("stem", stem)
        require_count("bottleneck", middle)
        self.first = _convolution(sum(layout.sizes) + len(layout.sizes), stem)
        self.halved = _convolution(stem, 2 * stem, stride=2)
        self.quartered = _convolution(2 * stem, middle, stride=2)
        self.doubled = _convolution(middle, 2 * stem)
        self.whole = _convolution(2 * stem, stem)
        self.last = _convolution(stem, channels)

    def forward(self, values: Tensor, known: Tensor, _is_hidden: Tensor | None = None) -> Tensor:
        """The hidden channels as the middle can carry them."""
        outer = F.gelu(self.first(torch.cat((values, known), 1)))
        inner = F.gelu(self.halved(outer))
        middle = self.quartered(inner)
        inner = F.gelu(self.doubled(_enlarged(middle, inner)))
        result: Tensor = self.last(F.gelu(self.whole(_enlarged(inner, outer))))
        return result


def _convolution(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that goes on beyond a window's edge as it ends there.

    With zeros there, windows would end in a seam: a constant ground would not come back constant.
    """
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, padding_mode="replicate")


def _enlarged(small: Tensor, like: Tensor) -> Tensor:
    """Enlarged to the height and width of another, which need not be twice its own exactly."""
    return F.interpolate(small, like.shape[2:], mode="nearest")


def _perceptron(*widths: int) -> nn.Sequential:
    """Layers on the channels of each cell alone, with a GELU between every two."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 1), nn.GELU()]
    return nn.Sequential(*layers[:-1])
