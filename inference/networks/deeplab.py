"""DeepLabV3+ with a CoT block and a SaE block, each of which can be off.

With both it is SENetV2-COT-DeepLabV3+; with one or none it gives the other rows of the ablation.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from db.errors import UsageError
from inference.networks.aspp import Aspp
from inference.networks.backbone import Backbone, HeadWidths
from inference.networks.checks import check_tiles, require_count
from inference.networks.convolution import ConvBnRelu, initialise_convolution, resize_bilinear
from inference.networks.cot import CotBlock, SimpleCotBlock
from inference.networks.decoder import Decoder
from inference.networks.options import DeepLabOptions
from inference.networks.refine import Refine
from inference.networks.sae import SqueezeAggregatedExcitation


class DeepLabV3Plus(nn.Module):
    """Encoder, ASPP, decoder, classifier (Chen et al. 2018, https://arxiv.org/abs/1802.02611).

    Args:
        backbone: gives the features; its number of bands is the network's.
        classes: number of classes, background included.
        options: the rest.

    Shapes:
        (n, bands, h, w), floating point, h and w any number of at least `minimum_px`
        -> logits (n, classes, h, w)

    Attributes:
        in_channels: bands it was built for.
        classes: channels of its logits.
        minimum_px: least height and width it takes: one pixel of the deep feature.
        options: what it was built with.
    """

    def __init__(self, backbone: Backbone, classes: int, options: DeepLabOptions) -> None:
        super().__init__()
        require_count("classes", classes)
        head = _widths(backbone.head, options)
        self.in_channels = backbone.in_channels
        self.classes = classes
        self.minimum_px = backbone.output_stride
        self.options = options

        cot = CotBlock if options.cot_mode == "full" else SimpleCotBlock
        branch = None
        if options.cot_position == "aspp_branch":
            branch = nn.Sequential(
                ConvBnRelu(backbone.deep_channels, head.aspp_channels), cot(head.aspp_channels)
            )
        dilate = 16 // backbone.output_stride

        self.backbone = backbone
        self.cot_on_deep = cot(backbone.deep_channels) if options.cot_position == "backbone_out" else None
        self.aspp = Aspp(
            backbone.deep_channels,
            head.aspp_channels,
            rates=[rate * dilate for rate in head.atrous_rates],
            dropout=options.dropout,
            extra_branch=branch,
        )
        self.cot_on_aspp = cot(head.aspp_channels) if options.cot_position == "aspp_out" else None
        self.sae_on_aspp = _sae(head.aspp_channels, options) if options.sae_position == "aspp_out" else None
        self.sae_on_low_level = (
            _sae(backbone.low_level_channels, options) if options.sae_position == "low_level" else None
        )
        self.decoder = Decoder(
            backbone.low_level_channels,
            head.aspp_channels,
            reduced_channels=head.low_level_channels,
            out_channels=head.decoder_channels,
            concat_block=(
                _sae(head.aspp_channels + head.low_level_channels, options)
                if options.sae_position == "decoder_concat"
                else None
            ),
        )
        self.refine = _refine(backbone, head, options)
        last_channels = head.decoder_channels if self.refine is None else self.refine.out_channels
        # logits of about 1: much smaller, and the network behind them learns late, for want of gradient
        self.classifier = initialise_convolution(
            nn.Conv2d(last_channels, classes, 1), std=last_channels**-0.5
        )

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits of tiles; see the class for shapes.

        Raises:
            UsageError: another number of bands, too small, not floating point, one tile in training.
        """
        check_tiles(tiles, in_channels=self.in_channels, minimum_px=self.minimum_px, training=self.training)
        low_level, deep, fine = self.backbone(tiles)
        if self.cot_on_deep is not None:
            deep = self.cot_on_deep(deep)
        encoded = self.aspp(deep)
        if self.cot_on_aspp is not None:
            encoded = self.cot_on_aspp(encoded)
        if self.sae_on_aspp is not None:
            encoded = self.sae_on_aspp(encoded)
        if self.sae_on_low_level is not None:
            low_level = self.sae_on_low_level(low_level)
        decoded = self.decoder(low_level, encoded)
        if self.refine is not None:
            decoded = self.refine(fine, decoded)
        return resize_bilinear(self.classifier(decoded), tiles.shape[2], tiles.shape[3])


def _widths(head: HeadWidths, options: DeepLabOptions) -> HeadWidths:
    """The backbone's widths where no others were asked for."""
    names = ("aspp_channels", "low_level_channels", "decoder_channels", "atrous_rates")
    asked: dict[str, Any] = {name: getattr(options, name) for name in names}
    return replace(head, **{name: value for name, value in asked.items() if value is not None})


def _sae(channels: int, options: DeepLabOptions) -> SqueezeAggregatedExcitation:
    return SqueezeAggregatedExcitation(
        channels,
        reduction=options.sae_reduction,
        cardinality=options.sae_cardinality,
        residual=options.sae_residual,
    )


def _refine(backbone: Backbone, head: HeadWidths, options: DeepLabOptions) -> Refine | None:
    if options.fine_skip and not backbone.fine_channels:
        raise UsageError(f"fine_skip is on, but {type(backbone).__name__} gives no feature at stride 2")
    if not backbone.fine_channels or options.fine_skip is False:
        return None
    return Refine(backbone.fine_channels, head.decoder_channels)
