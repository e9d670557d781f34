"""A backbone that trains in minutes on two CPU cores."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.backbone import Backbone, Features, HeadWidths
from inference.networks.convolution import ConvBnRelu, initialise_convolution

WIDTHS = (24, 40, 80, 128)  # channels at strides 2, 4, 8, 16


class BasicBlock(nn.Module):
    """Two 3x3 added to the input (He et al. 2016).

    Plain convolutions, because on a CPU a depthwise one takes longer than its arithmetic promises.

    Shapes:
        (n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = ConvBnRelu(in_channels, out_channels, 3, stride=stride, dilation=dilation)
        self.second = nn.Sequential(
            initialise_convolution(
                nn.Conv2d(out_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
            ),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                initialise_convolution(nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, after the final ReLU."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.second(self.first(x)) + shortcut, inplace=True)


class SmallBackbone(Backbone):
    """A light residual network with strides 2, 4, 8 and 16.

    The stride-2 feature is given too: structures two to four pixels wide are gone at stride 4. The atrous
    rates that go with it suit tiles of 128 px, whose deep feature is 8 x 8: at a rate of 12 or 18 all taps
    but the centre would lie in the padding.
    """

    low_level_channels = WIDTHS[1]
    deep_channels = WIDTHS[3]
    fine_channels = WIDTHS[0]
    head = HeadWidths(aspp_channels=64, low_level_channels=24, decoder_channels=64, atrous_rates=(2, 4, 6))

    def __init__(self, in_channels: int, output_stride: int = 16) -> None:
        super().__init__(in_channels, output_stride)
        fine, low_level, middle, deep = WIDTHS
        last_stride, dilation = (2, 1) if output_stride == 16 else (1, 2)
        # the second 3x3 is what makes the stride-2 feature worth keeping
        self.stem = nn.Sequential(ConvBnRelu(in_channels, fine, 3, stride=2), ConvBnRelu(fine, fine, 3))
        self.stage4 = BasicBlock(fine, low_level, stride=2)
        self.stage8 = nn.Sequential(BasicBlock(low_level, middle, stride=2), BasicBlock(middle, middle))
        self.stage16 = nn.Sequential(
            BasicBlock(middle, deep, stride=last_stride, dilation=1),
            BasicBlock(deep, deep, dilation=dilation),
        )

    def forward(self, tiles: Tensor) -> Features:
        """Features of tiles (n, in_channels, h, w) at strides 2, 4 and the output stride."""
        fine = self.stem(tiles)
        low_level = self.stage4(fine)
        deep = self.stage16(self.stage8(low_level))
        return Features(low_level, deep, fine)
