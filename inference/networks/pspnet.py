"""PSPNet: the deep feature beside its means over parts of the tile, then classified."""

from __future__ import annotations

from torch import Tensor, nn

from inference.networks.backbone import Backbone
from inference.networks.checks import check_tiles, require_count
from inference.networks.convolution import ConvBnRelu, initialise_convolution, resize_bilinear
from inference.networks.options import PspNetOptions
from inference.networks.pyramid_pooling import PyramidPooling


class PspNet(nn.Module):
    """Pyramid scene parsing network (Zhao et al. 2017, https://arxiv.org/abs/1612.01105).

    Deep feature -> pyramid pooling, each branch as wide as the feature shared out among the branches
    -> 3x3, batch normalisation, ReLU -> dropout -> 1x1 to classes -> resampled. No auxiliary head.

    Args:
        backbone: gives the deep feature; its number of bands is the network's.
        classes: number of classes, background included.
        options: the rest.

    Shapes:
        (n, bands, h, w), floating point, h and w any number of at least `minimum_px`
        -> logits (n, classes, h, w)

    Attributes:
        in_channels: bands it was built for.
        classes: channels of its logits.
        minimum_px: least height and width it takes: one pixel of the deep feature. The finest bins say
            something of their own from output stride times the largest bin on (48 px at 8, 96 px at 16).
        options: what it was built with.
    """

    def __init__(self, backbone: Backbone, classes: int, options: PspNetOptions) -> None:
        super().__init__()
        require_count("classes", classes)
        self.in_channels = backbone.in_channels
        self.classes = classes
        self.minimum_px = backbone.output_stride
        self.options = options

        deep = backbone.deep_channels
        width = options.head_channels or backbone.plain_head_channels
        self.backbone = backbone
        self.pyramid = PyramidPooling(deep, max(deep // len(options.bins), 1), bins=options.bins)
        self.merge = ConvBnRelu(self.pyramid.out_channels, width, 3)
        self.dropout = nn.Dropout(options.dropout)
        # logits of about 1, as in DeepLabV3+
        self.classifier = initialise_convolution(nn.Conv2d(width, classes, 1), std=width**-0.5)

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits of tiles; see the class for shapes.

        Raises:
            UsageError: another number of bands, too small, not floating point, one tile in training.
        """
        check_tiles(tiles, in_channels=self.in_channels, minimum_px=self.minimum_px, training=self.training)
        merged = self.merge(self.pyramid(self.backbone(tiles).deep))
        return resize_bilinear(self.classifier(self.dropout(merged)), tiles.shape[2], tiles.shape[3])
