"""The backbones: parameters, strides, dilation in place of stride, alignment, names of weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.networks import BACKBONES, build_network, load_state
from inference.networks.backbone import Backbone, dilate_strides
from inference.networks.depthwise import depthwise_convolution
from inference.networks.mobilenet_v2 import InvertedResidual, MobileNetV2
from inference.networks.resnet import resnet50
from inference.networks.xception import SeparableConvolution, Xception, XceptionModule
from tests.unit.network_checks import (
    assert_gradients,
    assert_mirrors,
    assert_moves_along,
    mirror_kernels,
    parameters,
    shake,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(24)


def on_meta(name: str, in_channels: int = 3, output_stride: int = 16) -> Backbone:
    with torch.device("meta"):
        return BACKBONES[name](in_channels, output_stride)


def light(name: str, in_channels: int = 3, output_stride: int = 16) -> Backbone:
    """The backbone itself, Xception with a middle flow of one module instead of sixteen."""
    if name == "xception":
        return Xception(in_channels, output_stride, middle_modules=1)
    return BACKBONES[name](in_channels, output_stride)


def exact(name: str, output_stride: int = 16) -> Backbone:
    """The same in float64, as after some training, to take features from."""
    backbone = light(name, output_stride=output_stride).double()
    shake(backbone, torch.randn(2, 3, 48, 48, dtype=torch.float64))
    return backbone


def xception_parameters(bands: int, middle_modules: int) -> int:
    """Convolutions without bias and normalisations of two numbers a channel, added up."""

    def separable(before: int, after: int) -> int:
        return 9 * before + 2 * before + before * after + 2 * after

    def module(before: int, widths: tuple[int, int, int]) -> int:
        total = 0 if before == widths[2] else before * widths[2] + 2 * widths[2]
        for after in widths:
            total += separable(before, after)
            before = after
        return total

    stem = 9 * bands * 32 + 64 + 9 * 32 * 64 + 128
    entry = module(64, (128, 128, 128)) + module(128, (256, 256, 256)) + module(256, (728, 728, 728))
    middle = middle_modules * module(728, (728, 728, 728))
    end = separable(1024, 1536) + separable(1536, 1536) + separable(1536, 2048)
    return stem + entry + middle + module(728, (728, 1024, 1024)) + end


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # published counts of the classifiers at 1000 classes, less what stands behind the feature
        ("resnet50", 25_557_032 - 2049 * 1000),
        ("resnet101", 44_549_160 - 2049 * 1000),
        ("mobilenet_v2", 3_504_872 - 1281 * 1000 - (320 * 1280 + 2 * 1280)),
        ("xception", xception_parameters(3, 16)),
    ],
)
def test_parameters(name: str, count: int) -> None:
    assert parameters(on_meta(name)) == count
    first = {"resnet50": 64 * 49, "resnet101": 64 * 49, "mobilenet_v2": 32 * 9, "xception": 32 * 9}[name]
    assert parameters(on_meta(name, in_channels=13)) == count + 10 * first
    assert parameters(on_meta(name, output_stride=8)) == count


def test_fewer_middle_modules_make_the_smaller_xception() -> None:
    with torch.device("meta"):
        assert parameters(Xception(3, middle_modules=8)) == xception_parameters(3, 8)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", list(BACKBONES))
def test_features_lie_at_their_strides(name: str, output_stride: int) -> None:
    for bands, height, width in ((1, 16, 16), (13, 17, 31), (4, 97, 130), (3, 511, 257)):
        with torch.device("meta"):
            backbone = light(name, bands, output_stride)
        assert (backbone.in_channels, backbone.output_stride) == (bands, output_stride)
        low_level, deep, _ = backbone(torch.empty(2, bands, height, width, device="meta"))
        assert low_level.shape == (2, backbone.low_level_channels, -(-height // 4), -(-width // 4))
        assert deep.shape[:2] == (2, backbone.deep_channels)
        assert deep.shape[2:] == (-(-height // output_stride), -(-width // output_stride))


@pytest.mark.parametrize(
    ("strides", "output_stride", "expected"),
    [
        ((2, 2, 2, 2), 16, [(2, 1), (2, 1), (2, 1), (2, 1)]),
        ((2, 1, 2, 2, 1, 2, 1), 16, [(2, 1), (1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1)]),
        ((2, 2, 2, 2, 1, 2, 1), 8, [(2, 1), (2, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 4)]),
        ((2, 2, 2, 2, 2, 1), 16, [(2, 1), (2, 1), (2, 1), (2, 1), (1, 1), (1, 2)]),
    ],
)
def test_strides_beyond_the_output_stride_become_dilation(
    strides: tuple[int, ...], output_stride: int, expected: list[tuple[int, int]]
) -> None:
    assert dilate_strides(strides, output_stride) == expected


@pytest.mark.parametrize("name", ["mobilenet_v2", "xception"])
def test_dilated_backbone_gives_the_strided_one_at_every_second_pixel(name: str) -> None:
    """Dilation instead of stride keeps the function: weights trained at one output stride fit the other."""
    coarse, dense = exact(name, 16), exact(name, 8)
    dense.load_state_dict(coarse.state_dict())
    with torch.inference_mode():
        tile = torch.randn(1, 3, 96, 65, dtype=torch.float64)
        low_16, deep_16, _ = coarse(tile)
        low_8, deep_8, _ = dense(tile)
    assert deep_16.shape[2:] == (6, 5)
    assert deep_8.shape[2:] == (12, 9)
    assert torch.equal(low_8, low_16)
    torch.testing.assert_close(deep_8[..., ::2, ::2], deep_16, rtol=1e-9, atol=1e-9)
    assert float(deep_16.std()) > 1e-2


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "xception"])
def test_features_move_with_the_tile(name: str) -> None:
    backbone = exact(name)

    def deep(tile: Tensor) -> Tensor:
        return backbone(tile).deep

    def low_level(tile: Tensor) -> Tensor:
        return backbone(tile).low_level

    assert_moves_along(deep, bands=3, shift_px=16, stride=16, reach_px=320)
    assert_moves_along(low_level, bands=3, shift_px=16, stride=4, reach_px=64)


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "xception"])
def test_features_lie_on_the_tile(name: str) -> None:
    """A tile of 16 k + 1 pixels is its own mirror image on every grid."""
    backbone = exact(name)
    mirror_kernels(backbone)
    tile = torch.randn(1, 3, 97, 65, dtype=torch.float64)
    assert_mirrors(lambda tiles: backbone(tiles).deep, tile)
    assert_mirrors(lambda tiles: backbone(tiles).low_level, tile)


@pytest.mark.parametrize("name", ["mobilenet_v2", "xception"])
def test_features_do_not_depend_on_the_batch(name: str) -> None:
    backbone = exact(name)
    tiles = torch.randn(3, 3, 33, 48, dtype=torch.float64)
    with torch.inference_mode():
        together, alone = backbone(tiles), backbone(tiles[1:2])
    torch.testing.assert_close(together.deep[1:2], alone.deep, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(together.low_level[1:2], alone.low_level, atol=1e-10, rtol=1e-10)
    assert float((together.deep[0] - together.deep[1]).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["mobilenet_v2", "xception"])
def test_networks_learn_on_the_backbone(name: str) -> None:
    """The gradient reaches every parameter, at the size a fresh network should have."""
    network = build_network("se_cot_deeplabv3plus", in_channels=4, backbone=name, dropout=0.0)
    tiles = torch.randn(3, 4, 40, 33)
    logits = network(tiles)
    assert logits.shape == (3, 8, 40, 33)
    assert 0.1 < float(logits.detach().std()) < 10
    F.cross_entropy(logits, torch.randint(0, 8, (3, 40, 33))).backward()
    # these biases stand before a normalisation and cancel out by definition
    for key, parameter in network.named_parameters():
        if key.endswith("fusion.0.bias"):
            parameter.grad = torch.ones_like(parameter)
    assert_gradients(network)


def normed(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    def column(key: str) -> Tensor:
        return state[f"{name}.{key}"][None, :, None, None]

    scaled = (x - column("running_mean")) / torch.sqrt(column("running_var") + 1e-5)
    return scaled * column("weight") + column("bias")


def each_channel_alone(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Nine shifted multiples of a channel, zero beyond the edge, every `stride`-th pixel kept."""
    height, width = x.shape[2:]
    padded = F.pad(x, (dilation,) * 4)
    total = torch.zeros_like(x)
    for row in range(3):
        for column in range(3):
            top, left = row * dilation, column * dilation
            shifted = padded[:, :, top : top + height, left : left + width]
            total += weight[None, :, 0, row, column, None, None] * shifted
    return total[:, :, ::stride, ::stride]


