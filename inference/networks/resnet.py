"""ResNet with dilation in place of its last strides (He et al. 2016; Chen et al. 2018).

Parameters carry the names that ResNet weights have everywhere (``conv1``, ``layer1.0.conv1``, ...), so
that weights pretrained elsewhere load into ``network.backbone`` without renaming.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.backbone import Backbone, Features
from inference.networks.convolution import initialise_convolution

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up, added to the input, with the stride in the 3x3 (https://arxiv.org/abs/1512.03385).

    Shapes:
        (n, in_channels, h, w) -> (n, 4 * width, ceil(h / stride), ceil(w / stride))
    """

    def __init__(self, in_channels: int, width: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = EXPANSION * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            width, width, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, after the final ReLU."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        return F.relu(out + shortcut, inplace=True)


class ResNet(Backbone):
    """ResNet of bottlenecks without its classifier; `blocks` (3, 4, 6, 3) makes ResNet-50.

    Where a stride of 2 would pass the output stride it becomes 1, and every later 3x3 is dilated by 2
    instead. The 3x3 that lost its stride keeps the dilation from before: it still sees the grid it saw with
    the stride, so the result at every second pixel is exactly the strided network's.
    """

    low_level_channels = 256
    deep_channels = 2048

    def __init__(
        self, in_channels: int, output_stride: int = 16, *, blocks: tuple[int, int, int, int]
    ) -> None:
        super().__init__(in_channels, output_stride)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(64, 64, blocks[0], stride=1, dilations=(1, 1))
        self.layer2 = _layer(256, 128, blocks[1], stride=2, dilations=(1, 1))
        if output_stride == 16:
            self.layer3 = _layer(512, 256, blocks[2], stride=2, dilations=(1, 1))
            self.layer4 = _layer(1024, 512, blocks[3], stride=1, dilations=(1, 2))
        else:
            self.layer3 = _layer(512, 256, blocks[2], stride=1, dilations=(1, 2))
            self.layer4 = _layer(1024, 512, blocks[3], stride=1, dilations=(2, 4))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                initialise_convolution(module)

    def forward(self, tiles: Tensor) -> Features:
        """Features of tiles (n, in_channels, h, w): 256 channels at stride 4, 2048 at the output stride."""
        out = self.maxpool(F.relu(self.bn1(self.conv1(tiles)), inplace=True))
        low_level = self.layer1(out)
        deep = self.layer4(self.layer3(self.layer2(low_level)))
        return Features(low_level, deep)


def _layer(
    in_channels: int, width: int, count: int, *, stride: int, dilations: tuple[int, int]
) -> nn.Sequential:
    """`count` bottlenecks; `dilations` are the first one's and that of all others."""
    first = Bottleneck(in_channels, width, stride=stride, dilation=dilations[0])
    others = [Bottleneck(EXPANSION * width, width, stride=1, dilation=dilations[1]) for _ in range(count - 1)]
    return nn.Sequential(first, *others)


def resnet50(in_channels: int, output_stride: int = 16) -> ResNet:
    """ResNet-50, 23.5 million parameters at three bands."""
    return ResNet(in_channels, output_stride, blocks=(3, 4, 6, 3))


def resnet101(in_channels: int, output_stride: int = 16) -> ResNet:
    """ResNet-101, 42.5 million parameters at three bands."""
    return ResNet(in_channels, output_stride, blocks=(3, 4, 23, 3))
