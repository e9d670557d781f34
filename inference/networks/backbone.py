"""The contract between a backbone and the head that stands on it.

A new backbone is one file with a subclass of `Backbone`, and one line in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from inference.networks.checks import require_choice, require_count

OUTPUT_STRIDES = (8, 16)


class Features(NamedTuple):
    """What a backbone gives.

    Attributes:
        low_level: (n, low_level_channels, ceil(h / 4), ceil(w / 4)).
        deep: (n, deep_channels, ceil(h / output_stride), ceil(w / output_stride)).
        fine: (n, fine_channels, ceil(h / 2), ceil(w / 2)), or None from a backbone that keeps none.
    """

    low_level: Tensor
    deep: Tensor
    fine: Tensor | None = None


@dataclass(frozen=True)
class HeadWidths:
    """The head that suits a backbone, in channels; the defaults are those of the DeepLabV3+ paper.

    Attributes:
        aspp_channels: width of each ASPP branch and of its result.
        low_level_channels: width that the low-level feature is reduced to.
        decoder_channels: width of the two 3x3 convolutions of the decoder.
        atrous_rates: dilations of the ASPP branches, in pixels of the deep feature at output stride 16.
    """

    aspp_channels: int = 256
    low_level_channels: int = 48
    decoder_channels: int = 256
    atrous_rates: tuple[int, ...] = (6, 12, 18)


class Backbone(nn.Module):
    """Base of the encoders: any number of input bands, features at strides 4 and `output_stride`.

    Attributes:
        low_level_channels: channels at stride 4.
        deep_channels: channels at the output stride.
        fine_channels: channels at stride 2, 0 where that feature is not given.
        head: the head's widths that go with it unless others are asked for.
    """

    low_level_channels: int
    deep_channels: int
    fine_channels: int = 0
    head: HeadWidths = HeadWidths()

    def __init__(self, in_channels: int, output_stride: int) -> None:
        super().__init__()
        require_count("in_channels (number of bands)", in_channels)
        require_choice("output_stride", output_stride, OUTPUT_STRIDES)
        self.in_channels = in_channels
        self.output_stride = output_stride

    @property
    def plain_head_channels(self) -> int:
        """Width of a head that is one 3x3 on the deep feature, as in FCN and PSPNet.

        A quarter of the deep feature, as is usual; on a narrow one not less than DeepLabV3+ gets, so that
        no network of a comparison is short of channels.
        """
        return max(self.deep_channels // 4, self.head.aspp_channels)

    def forward(self, tiles: Tensor) -> Features:
        """Features of tiles (n, in_channels, h, w)."""
        raise NotImplementedError  # each backbone has its own; torch's Module cannot be abstract


def dilate_strides(strides: Sequence[int], output_stride: int) -> list[tuple[int, int]]:
    """Stride and dilation of each layer of a chain, so that its strides multiply to `output_stride` at most.

    A layer whose stride would pass the output stride gets 1; every layer behind it is dilated by what was
    lost. It keeps the dilation from before itself: it still sees the grid that it saw with its stride, so
    that the result is the strided chain's at every second pixel.

    Args:
        strides: of the layers, in order, each 1 or 2.
        output_stride: a power of 2.

    Returns:
        (stride, dilation) of each layer.
    """
    reached = dilation = 1
    steps: list[tuple[int, int]] = []
    for stride in strides:
        if reached * stride <= output_stride:
            steps.append((stride, dilation))
            reached *= stride
        else:
            steps.append((1, dilation))
            dilation *= stride
    return steps
