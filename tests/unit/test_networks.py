"""The networks as they are built by name: parameters, shapes, gradients, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.networks import ARCHITECTURES, build_network
from tests.unit.restated import resampled

MAIN = "se_cot_deeplabv3plus"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(21)


def build(
    architecture: str = MAIN, in_channels: int = 4, backbone: str = "small", **options: Any
) -> nn.Module:
    return build_network(architecture, in_channels=in_channels, backbone=backbone, **options)


def on_meta(architecture: str = MAIN, in_channels: int = 3, **options: Any) -> nn.Module:
    """A network without memory: shapes and counts of the large ones cost nothing."""
    with torch.device("meta"):
        return build_network(architecture, in_channels=in_channels, **options)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        ("deeplabv3plus", 40_348_840),
        ("cot_deeplabv3plus", 40_348_840 + 417_248),
        ("se_deeplabv3plus", 40_348_840 + 22_228),
        ("se_cot_deeplabv3plus", 40_788_316),
    ],
)
def test_parameters_of_the_four_rows(architecture: str, count: int) -> None:
    assert parameters(on_meta(architecture)) == count


def test_another_band_and_another_class_cost_what_they_must() -> None:
    base = parameters(on_meta())
    assert parameters(on_meta(in_channels=4)) == base + 64 * 49
    with torch.device("meta"):
        nine = build_network(MAIN, in_channels=3, classes=9)
    assert parameters(nine) == base + 257


def test_rows_of_the_ablation_are_the_main_network_with_blocks_off() -> None:
    def names(network: nn.Module) -> list[str]:
        return list(network.state_dict())

    assert names(on_meta("deeplabv3plus")) == names(on_meta(cot_position="off", sae_position=None))
    assert names(on_meta("cot_deeplabv3plus")) == names(on_meta(sae_position="off"))
    assert names(on_meta("se_deeplabv3plus")) == names(on_meta(cot_position=None))


@pytest.mark.parametrize("backbone", ["resnet50", "small"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_logits_have_the_size_of_the_tile(backbone: str, output_stride: int) -> None:
    network = on_meta(backbone=backbone, output_stride=output_stride)
    for height, width in ((16, 16), (17, 31), (33, 64), (97, 130), (128, 128), (511, 257)):
        logits = network(torch.empty(2, 3, height, width, device="meta"))
        assert logits.shape == (2, 8, height, width)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (37, 50), (65, 31)])
def test_odd_sizes_give_finite_logits(height: int, width: int) -> None:
    network = build().eval()
    with torch.inference_mode():
        logits = network(torch.randn(1, 4, height, width))
    assert logits.shape == (1, 8, height, width)
    assert bool(torch.isfinite(logits).all())
    assert float(logits.std()) > 0


def test_resnet50_runs_and_learns_in_fact() -> None:
    network = build(in_channels=3, backbone="resnet50")
    logits = network(torch.randn(2, 3, 33, 40))
    assert logits.shape == (2, 8, 33, 40)
    F.cross_entropy(logits, torch.zeros(2, 33, 40, dtype=torch.long)).backward()
    assert_gradients(network)


@pytest.mark.parametrize("bands", [1, 4, 10, 166])
@pytest.mark.parametrize("backbone", ["resnet50", "small"])
def test_any_number_of_bands(bands: int, backbone: str) -> None:
    assert on_meta(in_channels=bands, backbone=backbone)(
        torch.empty(2, bands, 32, 32, device="meta")
    ).shape == (2, 8, 32, 32)
    if backbone == "small":
        network = build(in_channels=bands).eval()
        tile = torch.randn(1, bands, 32, 32, requires_grad=True)
        network(tile).sum().backward()
        assert bool((tile.grad.abs().sum((0, 2, 3)) > 0).all()), "a band has no effect"


COT = ("off", "aspp_out", "backbone_out", "aspp_branch")
SAE = ("off", "decoder_concat", "low_level", "aspp_out")


@pytest.mark.parametrize(("cot", "sae"), list(itertools.product(COT, SAE)))
def test_positions(cot: str, sae: str) -> None:
    network = on_meta(cot_position=cot, sae_position=sae)
    assert network(torch.empty(2, 3, 40, 40, device="meta")).shape == (2, 8, 40, 40)
    blocks = [type(module).__name__ for module in network.modules()]
    assert blocks.count("CotBlock") == (cot != "off")
    assert blocks.count("SqueezeAggregatedExcitation") == (sae != "off")
    channels = {"aspp_out": 256, "backbone_out": 2048, "aspp_branch": 256}
    places = {"aspp_out": 256, "decoder_concat": 304, "low_level": 256}
    for module in network.modules():
        if type(module).__name__ == "CotBlock":
            assert module.value_norm.num_features == channels[cot]
        if type(module).__name__ == "SqueezeAggregatedExcitation":
            assert module.excite.out_features == places[sae]


def assert_gradients(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert bool(torch.isfinite(parameter.grad).all()), name
        # a bias before a normalisation, or before a softmax over the tile, cancels out by definition
        if not name.endswith(("fusion.0.bias", "taps.bias")):
            assert float(parameter.grad.abs().max()) > 0, f"{name} gets no gradient"


@pytest.mark.parametrize("mode", ["full", "simple"])
@pytest.mark.parametrize(
    ("cot", "sae"),
    [
        ("aspp_out", "decoder_concat"),
        ("backbone_out", "low_level"),
        ("aspp_branch", "aspp_out"),
        ("off", "off"),
    ],
)
def test_gradient_reaches_every_parameter(cot: str, sae: str, mode: str) -> None:
    network = build(cot_position=cot, sae_position=sae, cot_mode=mode)
    logits = network(torch.randn(3, 4, 64, 64))
    F.cross_entropy(logits, torch.randint(0, 8, (3, 64, 64))).backward()
    assert_gradients(network)


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_learns_a_scene_by_heart(architecture: str) -> None:
    """Twenty steps on four tiles of two spectra halve the loss, which starts near even odds."""
    torch.manual_seed(3)
    network = build(architecture, dropout=0.0)
    truth = torch.zeros(4, 48, 48, dtype=torch.long)
    truth[:, 10:30, 5:40] = 6
    tiles = torch.randn(4, 4, 48, 48) * 0.3 + truth[:, None] / 6
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(tiles), truth)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert 1.0 < losses[0] < 4.0
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("fine_skip", [True, False])
def test_logits_are_resampled_without_aligned_corners(fine_skip: bool) -> None:
    network = build(fine_skip=fine_skip).double().eval()
    seen: list[Tensor] = []
    network.classifier.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.inference_mode():
        logits = network(torch.randn(1, 4, 37, 50, dtype=torch.float64)).numpy()
    step = 2 if fine_skip else 4
    assert seen[0].shape[2:] == (-(-37 // step), -(-50 // step))
    np.testing.assert_allclose(logits, resampled(seen[0].numpy(), 37, 50), rtol=0, atol=1e-9)


def test_prediction_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    network = build().eval()
    tiles = torch.randn(3, 4, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network(tiles)[1:2], network(tiles[1:2]), atol=1e-4, rtol=1e-4)


def test_channels_last_gives_the_same() -> None:
    network = build().eval()
    tiles = torch.randn(2, 4, 48, 33)
    with torch.inference_mode():
        expected = network(tiles)
        network.to(memory_format=torch.channels_last)
        got = network(tiles.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["full", "simple"])
def test_half_precision_stays_close(mode: str) -> None:
    network = build(cot_mode=mode).eval()
    tiles = torch.randn(1, 4, 48, 48)
    with torch.inference_mode():
        exact = network(tiles)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(tiles).float()
    assert float((half - exact).abs().mean()) < 0.1 * float(exact.std())


@pytest.mark.parametrize("training", [True, False])
def test_compiles_to_one_graph(training: bool) -> None:
    """``fullgraph`` refuses any branch that depends on data; the eager backend needs no compiler."""
    network = build().train(training)
    tiles = torch.randn(2, 4, 32, 32)
    torch.compiler.reset()
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    with torch.no_grad():
        logits = compiled(tiles)
    assert logits.shape == (2, 8, 32, 32)
    if not training:
        with torch.no_grad():
            torch.testing.assert_close(logits, network(tiles))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 32, 32), r"\(2, 3, 32, 32\).*3 bands.*4 bands"),
        ((2, 4, 15, 32), r"\(2, 4, 15, 32\).*at least 16 px"),
        ((2, 4, 32, 0), r"at least 16 px"),
        ((4, 32, 32), r"\(4, 32, 32\).*four axes"),
        ((0, 4, 32, 32), "empty"),
    ],
)
def test_wrong_tiles_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build().eval()(torch.zeros(shape))


def test_digital_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"torch\.int16.*scale"):
        build().eval()(torch.zeros(1, 4, 32, 32, dtype=torch.int16))


def test_training_on_one_tile_is_refused_and_predicting_is_not() -> None:
    network = build()
    with pytest.raises(UsageError, match="at least 2 tiles"):
        network.train()(torch.zeros(1, 4, 32, 32))
    assert network.eval()(torch.zeros(1, 4, 32, 32)).shape == (1, 8, 32, 32)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"architecture": "deeplab"}, r"architecture 'deeplab'.*se_cot_deeplabv3plus"),
        ({"backbone": "vgg16"}, r"backbone 'vgg16'.*resnet50, small"),
        ({"backbone": None}, r"backbone None.*resnet50, small"),
        ({"attention": True}, r"option 'attention'.*cot_position"),
        (
            {"cot_position": "everywhere"},
            r"cot_position 'everywhere'.*aspp_out, backbone_out, aspp_branch, off",
        ),
        (
            {"sae_position": "aspp_branch"},
            r"sae_position 'aspp_branch'.*decoder_concat, low_level, aspp_out, off",
        ),
        ({"cot_mode": None}, r"cot_mode None.*full, simple"),
        ({"output_stride": 32}, r"output_stride 32.*8, 16"),
        ({"output_stride": 16.0}, r"output_stride 16\.0"),
        ({"sae_reduction": 0}, "sae_reduction is 0"),
        ({"sae_cardinality": True}, "sae_cardinality is True"),
        ({"sae_residual": "no"}, "sae_residual 'no'"),
        ({"aspp_channels": 60}, "60 channels.*multiple of 8"),
        ({"aspp_channels": -8}, "aspp_channels is -8"),
        ({"decoder_channels": "64"}, "decoder_channels is '64'"),
        ({"atrous_rates": ()}, "atrous_rates"),
        ({"atrous_rates": [6, 0]}, "rate of atrous_rates is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": float("nan")}, "dropout is nan"),
        ({"in_channels": 0}, "in_channels .* is 0"),
        ({"in_channels": 4.0}, "in_channels .* is 4.0"),
        ({"classes": 0}, "classes is 0"),
        ({"backbone": "resnet50", "fine_skip": True}, "fine_skip.*ResNet"),
        ({"architecture": "deeplabv3plus", "cot_position": "aspp_out"}, "unknown option 'cot_position'"),
        ({"architecture": "cot_deeplabv3plus", "sae_reduction": 8}, "unknown option 'sae_reduction'"),
    ],
)
def test_what_does_not_exist_is_refused(asked: dict[str, Any], message: str) -> None:
    arguments = {"architecture": MAIN, "in_channels": 4, "backbone": "small", **asked}
    with torch.device("meta"), pytest.raises(UsageError, match=message):
        build_network(arguments.pop("architecture"), **arguments)


def test_options_reach_the_blocks() -> None:
    network = on_meta(
        backbone="small", output_stride=8, atrous_rates=[3, 5], aspp_channels=32, low_level_channels=16,
        decoder_channels=48, dropout=0.3, sae_reduction=8, sae_cardinality=2, sae_residual=False,
    )  # fmt: skip
    assert [branch[0].dilation for branch in network.aspp.branches] == [(1, 1), (6, 6), (10, 10)]
    assert network.aspp.dropout.p == 0.3
    assert network.decoder.concat_block.excite.in_features == 2 * (48 // 8)
    assert network.decoder.concat_block.residual is False
    assert network.decoder.merge[1][0].out_channels == 48
    assert network.options.atrous_rates == (3, 5)


def test_widths_of_the_paper_stand_behind_resnet50() -> None:
    rates = {16: (6, 12, 18), 8: (12, 24, 36)}
    for stride, expected in rates.items():
        branches = on_meta(output_stride=stride).aspp.branches
        assert [branch[0].dilation[0] for branch in branches] == [1, *expected]
