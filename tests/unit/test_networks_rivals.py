"""FCN, U-Net and PSPNet: parameters, sizes, alignment, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.networks import ARCHITECTURES, BACKBONES, build_network, choose_backbone, load_state
from inference.networks.unet import UpStep
from tests.unit.network_checks import (
    assert_gradients,
    assert_mirrors,
    assert_moves_along,
    mirror_kernels,
    parameters,
    shake,
)
from tests.unit.restated import resampled

RIVALS = ("fcn", "unet", "pspnet")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(23)


def build(architecture: str, in_channels: int = 4, **options: Any) -> nn.Module:
    return build_network(architecture, in_channels=in_channels, **{"backbone": "small", **options})


def exact(architecture: str) -> nn.Module:
    """A network of four bands in float64, as after some training, to predict with."""
    network = build(architecture).double()
    shake(network, torch.randn(3, 4, 64, 64, dtype=torch.float64))
    return network


def on_meta(architecture: str, in_channels: int = 3, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build_network(architecture, in_channels=in_channels, **options)


@pytest.mark.parametrize(
    ("architecture", "count", "of_a_class", "of_a_band"),
    [
        ("fcn", 32_950_344, 513, 64 * 49),
        ("unet", 31_038_088, 65, 64 * 9),
        ("pspnet", 46_585_928, 513, 64 * 49),
    ],
)
def test_parameters(architecture: str, count: int, of_a_class: int, of_a_band: int) -> None:
    assert parameters(on_meta(architecture)) == count
    assert parameters(on_meta(architecture, classes=2)) == count - 6 * of_a_class
    assert parameters(on_meta(architecture, in_channels=13)) == count + 10 * of_a_band


def test_default_backbones_are_the_published_ones() -> None:
    assert [choose_backbone(name) for name in RIVALS] == ["resnet50", "plain", "resnet50"]
    assert list(on_meta("fcn").state_dict()) == list(on_meta("fcn", backbone="resnet50").state_dict())


@pytest.mark.parametrize("architecture", RIVALS)
def test_logits_have_the_size_of_the_tile(architecture: str) -> None:
    for options in [{}] if architecture == "unet" else [{"output_stride": 8}, {"output_stride": 16}]:
        network = on_meta(architecture, **options)
        for height, width in ((16, 16), (17, 31), (33, 64), (97, 130), (511, 257)):
            assert network(torch.empty(2, 3, height, width, device="meta")).shape == (2, 8, height, width)


@pytest.mark.parametrize("bands", range(1, 14))
@pytest.mark.parametrize("architecture", RIVALS)
def test_every_band_counts(architecture: str, bands: int) -> None:
    network = build(architecture, bands).eval()
    tile = torch.randn(1, bands, 37, 50, requires_grad=True)
    logits = network(tile)
    assert logits.shape == (1, 8, 37, 50)
    assert bool(torch.isfinite(logits).all())
    assert 0.05 < float(logits.detach().std()) < 20
    logits.square().sum().backward()
    assert bool((tile.grad.abs().sum((0, 2, 3)) > 0).all()), "a band has no effect"


@pytest.mark.parametrize("architecture", RIVALS)
def test_smallest_tile(architecture: str) -> None:
    network = build(architecture)
    px = network.minimum_px
    assert px == (16 if architecture == "unet" else 8)
    network.eval()
    assert bool(torch.isfinite(network(torch.randn(1, 4, px, px))).all())
    with pytest.raises(UsageError, match=rf"\(1, 4, {px}, {px - 1}\).*at least {px} px"):
        network(torch.zeros(1, 4, px, px - 1))
    logits = network.train()(torch.randn(3, 4, px, px))
    assert bool(torch.isfinite(logits).all())
    with pytest.raises(UsageError, match="at least 2 tiles"):
        network(torch.zeros(1, 4, px, px))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 3, 32, 32), torch.float32, "3 bands.*4 bands"),
        ((4, 32, 32), torch.float32, "four axes"),
        ((0, 4, 32, 32), torch.float32, "empty"),
        ((1, 4, 32, 32), torch.int16, r"torch\.int16.*scale"),
    ],
)
@pytest.mark.parametrize("architecture", RIVALS)
def test_wrong_tiles_are_refused(
    architecture: str, shape: tuple[int, ...], dtype: torch.dtype, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build(architecture).eval()(torch.zeros(shape, dtype=dtype))


@pytest.mark.parametrize(
    ("architecture", "backbone"),
    [("fcn", "small"), ("pspnet", "small"), ("unet", "small"), ("pspnet", "resnet50")],
)
def test_gradient_reaches_every_parameter(architecture: str, backbone: str) -> None:
    network = build(architecture, backbone=backbone)
    logits = network(torch.randn(3, 4, 41, 64))
    F.cross_entropy(logits, torch.randint(0, 8, (3, 41, 64))).backward()
    assert_gradients(network)


@pytest.mark.parametrize("architecture", RIVALS)
def test_prediction_does_not_depend_on_its_neighbours_in_the_batch(architecture: str) -> None:
    network = exact(architecture)
    tiles = torch.randn(3, 4, 48, 33, dtype=torch.float64)
    with torch.inference_mode():
        together = network(tiles)
        torch.testing.assert_close(network(tiles.flip(0)), together.flip(0), atol=1e-10, rtol=1e-10)
        for index in range(3):
            alone = network(tiles[index : index + 1])
            torch.testing.assert_close(alone, together[index : index + 1], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("architecture", RIVALS)
def test_what_moves_in_the_tile_moves_in_the_map(architecture: str) -> None:
    network = exact(architecture)
    if architecture == "pspnet":
        # the pyramid looks at the whole tile and is left out
        with torch.no_grad():
            network.head[0].weight[:, network.backbone.deep_channels :] = 0
    assert_moves_along(network, bands=4, shift_px=16, stride=1, reach_px=128)


@pytest.mark.parametrize(
    ("architecture", "size"), [("fcn", (97, 65)), ("pspnet", (97, 65)), ("unet", (96, 64))]
)
def test_map_lies_on_the_tile(architecture: str, size: tuple[int, int]) -> None:
    """On a grid that is its own mirror image: 16 k + 1 for convolutions of stride 2, 16 k for halves."""
    network = exact(architecture)
    mirror_kernels(network)
    assert_mirrors(network, torch.randn(1, 4, *size, dtype=torch.float64))


def test_unet_hangs_an_odd_tile_on_its_upper_left_corner() -> None:
    network = exact("unet")
    tile = torch.randn(1, 4, 176, 183, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        whole, cut = network(tile), network(tile[:, :, :171, :177])
    torch.testing.assert_close(cut[..., :48, :48], whole[..., :48, :48], atol=1e-10, rtol=1e-10)
    # the single last row and column are seen, and answered
    network(tile)[..., -1].sum().backward()
    assert float(tile.grad[..., -1].abs().sum()) > 0


def test_up_step_spreads_a_pixel_over_its_two_by_two() -> None:
    step = UpStep(2).eval()
    with torch.no_grad():
        step.up.weight.copy_(torch.arange(8.0).reshape(2, 1, 2, 2))
        for convolution in (step.merge[0][0], step.merge[1][0]):
            nn.init.zeros_(convolution.weight)
        step.merge[0][0].weight[0, 1, 1, 1] = 1.0  # hands on what came up, not the skip
        step.merge[1][0].weight[0, 0, 1, 1] = 1.0
    coarse = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 2, 2, 2).clone()
    coarse[0, 1] = 0.0
    expected = torch.tensor([[0.0, 1.0, 0.0], [2.0, 3.0, 4.0], [0.0, 3.0, 0.0]])
    out = step(coarse, torch.randn(1, 1, 3, 3))
    torch.testing.assert_close(out[0, 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("architecture", ["fcn", "pspnet"])
def test_logits_are_resampled_without_aligned_corners(architecture: str, output_stride: int) -> None:
    network = build(architecture, output_stride=output_stride).double().eval()
    seen: list[Tensor] = []
    network.classifier.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.inference_mode():
        logits = network(torch.randn(1, 4, 37, 50, dtype=torch.float64)).numpy()
    assert seen[0].shape[2:] == (-(-37 // output_stride), -(-50 // output_stride))
    np.testing.assert_allclose(logits, resampled(seen[0].numpy(), 37, 50), rtol=0, atol=1e-9)


@pytest.mark.parametrize("architecture", RIVALS)
def test_round_trip_of_weights(architecture: str, tmp_path: Path) -> None:
    original = build(architecture)
    shake(original, torch.randn(2, 4, 32, 32))
    save_file(original.state_dict(), tmp_path / "weights.safetensors")
    other = build(architecture).eval()
    report = load_state(other, load_file(tmp_path / "weights.safetensors"))
    assert set(report.matched) == set(original.state_dict())
    assert report.missing == report.unexpected == ()
    tile = torch.randn(1, 4, 40, 41)
    with torch.inference_mode():
        assert torch.equal(other(tile), original(tile))


def test_weights_of_a_rival_are_refused_by_the_other() -> None:
    with pytest.raises(UsageError, match="of another network than this PspNet"):
        load_state(build("pspnet"), build("fcn").state_dict())
    with pytest.raises(UsageError, match="fit nothing in UNet"):
        load_state(build("unet"), build("fcn").backbone.state_dict(), strict=False)


def test_options_reach_the_networks() -> None:
    fcn = on_meta("fcn", output_stride=16, head_channels=40, dropout=0.3)
    assert (fcn.minimum_px, fcn.head[0].out_channels, fcn.dropout.p) == (16, 40, 0.3)
    pspnet = on_meta("pspnet", bins=[2, 5])  # JSON gives lists
    assert pspnet.options.bins == pspnet.context.bins == (2, 5)
    assert pspnet.head[0].in_channels == 2048 + 2 * 1024
    unet = on_meta("unet", base_channels=24, dropout=0.0)
    assert [stage[0][0].out_channels for stage in unet.encoder] == [24, 48, 96, 192, 384]
    assert unet.dropout.p == 0.0


@pytest.mark.parametrize("architecture", RIVALS)
def test_dropout_acts_in_training_alone(architecture: str) -> None:
    tiles = torch.randn(3, 4, 48, 48)
    without, with_it = build(architecture, dropout=0.0), build(architecture, dropout=0.5)
    with torch.no_grad():
        assert torch.equal(without(tiles), without(tiles))
        assert not torch.equal(with_it(tiles), with_it(tiles))
        with_it.eval()
        assert torch.equal(with_it(tiles), with_it(tiles))


def test_a_narrow_backbone_does_not_starve_the_head() -> None:
    for architecture, layer in (("fcn", "head"), ("pspnet", "head")):
        widths = {
            name: getattr(on_meta(architecture, backbone=name), layer)[0].out_channels for name in BACKBONES
        }
        assert widths == {
            "resnet50": 512, "small": 64, "resnet101": 512, "mobilenet_v2": 256, "xception": 512,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"architecture": "unet", "backbone": "resnet50"}, "encoder of its own.*resnet50.*plain, small"),
        ({"architecture": "unet", "backbone": "vgg16"}, "backbone 'vgg16'.*plain, small"),
        ({"architecture": "fcn", "backbone": "plain"}, "backbone 'plain'.*resnet50, small"),
        ({"architecture": "fcn", "backbone": None}, "backbone None.*resnet50, small"),
        ({"architecture": "unet", "backbone": "small", "output_stride": 8}, "'output_stride'.*base_channels"),
        ({"architecture": "fcn", "bins": (1, 2)}, "unknown option 'bins'.*head_channels"),
        ({"architecture": "fcn", "cot_position": "off"}, "unknown option 'cot_position'"),
        ({"architecture": "fcn", "output_stride": 32}, "output_stride 32.*8, 16"),
        ({"architecture": "fcn", "head_channels": 0}, "head_channels is 0"),
        ({"architecture": "fcn", "dropout": 1}, "dropout is 1"),
        ({"architecture": "pspnet", "dropout": True}, "dropout is True"),
        ({"architecture": "pspnet", "output_stride": 8.0}, r"output_stride 8\.0"),
        ({"architecture": "pspnet", "bins": ()}, "bins is .*list of parts"),
        ({"architecture": "pspnet", "bins": 6}, "bins is 6.*list of parts"),
        ({"architecture": "pspnet", "bins": (1, 0)}, "an entry of bins is 0"),
        ({"architecture": "unet", "backbone": "plain", "base_channels": 1.5}, "base_channels is 1.5"),
        ({"architecture": "unet", "backbone": "plain", "dropout": "no"}, "dropout is 'no'"),
        ({"architecture": "unet", "backbone": "plain", "classes": 0}, "classes is 0"),
        ({"architecture": "unet", "backbone": "plain", "in_channels": 0}, "in_channels .* is 0"),
    ],
)
def test_what_does_not_exist_is_refused(asked: dict[str, Any], message: str) -> None:
    arguments = {"in_channels": 4, "backbone": "small", **asked}
    with torch.device("meta"), pytest.raises(UsageError, match=message):
        build_network(arguments.pop("architecture"), **arguments)


def test_every_row_of_the_study_is_there() -> None:
    study = {"fcn", "unet", "pspnet", "deeplabv3plus", "cot_deeplabv3plus", "se_deeplabv3plus"}
    assert set(ARCHITECTURES) == study | {"se_cot_deeplabv3plus"}
    for name in ARCHITECTURES:
        assert parameters(on_meta(name, backbone="small")) < 2_000_000
