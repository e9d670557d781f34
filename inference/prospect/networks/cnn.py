"""A small convolutional network on patches, the rival of the graph networks."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.checks import require_choice, require_count
from inference.prospect.networks.head import as_two_logits, check_patches

FIRST, LAST = 40, 64


@dataclass(frozen=True)
class CnnOptions:
    """Options of `PatchCnn`; plain values, so that they can be stored with the weights.

    Attributes:
        hidden: channels of the widest layer.
        outputs: 2 logits, or 1 whose softmax with 0 is the same as a sigmoid.

    """

    hidden: int = 256
    outputs: int = 2

    def __post_init__(self) -> None:
        """Refuse values that do not exist."""
        require_count("hidden", self.hidden)
        require_choice("outputs", self.outputs, (1, 2))


class PatchCnn(nn.Module):
    """3x3 to 40, 3x3 to 64, halved by the maximum, 1x1 to ``hidden``, 1x1 to 64, mean over the patch, linear.

    Each convolution has batch normalisation and a ReLU behind it and no bias. With 39 channels and a width of
    256 it has 70,826 parameters, as many as the residual graph network (70,274) to within one per cent.

    Shapes:
        (n, patch_px**2, in_channels), nodes in rows from the top -> logits (n, 2)
    """

    def __init__(self, in_channels: int, patch_px: int, options: CnnOptions) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.patch_px = patch_px
        self.options = options
        self.local = nn.Sequential(*_layer(in_channels, FIRST, 3), *_layer(FIRST, LAST, 3))
        self.mixing = nn.Sequential(*_layer(LAST, options.hidden, 1), *_layer(options.hidden, LAST, 1))
        self.head = nn.Linear(LAST, options.outputs)

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (n, 2).

        Raises:
            UsageError: patches of another shape or type.

        """
        check_patches(patches, self.patch_px, self.in_channels)
        # a view: cells in rows with their channels beside each other are "channels last" already
        squares = patches.reshape(-1, self.patch_px, self.patch_px, self.in_channels).permute(0, 3, 1, 2)
        halved = F.max_pool2d(self.local(squares), 2)
        return as_two_logits(self.head(self.mixing(halved).mean((2, 3))))


def _layer(in_channels: int, out_channels: int, edge: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, edge, padding=edge // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return [convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
