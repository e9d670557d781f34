"""Depthwise convolution: every channel filtered on its own."""

from __future__ import annotations

from torch import nn

from inference.networks.convolution import initialise_convolution

KERNEL_PX = 3


def depthwise_convolution(channels: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A 3x3 depthwise convolution without bias, padded so that height and width stay at stride 1.

    The deviation of the weights is that of He et al. 2015 (https://arxiv.org/abs/1502.01852) for what a
    channel sees, its own nine taps; torch counts the taps of all channels and would draw far too small.

    Shapes:
        (n, channels, h, w) -> (n, channels, ceil(h / stride), ceil(w / stride))
    """
    convolution = nn.Conv2d(
        channels,
        channels,
        KERNEL_PX,
        stride=stride,
        padding=dilation,
        dilation=dilation,
        groups=channels,
        bias=False,
    )
    return initialise_convolution(convolution, std=(2 / KERNEL_PX**2) ** 0.5)
