"""Every backbone under every architecture with its blocks in every place: forward and backward.

On the small backbone all are calculated, at odd sizes and with any number of bands; on the large ones shapes
alone, which finds whatever does not fit together.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks import ARCHITECTURES, BACKBONES, build_network
from inference.networks.backbone import Backbone, Features
from inference.networks.options import COT_MODES, COT_POSITIONS, SAE_POSITIONS
from tests.unit.network_checks import assert_gradients

SIZES = ((17, 31), (33, 20), (50, 37), (16, 47))  # the smallest tile, odd ones, no multiple of 16
CLASSES = 5


def choices(architecture: str) -> list[dict[str, Any]]:
    """Every place of the blocks that the architecture has."""
    names = ARCHITECTURES[architecture].option_names
    axes = {
        name: values
        for name, values in (
            ("cot_position", COT_POSITIONS),
            ("cot_mode", COT_MODES),
            ("sae_position", SAE_POSITIONS),
        )
        if name in names
    }
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]


COMBINATIONS = [(name, options) for name in ARCHITECTURES for options in choices(name)]
NUMBERED = list(enumerate(COMBINATIONS))


def test_the_combinations_are_all_there() -> None:
    """Eighteen with both blocks, six with CoT alone, three with SaE alone, and one of each other."""
    counted = {name: len(choices(name)) for name in ARCHITECTURES}
    assert counted == {
        "se_cot_deeplabv3plus": 18, "cot_deeplabv3plus": 6, "se_deeplabv3plus": 3, "deeplabv3plus": 1,
        "fcn": 1, "unet": 1, "pspnet": 1,
    }  # fmt: skip


def blocks_of(network: nn.Module) -> tuple[int, int, int]:
    kinds = [type(module).__name__ for module in network.modules()]
    return tuple(kinds.count(kind) for kind in ("CotBlock", "SimpleCotBlock", "SqueezeAggregatedExcitation"))


def expected_blocks(architecture: str, options: dict[str, Any]) -> tuple[int, int, int]:
    mode = options.get("cot_mode")
    return int(mode == "full"), int(mode == "simple"), int(architecture.startswith("se_"))


class Thin(Backbone):
    """The features of another backbone in their shapes, without its hundreds of layers."""

    def __init__(self, real: Backbone, in_channels: int, output_stride: int) -> None:
        super().__init__(in_channels, output_stride)
        self.head = real.head
        self.low_level_channels, self.deep_channels = real.low_level_channels, real.deep_channels
        self.fine_channels = real.fine_channels
        self.gain = nn.Parameter(torch.ones(in_channels))

    def forward(self, tiles: Tensor) -> Features:
        one = (tiles * self.gain[None, :, None, None]).sum(1, keepdim=True)

        def at(stride: int, channels: int) -> Tensor:
            return one[..., ::stride, ::stride].expand(-1, channels, -1, -1)

        fine = at(2, self.fine_channels) if self.fine_channels else None
        return Features(at(4, self.low_level_channels), at(self.output_stride, self.deep_channels), fine)


def widths(backbone: Backbone) -> tuple[object, ...]:
    return backbone.low_level_channels, backbone.deep_channels, backbone.fine_channels, backbone.head


@pytest.mark.parametrize("backbones", [("resnet50", "resnet101"), ("mobilenet_v2",), ("xception",)])
def test_every_head_stands_on_the_features_of_every_backbone(backbones: tuple[str, ...]) -> None:
    """Shapes without memory; that backbones give features of these shapes is tested with the backbones."""
    tried, backbone = 0, backbones[0]
    with torch.device("meta"):
        real, *alike = (BACKBONES[name](1, 16) for name in backbones)
    assert all(widths(other) == widths(real) for other in alike)
    for number, (architecture, chosen) in NUMBERED:
        known = ARCHITECTURES[architecture]
        if backbone not in known.backbones:
            continue
        bands, (height, width) = number % 13 + 1, SIZES[number % len(SIZES)]
        output_stride = 8 * (1 + number % 2)
        options = known.options(**chosen, **known.fixed, output_stride=output_stride)
        with torch.device("meta"):
            network = known.network(Thin(real, bands, output_stride), CLASSES, options)
            tiles = torch.empty(2, bands, height, width, requires_grad=True)
        assert blocks_of(network) == expected_blocks(architecture, chosen)
        logits = network(tiles)
        assert logits.shape == (2, CLASSES, height, width), (architecture, chosen)
        logits.sum().backward()
        idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert not idle, (architecture, chosen, idle)
        assert tiles.grad is not None
        tried += 1
    assert tried == 30


@pytest.mark.parametrize("bands", range(1, 14))
def test_every_combination_answers_and_learns_on_the_small_backbone(bands: int) -> None:
    """Every combination with two or three numbers of bands, every number of bands with many combinations."""
    torch.manual_seed(bands)
    for number, (architecture, options) in NUMBERED[bands % 4 :: 4]:
        height, width = SIZES[(number + bands) % len(SIZES)]
        network = build_network(architecture, in_channels=bands, classes=CLASSES, backbone="small", **options)
        tiles = torch.randn(2, bands, height, width, requires_grad=True)
        logits = network(tiles)
        assert logits.shape == (2, CLASSES, height, width)
        F.cross_entropy(logits, torch.randint(0, CLASSES, (2, height, width))).backward()
        what = (architecture, options, bands)
        assert bool(torch.isfinite(logits).all()), what
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, (*what, name)
            assert bool(torch.isfinite(parameter.grad).all()), (*what, name)
        assert tiles.grad is not None
        assert bool((tiles.grad.abs().sum((0, 2, 3)) > 0).all()), f"a band has no effect: {what}"


def test_the_deepest_backbone_answers_and_learns() -> None:
    """The other backbones are calculated in the tests of backbones and networks."""
    torch.manual_seed(1)
    backbone = BACKBONES["resnet101"](13, 8)
    tiles = torch.randn(2, 13, 17, 31, requires_grad=True)
    low_level, deep, _fine = backbone(tiles)
    assert low_level.shape == (2, 256, 5, 8)
    assert deep.shape == (2, 2048, 3, 4)
    assert 0.01 < float(deep.detach().std()) < 100
    (low_level.square().mean() + deep.square().mean()).backward()
    assert_gradients(backbone)
    assert bool((tiles.grad.abs().sum((0, 2, 3)) > 0).all()), "a band has no effect"
