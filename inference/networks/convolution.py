"""Convolution, batch normalisation, activation: the brick that most blocks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def initialise_convolution(convolution: nn.Conv2d, *, std: float | None = None) -> nn.Conv2d:
    """Draw weights with deviation `std` and set the bias to 0; returns the convolution.

    Without `std` it is that of He et al. 2015 (https://arxiv.org/abs/1502.01852) for ReLU.
    """
    if std is None:
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    else:
        nn.init.normal_(convolution.weight, std=std)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class ConvBnRelu(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU.

    The padding keeps height and width at stride 1: dilation * (kernel_size - 1) / 2 on each side.

    Shapes:
        (n, in_channels, h, w) -> (n, out_channels, ceil(h / stride), ceil(w / stride))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        super().__init__(
            initialise_convolution(convolution), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
        )


def resize_bilinear(features: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resampling of (n, c, h, w) to (n, c, height, width), pixels as areas.

    ``align_corners=False``: with corners aligned the sampling grid would depend on the size of the tile.
    """
    return F.interpolate(features, size=(height, width), mode="bilinear", align_corners=False)
