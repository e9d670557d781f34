"""Contextual Transformer block: attention whose weights come from a static context of the neighbourhood.

Li et al. 2021, https://arxiv.org/abs/2107.12292.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.networks.checks import require_count
from inference.networks.convolution import ConvBnRelu, initialise_convolution

KERNEL_PX = 3
TAPS = KERNEL_PX * KERNEL_PX
KEY_GROUPS = 4
SHARED_BY = 8  # value channels that share one weight map


def aggregate_locally(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over the 3x3 neighbourhood with weights of its own at every pixel, zero padded.

    out[n, c, y, x] = sum over dy, dx in (-1, 0, 1) of
        weights[n, c mod G, 3 (dy + 1) + (dx + 1), y, x] * values[n, c, y + dy, x + dx]

    Args:
        values: (n, C, h, w).
        weights: (n, G, 9, h, w), G a divisor of C.

    Returns:
        (n, C, h, w).
    """
    height, width = values.shape[-2:]
    groups = weights.shape[1]
    # channel c is at [c // G, c mod G]
    padded = torch.unflatten(F.pad(values, (1, 1, 1, 1)), 1, (-1, groups))

    def term(tap: int) -> Tensor:
        row, column = divmod(tap, KERNEL_PX)
        return weights[:, None, :, tap] * padded[..., row : row + height, column : column + width]

    total = term(0)
    for tap in range(1, TAPS):
        total = total + term(tap)
    return total.flatten(1, 2)


class CotBlock(nn.Module):
    """The block in full.

    K1 = ReLU(BN(conv 3x3 of 4 groups (x)))                                        static context
    A  = GroupNorm(conv 1x1 to 9 C/8 (ReLU(BN(conv 1x1 to C/2 (cat(x, K1))))))     no softmax over the taps
    V  = BN(conv 1x1 (x))
    K2 = SiLU(BN(local aggregation of V with A)), channel c under map c mod C/8    dynamic context
    a  = softmax over the two of conv 1x1 to 2 C (ReLU(BN(conv 1x1 (global mean of K1 + K2))))
    out = a0 K2 + a1 K1

    It starts near the identity: the 3x3 and the value convolution hand each channel on, the local
    aggregation weighs the centre tap with 1, and both contexts count alike. The GroupNorm and the fusion use
    statistics of the whole tile: train and infer at one tile size.

    Args:
        channels: C, a multiple of 8.

    Shapes:
        (n, C, h, w) -> (n, C, h, w)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        _require_channels(channels, SHARED_BY)
        maps = channels // SHARED_BY
        hidden = max(channels // 2, 32)
        norm = nn.GroupNorm(maps, TAPS * maps)
        with torch.no_grad():
            norm.weight.fill_(0.1)
            norm.bias[TAPS // 2 :: TAPS] = 1.0
        self.key = _near_identity_key(channels)
        self.attention = nn.Sequential(
            ConvBnRelu(2 * channels, channels // 2),
            initialise_convolution(nn.Conv2d(channels // 2, TAPS * maps, 1)),
            norm,
        )
        self.value = _near_identity_value(channels)
        self.value_norm = nn.BatchNorm2d(channels)
        self.fusion = nn.Sequential(
            initialise_convolution(nn.Conv2d(channels, hidden, 1)),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            initialise_convolution(nn.Conv2d(hidden, 2 * channels, 1), std=0.01),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Static and dynamic context, fused."""
        static = self.key(x)
        attention = torch.unflatten(self.attention(torch.cat((x, static), dim=1)), 1, (-1, TAPS))
        dynamic = F.silu(self.value_norm(aggregate_locally(self.value(x), attention)))
        mean = (static + dynamic).mean(dim=(2, 3), keepdim=True)
        # the two shares of a channel lie beside each other
        share = torch.softmax(torch.unflatten(self.fusion(mean), 1, (-1, 2)), dim=2)
        out: Tensor = share[:, :, 0] * dynamic + share[:, :, 1] * static
        return out


class SimpleCotBlock(nn.Module):
    """The block in the simplified form that circulates.

    K1 and V as in `CotBlock`;
    A   = mean over nine taps of conv 1x1 to 9 C (ReLU(BN(conv 1x1 to C/2 (cat(K1, x)))))
    out = K1 + softmax over all h * w of A * V

    Its dynamic term shrinks with 1 / (h * w), so that on maps of real size it begins as a plain convolution.

    Args:
        channels: C, a multiple of 4.

    Shapes:
        (n, C, h, w) -> (n, C, h, w)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        _require_channels(channels, KEY_GROUPS)
        self.key = _near_identity_key(channels)
        self.squeeze = ConvBnRelu(2 * channels, channels // 2)
        self.taps = initialise_convolution(nn.Conv2d(channels // 2, TAPS * channels, 1))
        self.value = _near_identity_value(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Static context plus the dynamic term."""
        static = self.key(x)
        squeezed = self.squeeze(torch.cat((static, x), dim=1))
        # the mean over taps commutes with the 1x1 convolution, which spares computing nine times the maps
        weight = torch.unflatten(self.taps.weight, 0, (-1, TAPS)).mean(dim=1)
        bias = None if self.taps.bias is None else torch.unflatten(self.taps.bias, 0, (-1, TAPS)).mean(dim=1)
        attention = F.conv2d(squeezed, weight, bias)
        share = torch.softmax(attention.flatten(2), dim=2).view_as(attention)
        out: Tensor = static + share * self.value(x)
        return out


def _require_channels(channels: int, divisor: int) -> None:
    require_count("channels of the CoT block", channels)
    if channels % divisor:
        raise UsageError(f"the CoT block got {channels} channels: needed is a multiple of {divisor}")


def _near_identity_key(channels: int) -> ConvBnRelu:
    key = ConvBnRelu(channels, channels, KERNEL_PX, groups=KEY_GROUPS)
    _add_identity(key[0], KEY_GROUPS)
    return key


def _near_identity_value(channels: int) -> nn.Sequential:
    convolution = initialise_convolution(nn.Conv2d(channels, channels, 1, bias=False))
    _add_identity(convolution, 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def _add_identity(convolution: nn.Module, groups: int) -> None:
    """Turn drawn weights into the identity plus a little of them, so that no two channels stay alike."""
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"not a convolution: {type(convolution).__name__}")
    drawn = convolution.weight.detach().clone()
    nn.init.dirac_(convolution.weight, groups)
    with torch.no_grad():
        convolution.weight.add_(drawn, alpha=0.1)
