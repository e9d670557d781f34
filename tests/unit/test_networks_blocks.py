"""The blocks of the networks against formulas written out a second time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.networks.aspp import Aspp
from inference.networks.convolution import resize_bilinear
from inference.networks.cot import CotBlock, SimpleCotBlock, aggregate_locally
from inference.networks.decoder import Decoder
from inference.networks.resnet import resnet50
from inference.networks.sae import SqueezeAggregatedExcitation


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(20)


def shake(module: nn.Module) -> None:
    """Give every weight and statistic a value of its own, so that nothing is right by being 0 or 1."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.normal_(0, 0.4)


def naive_aggregation(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    tiles, channels, height, width = values.shape
    maps = weights.shape[1]
    out = np.zeros_like(values)
    for n in range(tiles):
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    for dy in (-1, 0, 1):
                        for dx in (-1, 0, 1):
                            if 0 <= y + dy < height and 0 <= x + dx < width:
                                tap = 3 * (dy + 1) + dx + 1
                                out[n, c, y, x] += (
                                    weights[n, c % maps, tap, y, x] * values[n, c, y + dy, x + dx]
                                )
    return out


@pytest.mark.parametrize("shape", [(2, 16, 5, 4), (1, 8, 1, 1), (1, 24, 2, 7)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_local_aggregation_equals_the_loop(shape: tuple[int, ...], layout: torch.memory_format) -> None:
    n, channels, height, width = shape
    values = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=layout)
    weights = torch.randn(n, channels // 8, 9, height, width, dtype=torch.float64)
    expected = naive_aggregation(values.numpy(), weights.numpy())
    np.testing.assert_allclose(aggregate_locally(values, weights).numpy(), expected, atol=1e-12)


def batch_norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    def column(key: str) -> Tensor:
        return state[f"{name}.{key}"][None, :, None, None]

    scaled = (x - column("running_mean")) / torch.sqrt(column("running_var") + 1e-5)
    return scaled * column("weight") + column("bias")


def test_cot_block_equals_its_formula() -> None:
    channels = 72  # C/2 = 36 is more than the least hidden width of 32
    block = CotBlock(channels).double().eval()
    shake(block)
    x = torch.randn(2, channels, 4, 5, dtype=torch.float64)
    s = block.state_dict()

    static = torch.relu(batch_norm(F.conv2d(x, s["key.0.weight"], padding=1, groups=4), s, "key.1"))
    both = torch.cat((x, static), 1)
    hidden = torch.relu(batch_norm(F.conv2d(both, s["attention.0.0.weight"]), s, "attention.0.1"))
    raw = F.conv2d(hidden, s["attention.1.weight"], s["attention.1.bias"]).numpy()
    maps = raw.reshape(2, channels // 8, 9, 4, 5)
    mean = maps.mean(axis=(2, 3, 4), keepdims=True)
    variance = maps.var(axis=(2, 3, 4), keepdims=True)
    weight = s["attention.2.weight"].numpy().reshape(1, -1, 9, 1, 1)
    bias = s["attention.2.bias"].numpy().reshape(1, -1, 9, 1, 1)
    attention = (maps - mean) / np.sqrt(variance + 1e-5) * weight + bias
    values = batch_norm(F.conv2d(x, s["value.0.weight"]), s, "value.1")
    summed = torch.from_numpy(naive_aggregation(values.numpy(), attention))
    normed = batch_norm(summed, s, "value_norm")
    dynamic = normed * torch.sigmoid(normed)
    pooled = (static + dynamic).mean((2, 3), keepdim=True)
    fused = F.conv2d(pooled, s["fusion.0.weight"], s["fusion.0.bias"])
    fused = torch.relu(batch_norm(fused, s, "fusion.1"))
    logits = F.conv2d(fused, s["fusion.3.weight"], s["fusion.3.bias"]).reshape(2, channels, 2)
    share = torch.exp(logits) / torch.exp(logits).sum(2, keepdim=True)
    expected = share[:, :, 0, None, None] * dynamic + share[:, :, 1, None, None] * static

    torch.testing.assert_close(block(x), expected, atol=1e-9, rtol=1e-9)


def test_simple_cot_block_equals_its_formula() -> None:
    block = SimpleCotBlock(12).double().eval()
    shake(block)
    x = torch.randn(2, 12, 3, 5, dtype=torch.float64)
    s = block.state_dict()

    static = torch.relu(batch_norm(F.conv2d(x, s["key.0.weight"], padding=1, groups=4), s, "key.1"))
    both = torch.cat((static, x), 1)
    hidden = torch.relu(batch_norm(F.conv2d(both, s["squeeze.0.weight"]), s, "squeeze.1"))
    taps = F.conv2d(hidden, s["taps.weight"], s["taps.bias"]).reshape(2, 12, 9, 15)
    share = torch.softmax(taps.mean(2), dim=-1).reshape(2, 12, 3, 5)
    values = batch_norm(F.conv2d(x, s["value.0.weight"]), s, "value.1")

    torch.testing.assert_close(block(x), static + share * values, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("block", [CotBlock, SimpleCotBlock])
def test_cot_block_starts_near_the_identity(block: type[nn.Module]) -> None:
    x = torch.relu(torch.randn(4, 64, 16, 16))
    out = block(64)(x)
    correlations = [np.corrcoef(x[:, c].flatten(), out[:, c].detach().flatten())[0, 1] for c in range(64)]
    assert min(correlations) > 0.85


@pytest.mark.parametrize(("channels", "parameters"), [(256, 417_248), (64, 26_744), (32, 8_492)])
def test_cot_block_parameters(channels: int, parameters: int) -> None:
    """By hand for C = 64: K1 9,344; A 4,160 + 2,376 + 144; V 4,224; BN 128; fusion 2,144 + 4,224.

    At C = 32 the hidden width of the fusion is its least, 32.
    """
    assert sum(p.numel() for p in CotBlock(channels).parameters()) == parameters


@pytest.mark.parametrize("channels", [12, 0, -8])
def test_cot_block_refuses_channels_it_cannot_share_out(channels: int) -> None:
    with pytest.raises(UsageError, match=str(channels)):
        CotBlock(channels)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("channels", "reduction", "cardinality"), [(304, 32, 4), (40, 8, 3), (7, 32, 4)])
def test_sae_equals_its_formula(channels: int, reduction: int, cardinality: int, residual: bool) -> None:
    block = SqueezeAggregatedExcitation(
        channels, reduction=reduction, cardinality=cardinality, residual=residual
    ).double()
    shake(block)
    x = torch.randn(3, channels, 4, 6, dtype=torch.float64).numpy()
    s = {name: tensor.numpy() for name, tensor in block.state_dict().items()}

    z = x.mean(axis=(2, 3))
    branches = [
        np.maximum(z @ s[f"squeeze.{i}.weight"].T + s[f"squeeze.{i}.bias"], 0) for i in range(cardinality)
    ]
    assert branches[0].shape[1] == max(channels // reduction, 1)
    gate = np.concatenate(branches, axis=1) @ s["excite.weight"].T + s["excite.bias"]
    scaled = x * (1 / (1 + np.exp(-gate)))[:, :, None, None]

    out = block(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(out, x + scaled if residual else scaled, atol=1e-12)


def test_sae_starts_as_an_even_gain_with_live_units() -> None:
    block = SqueezeAggregatedExcitation(88)
    x = torch.relu(torch.randn(8, 88, 9, 9))
    out = block(x)
    torch.testing.assert_close(out, 1.5 * x, rtol=0.1, atol=0.0)
    out.square().sum().backward()
    for branch in block.squeeze:
        assert bool((branch.weight.grad.abs().sum(1) > 0).all())


def test_bilinear_resampling_takes_pixels_as_areas() -> None:
    """Twice the size puts centres at -0.25, 0.25, 0.75, 1.25 of the old grid; aligned corners at 0, 1/3."""
    row = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    expected = torch.tensor([0.0, 0.25, 0.75, 1.0]).reshape(1, 1, 1, 4)
    torch.testing.assert_close(resize_bilinear(row, 1, 4), expected)


def test_aspp_branches_reach_as_far_as_their_rates() -> None:
    aspp = Aspp(3, 5, rates=(2, 4, 6), dropout=0.5).eval()
    # each branch alone: which pixels feel an impulse in the middle
    impulse = torch.zeros(1, 3, 17, 17)
    impulse[..., 8, 8] = 1.0
    for branch, reach in zip(aspp.branches, (0, 2, 4, 6), strict=True):
        convolution = branch[0]
        nn.init.ones_(convolution.weight)
        rows = torch.nonzero(convolution(impulse)[0, 0].sum(1)).flatten() - 8
        assert sorted({abs(int(row)) for row in rows}) == sorted({0, reach})
    assert aspp.project[0].in_channels == 5 * 5
    assert aspp(impulse).shape == (1, 5, 17, 17)


def test_aspp_pooled_branch_holds_the_mean_of_the_tile() -> None:
    aspp = Aspp(2, 2, rates=(1,), dropout=0.0).eval()
    shake(aspp)
    with torch.no_grad():  # only the pooled branch reaches the result, untouched
        aspp.project[0].weight.zero_()
        aspp.project[0].weight[0, 4] = aspp.project[0].weight[1, 5] = 1.0
        for index in (0, 1):
            aspp.pooled[0].weight[index] = 0.0
            aspp.pooled[0].weight[index, index] = 1.0
        for norm in (aspp.pooled[1], aspp.project[1]):
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
            nn.init.zeros_(norm.running_mean)
            nn.init.ones_(norm.running_var)
    x = torch.rand(1, 2, 6, 7)
    expected = x.mean((2, 3), keepdim=True).expand(1, 2, 6, 7)
    torch.testing.assert_close(aspp(x), expected, rtol=1e-4, atol=1e-4)


def test_decoder_follows_the_low_level_features_size() -> None:
    decoder = Decoder(6, 10, reduced_channels=4, out_channels=8).eval()
    for height, width in ((9, 13), (8, 8), (7, 30)):
        assert decoder(torch.randn(1, 6, height, width), torch.randn(1, 10, 3, 4)).shape == (
            1,
            8,
            height,
            width,
        )
    assert decoder.merge[0][0].in_channels == 14


def test_dilated_resnet_gives_the_strided_one_at_every_second_pixel() -> None:
    """Dilation instead of stride keeps the function: weights trained at one output stride fit the other."""
    coarse, dense = resnet50(3, 16).eval(), resnet50(3, 8).eval()
    with torch.no_grad():
        for module in coarse.modules():
            if isinstance(module, nn.BatchNorm2d):  # keeps the numbers of an untrained network small
                module.weight.uniform_(0.2, 0.4)
                module.bias.normal_(0, 0.2)
    dense.load_state_dict(coarse.state_dict())
    with torch.inference_mode():
        tile = torch.randn(1, 3, 96, 64)
        low_16, deep_16, _ = coarse(tile)
        low_8, deep_8, _ = dense(tile)
    assert deep_16.shape == (1, 2048, 6, 4)
    assert deep_8.shape == (1, 2048, 12, 8)
    torch.testing.assert_close(low_8, low_16)
    torch.testing.assert_close(deep_8[..., ::2, ::2], deep_16, rtol=1e-3, atol=1e-4)
    assert float(deep_16.std()) > 1e-3


def test_resnet50_carries_the_names_that_weights_have_elsewhere() -> None:
    with torch.device("meta"):
        state = resnet50(3).state_dict()
    assert len(state) == 318  # 53 convolutions, 53 normalisations of 5 tensors
    assert tuple(state["conv1.weight"].shape) == (64, 3, 7, 7)
    assert tuple(state["layer1.0.downsample.0.weight"].shape) == (256, 64, 1, 1)
    assert tuple(state["layer3.5.conv2.weight"].shape) == (256, 256, 3, 3)
    assert tuple(state["layer4.2.bn3.running_var"].shape) == (2048,)
