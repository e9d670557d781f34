"""How blocks of the networks begin, what they count and refuse; their formulas: test_networks_restated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from db.errors import UsageError
from inference.networks.convolution import resize_bilinear
from inference.networks.cot import CotBlock, SimpleCotBlock
from inference.networks.resnet import resnet50
from inference.networks.sae import SqueezeAggregatedExcitation


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(20)


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
