"""FCN: the deep feature classified pixel by pixel and brought to the tile's size at once."""

from __future__ import annotations

from torch import Tensor, nn

from inference.networks.backbone import Backbone
from inference.networks.checks import check_tiles, require_count
from inference.networks.convolution import ConvBnRelu, initialise_convolution, resize_bilinear
from inference.networks.options import FcnOptions
from inference.networks.pyramid_pooling import PyramidPooling


class Fcn(nn.Module):
    """Fully convolutional network (Long et al. 2015, https://arxiv.org/abs/1411.4038) on a dilated backbone.

    Deep feature -> 3x3, batch normalisation, ReLU -> dropout -> 1x1 to classes -> resampled. The dilation
    stands in for the skips of the paper, which brought a stride of 32 back to 8; there is no auxiliary head.

    Args:
        backbone: gives the deep feature; its number of bands is the network's.
        classes: number of classes, background included.
        options: the rest.
        context: what the deep feature goes through before the 3x3; None: nothing.

    Shapes:
        (n, bands, h, w), floating point, h and w any number of at least `minimum_px`
        -> logits (n, classes, h, w)

    Attributes:
        in_channels: bands it was built for.
        classes: channels of its logits.
        minimum_px: least height and width it takes: one pixel of the deep feature.
        options: what it was built with.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int,
        options: FcnOptions,
        context: PyramidPooling | None = None,
    ) -> None:
        super().__init__()
        require_count("classes", classes)
        self.in_channels = backbone.in_channels
        self.classes = classes
        self.minimum_px = backbone.output_stride
        self.options = options

        width = options.head_channels or backbone.plain_head_channels
        self.backbone = backbone
        self.context = nn.Identity() if context is None else context
        deep_channels = backbone.deep_channels if context is None else context.out_channels
        self.head = ConvBnRelu(deep_channels, width, 3)
        self.dropout = nn.Dropout(options.dropout)
        # logits of about 1, as in DeepLabV3+
        self.classifier = initialise_convolution(nn.Conv2d(width, classes, 1), std=width**-0.5)

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits of tiles; see the class for shapes.

        Raises:
            UsageError: another number of bands, too small, not floating point, one tile in training.
        """
        check_tiles(tiles, in_channels=self.in_channels, minimum_px=self.minimum_px, training=self.training)
        logits = self.classifier(self.dropout(self.head(self.context(self.backbone(tiles).deep))))
        return resize_bilinear(logits, tiles.shape[2], tiles.shape[3])
