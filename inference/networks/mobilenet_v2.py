"""MobileNetV2 with dilation in place of its last strides (Sandler et al. 2018; Chen et al. 2018).

Parameters carry the names that MobileNetV2 weights have everywhere (``features.1.conv.0.0``, ...), so that
weights pretrained elsewhere load into ``network.backbone`` without renaming.
"""

from __future__ import annotations

from torch import Tensor, nn

from inference.networks.backbone import Backbone, Features, dilate_strides
from inference.networks.convolution import initialise_convolution
from inference.networks.depthwise import depthwise_convolution

STEM_CHANNELS = 32
# expansion, channels, blocks, stride of the first block: table 2 of the paper
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
LOW_LEVEL_LAYERS = 4  # the stem and the blocks up to the last at stride 4


class InvertedResidual(nn.Module):
    """1x1 up, depthwise 3x3, 1x1 down without activation, added to the input where both are alike.

    Sandler et al. 2018, https://arxiv.org/abs/1801.04381. The activation is min(max(x, 0), 6).

    Shapes:
        (n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, expansion: int, stride: int, dilation: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(_activated(_pointwise(in_channels, hidden)))
        layers.append(_activated(depthwise_convolution(hidden, stride=stride, dilation=dilation)))
        layers += [_pointwise(hidden, out_channels), nn.BatchNorm2d(out_channels)]
        self.conv = nn.Sequential(*layers)
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, which has no activation."""
        out: Tensor = self.conv(x)
        return x + out if self.adds_input else out


class MobileNetV2(Backbone):
    """MobileNetV2 without its last 1x1 to 1280 channels and its classifier: 1.8 million parameters.

    Where a stride of 2 would pass the output stride it becomes 1 and all later depthwise convolutions are
    dilated instead, as in `ResNet`. The features are those of the blocks' ends, which have no activation.
    """

    low_level_channels = 24
    deep_channels = 320

    def __init__(self, in_channels: int, output_stride: int = 16) -> None:
        super().__init__(in_channels, output_stride)
        blocks = [
            (expansion, channels, stride if index == 0 else 1)
            for expansion, channels, count, stride in STAGES
            for index in range(count)
        ]
        _, *steps = dilate_strides([2, *(stride for _, _, stride in blocks)], output_stride)
        stem = nn.Conv2d(in_channels, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        layers: list[nn.Module] = [_activated(initialise_convolution(stem))]
        before = STEM_CHANNELS
        for (expansion, channels, _), (stride, dilation) in zip(blocks, steps, strict=True):
            layers.append(
                InvertedResidual(before, channels, expansion=expansion, stride=stride, dilation=dilation)
            )
            before = channels
        self.features = nn.Sequential(*layers)

    def forward(self, tiles: Tensor) -> Features:
        """Features of tiles (n, in_channels, h, w): 24 channels at stride 4, 320 at the output stride."""
        low_level = self.features[:LOW_LEVEL_LAYERS](tiles)
        return Features(low_level, self.features[LOW_LEVEL_LAYERS:](low_level))


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return initialise_convolution(nn.Conv2d(in_channels, out_channels, 1, bias=False))


def _activated(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True))
