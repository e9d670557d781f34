"""Xception with 65 layers as DeepLab changed it, with dilation in place of its last strides.

Chollet 2017, https://arxiv.org/abs/1610.02357; Chen et al. 2018, https://arxiv.org/abs/1802.02611: depthwise
convolutions with stride in place of the maxima, and batch normalisation behind every depthwise convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.backbone import Backbone, Features, dilate_strides
from inference.networks.convolution import ConvBnRelu, initialise_convolution
from inference.networks.depthwise import depthwise_convolution

MIDDLE_MODULES = 16
ENTRY_WIDTHS = (128, 256, 728)
MIDDLE_WIDTHS = (728, 728, 728)
EXIT_WIDTHS = (728, 1024, 1024)
END_WIDTHS = (1536, 1536, 2048)


class SeparableConvolution(nn.Module):
    """Depthwise 3x3, then 1x1, each with batch normalisation.

    Args:
        rectified_first: whether the ReLU comes before the whole; else one stands behind either half.

    Shapes:
        (n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, dilation: int, rectified_first: bool
    ) -> None:
        super().__init__()
        self.rectified_first = rectified_first
        self.depthwise = depthwise_convolution(in_channels, stride=stride, dilation=dilation)
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = initialise_convolution(nn.Conv2d(in_channels, out_channels, 1, bias=False))
        self.pointwise_norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """The feature, rectified only where the ReLU stands behind."""
        # not in place: the module's shortcut needs its input as it is
        out = self.depthwise_norm(self.depthwise(F.relu(x) if self.rectified_first else x))
        if not self.rectified_first:
            out = F.relu(out, inplace=True)
        out = self.pointwise_norm(self.pointwise(out))
        return out if self.rectified_first else F.relu(out, inplace=True)


class XceptionModule(nn.Module):
    """Three separable convolutions, the stride in the last, added to a shortcut.

    The shortcut is the input where the shapes allow, else its 1x1 with batch normalisation. Nothing follows
    the sum: the next module rectifies it.

    Shapes:
        (n, in_channels, h, w) -> inner (n, widths[1], h, w),
        (n, widths[2], ceil(h / stride), ceil(w / stride))
    """

    def __init__(self, in_channels: int, widths: Sequence[int], *, stride: int, dilation: int) -> None:
        super().__init__()
        first, second, third = widths

        def convolution(before: int, after: int, step: int) -> SeparableConvolution:
            return SeparableConvolution(before, after, stride=step, dilation=dilation, rectified_first=True)

        self.inner = nn.Sequential(convolution(in_channels, first, 1), convolution(first, second, 1))
        self.last = convolution(second, third, stride)
        self.shortcut: nn.Module | None = None
        if in_channels != third:
            self.shortcut = nn.Sequential(
                initialise_convolution(nn.Conv2d(in_channels, third, 1, stride=stride, bias=False)),
                nn.BatchNorm2d(third),
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the second convolution gives, before the stride, and the module's output."""
        inner = self.inner(x)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return inner, self.last(inner) + shortcut


class Xception(Backbone):
    """Xception-65 without its classifier.

    Strides beyond the output stride become dilations of what follows, as in `ResNet`. The low-level feature
    is taken inside the second module of the entry flow, the last place at stride 4, and is not rectified.

    Args:
        in_channels: number of bands.
        output_stride: stride of the deep feature.
        middle_modules: modules of the middle flow; 8 make Xception-41.
    """

    low_level_channels = ENTRY_WIDTHS[1]
    deep_channels = END_WIDTHS[-1]

    def __init__(
        self, in_channels: int, output_stride: int = 16, *, middle_modules: int = MIDDLE_MODULES
    ) -> None:
        super().__init__(in_channels, output_stride)
        flow = [
            *(((width, width, width), 2) for width in ENTRY_WIDTHS),
            *((MIDDLE_WIDTHS, 1) for _ in range(middle_modules)),
            (EXIT_WIDTHS, 2),
        ]
        # first the stem, last the end of the exit flow
        _, *steps, (_, dilation) = dilate_strides([2, *(stride for _, stride in flow), 1], output_stride)
        self.stem = nn.Sequential(ConvBnRelu(in_channels, 32, 3, stride=2), ConvBnRelu(32, 64, 3))
        before = 64
        modules: list[XceptionModule] = []
        for (widths, _), (stride, rate) in zip(flow, steps, strict=True):
            modules.append(XceptionModule(before, widths, stride=stride, dilation=rate))
            before = widths[-1]
        self.flow = nn.ModuleList(modules)
        self.end = nn.Sequential(
            *(
                SeparableConvolution(narrow, wide, stride=1, dilation=dilation, rectified_first=False)
                for narrow, wide in zip((before, *END_WIDTHS[:-1]), END_WIDTHS, strict=True)
            )
        )

    def forward(self, tiles: Tensor) -> Features:
        """Features of tiles (n, in_channels, h, w): 256 channels at stride 4, 2048 at the output stride."""
        first, second, *others = self.flow
        _, out = first(self.stem(tiles))
        low_level, out = second(out)
        for module in others:
            _, out = module(out)
        return Features(low_level, self.end(out))