def across(x: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0])


@pytest.mark.parametrize(
    ("channels", "expansion", "stride", "dilation"),
    [((6, 6), 4, 1, 2), ((6, 9), 3, 1, 1), ((5, 5), 2, 2, 1), ((4, 4), 1, 1, 1)],
)
def test_inverted_residual_equals_its_formula(
    channels: tuple[int, int], expansion: int, stride: int, dilation: int
) -> None:
    block = InvertedResidual(*channels, expansion=expansion, stride=stride, dilation=dilation).double()
    x = 6 * torch.randn(2, channels[0], 7, 8, dtype=torch.float64)
    shake(block, x)
    for one in block.modules():
        if isinstance(one, nn.BatchNorm2d):  # so that the cut at 6 is felt
            nn.init.constant_(one.weight, 5.0)
    s = block.state_dict()
    hidden, at = x, 0
    if expansion > 1:
        hidden = normed(across(x, s["conv.0.0.weight"]), s, "conv.0.1").clamp(0, 6)
        at = 1
    filtered = each_channel_alone(hidden, s[f"conv.{at}.0.weight"], stride, dilation)
    filtered = normed(filtered, s, f"conv.{at}.1").clamp(0, 6)
    expected = normed(across(filtered, s[f"conv.{at + 1}.weight"]), s, f"conv.{at + 2}")
    if stride == 1 and channels[0] == channels[1]:
        expected = expected + x
    assert 0 < int((filtered == 6).sum()) < filtered.numel() // 2
    torch.testing.assert_close(block(x), expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    ("before", "widths", "stride", "dilation"),
    [(6, (5, 7, 9), 2, 1), (6, (6, 6, 6), 1, 2), (8, (6, 6, 6), 1, 1)],
)
def test_xception_module_equals_its_formula(
    before: int, widths: tuple[int, int, int], stride: int, dilation: int
) -> None:
    module = XceptionModule(before, widths, stride=stride, dilation=dilation).double()
    x = torch.randn(2, before, 7, 8, dtype=torch.float64)
    shake(module, x)
    s = module.state_dict()
    out = x
    for name, step in (("inner.0", 1), ("inner.1", 1), ("last", stride)):
        if name == "last":
            inner = out
        out = each_channel_alone(out.clamp(min=0), s[f"{name}.depthwise.weight"], step, dilation)
        out = across(normed(out, s, f"{name}.depthwise_norm"), s[f"{name}.pointwise.weight"])
        out = normed(out, s, f"{name}.pointwise_norm")
    if before == widths[2]:
        out = out + x
    else:
        shortcut = across(x[:, :, ::stride, ::stride], s["shortcut.0.weight"])
        out = out + normed(shortcut, s, "shortcut.1")
    got_inner, got = module(x)
    torch.testing.assert_close(got_inner, inner, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(got, out, atol=1e-9, rtol=1e-9)


def test_end_of_xception_rectifies_behind_either_half() -> None:
    block = SeparableConvolution(5, 7, stride=1, dilation=2, rectified_first=False).double()
    x = torch.randn(2, 5, 7, 8, dtype=torch.float64)
    shake(block, x)
    s = block.state_dict()
    halfway = normed(each_channel_alone(x, s["depthwise.weight"], 1, 2), s, "depthwise_norm").clamp(min=0)
    expected = normed(across(halfway, s["pointwise.weight"]), s, "pointwise_norm").clamp(min=0)
    torch.testing.assert_close(block(x), expected, atol=1e-9, rtol=1e-9)


def test_depthwise_weights_are_drawn_for_nine_taps() -> None:
    """In and out have the same mean square through a ReLU; nine taps of 512 channels would give 1/512."""
    x = torch.randn(2, 512, 32, 32)
    out = depthwise_convolution(512, dilation=2)(torch.relu(x))[..., 4:-4, 4:-4]
    assert float(out.detach().square().mean()) == pytest.approx(1.0, rel=0.1)


def test_mobilenet_carries_the_names_that_weights_have_elsewhere() -> None:
    with torch.device("meta"):
        state = MobileNetV2(3).state_dict()
    assert len(state) == 51 * 6  # convolutions, each with a normalisation of 5 tensors
    assert tuple(state["features.0.0.weight"].shape) == (32, 3, 3, 3)
    assert tuple(state["features.1.conv.0.0.weight"].shape) == (32, 1, 3, 3)
    assert tuple(state["features.1.conv.1.weight"].shape) == (16, 32, 1, 1)
    assert tuple(state["features.1.conv.2.running_var"].shape) == (16,)
    assert tuple(state["features.2.conv.0.0.weight"].shape) == (96, 16, 1, 1)
    assert tuple(state["features.2.conv.1.0.weight"].shape) == (96, 1, 3, 3)
    assert tuple(state["features.17.conv.2.weight"].shape) == (320, 960, 1, 1)
    assert tuple(state["features.17.conv.3.weight"].shape) == (320,)


@pytest.mark.parametrize("name", ["mobilenet_v2", "xception"])
def test_pretrained_backbone_goes_into_a_network(name: str) -> None:
    pretrained = BACKBONES[name](4, 16)
    shake(pretrained, torch.randn(2, 4, 32, 32))
    state = {**pretrained.state_dict(), "classifier.1.weight": torch.zeros(10, 20)}
    network = build_network("fcn", in_channels=4, backbone=name)
    report = load_state(network.backbone, state, strict=False)
    assert set(report.matched) == set(pretrained.state_dict())
    assert report.missing == ()
    assert report.unexpected == ("classifier.1.weight",)
    for key, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, state[key]), key
    with pytest.raises(UsageError, match=r"got shape .*number of bands"):
        load_state(build_network("fcn", in_channels=3, backbone=name).backbone, state, strict=False)


@pytest.mark.parametrize("backbone", [MobileNetV2, Xception, resnet50])
def test_wrong_backbones_are_refused(backbone: type[Backbone]) -> None:
    with torch.device("meta"):
        with pytest.raises(UsageError, match=r"output_stride 32.*8, 16"):
            backbone(3, 32)
        with pytest.raises(UsageError, match=r"in_channels .* is 0"):
            backbone(0, 16)


@pytest.mark.parametrize(("name", "source"), [("mobilenet_v2", "features.3"), ("xception", "flow.1.inner")])
def test_low_level_feature_is_handed_out_as_it_was_computed(name: str, source: str) -> None:
    """Layers behind it rectify in place, and must not reach it."""
    backbone = exact(name)
    seen: list[Tensor] = []
    backbone.get_submodule(source).register_forward_hook(lambda module, given, out: seen.append(out.clone()))
    with torch.inference_mode():
        low_level = backbone(torch.randn(1, 3, 32, 32, dtype=torch.float64)).low_level
    assert torch.equal(low_level, seen[0])
    assert float(low_level.min()) < 0
