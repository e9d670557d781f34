"""PSPNet: the deep feature beside its means over parts of the tile, then classified."""

from __future__ import annotations

from inference.networks.backbone import Backbone
from inference.networks.fcn import Fcn
from inference.networks.options import PspNetOptions
from inference.networks.pyramid_pooling import PyramidPooling


class PspNet(Fcn):
    """Pyramid scene parsing network (Zhao et al. 2017, https://arxiv.org/abs/1612.01105).

    Deep feature -> pyramid pooling, each branch as wide as the feature shared out among the branches -> as
    `Fcn`: 3x3, batch normalisation, ReLU -> dropout -> 1x1 to classes -> resampled. No auxiliary head.

    The finest bins say something of their own from windows of output stride times the largest bin on (48 px
    at 8, 96 px at 16).

    Args:
        backbone: gives the deep feature; its number of bands is the network's.
        classes: number of classes, background included.
        options: the rest.

    Shapes:
        as `Fcn`.
    """

    def __init__(self, backbone: Backbone, classes: int, options: PspNetOptions) -> None:
        deep = backbone.deep_channels
        branch = max(deep // len(options.bins), 1)
        super().__init__(backbone, classes, options, PyramidPooling(deep, branch, bins=options.bins))
