"""CoT, SaE, ASPP, decoder and pyramid pooling against their slow restatement in float64, to 1e-9."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from inference.networks import build_network
from inference.networks.aspp import Aspp
from inference.networks.cot import CotBlock, SimpleCotBlock, aggregate_locally
from inference.networks.decoder import Decoder
from inference.networks.pyramid_pooling import PyramidPooling
from inference.networks.sae import SqueezeAggregatedExcitation
from tests.unit import restated
from tests.unit.restated import Array

KEYS = {
    "weight": "gain", "bias": "offset", "running_mean": "mean", "running_var": "variance",
}  # fmt: skip
COT_FULL = {
    "key": ("key.0", "key.1"), "squeeze": ("attention.0.0", "attention.0.1"),
    "taps": ("attention.1", "attention.2"), "value": ("value.0", "value.1"), "dynamic": (None, "value_norm"),
    "narrow": ("fusion.0", "fusion.1"), "widen": ("fusion.3", None),
}  # fmt: skip
COT_SIMPLE = {
    "key": ("key.0", "key.1"), "squeeze": ("squeeze.0", "squeeze.1"), "taps": ("taps", None),
    "value": ("value.0", "value.1"),
}  # fmt: skip
DECODER = {
    "reduce": ("reduce.0", "reduce.1"), "merge0": ("merge.0.0", "merge.0.1"),
    "merge1": ("merge.1.0", "merge.1.1"),
}  # fmt: skip
ASPP_ENDS = {"pooled": ("pooled.0", "pooled.1"), "project": ("project.0", "project.1")}

Names = Mapping[str, tuple[str | None, str | None]]


def aspp_names(rates: int) -> Names:
    found: dict[str, tuple[str | None, str | None]] = {"point": ("branches.0.0", "branches.0.1")}
    found |= {f"rate{i}": (f"branches.{i + 1}.0", f"branches.{i + 1}.1") for i in range(rates)}
    return {**found, **ASPP_ENDS}


def sae_names(cardinality: int) -> Names:
    return {"excite": ("excite", None)} | {f"squeeze{i}": (f"squeeze.{i}", None) for i in range(cardinality)}


def shaken(module: nn.Module, seed: int) -> nn.Module:
    """The module in float64, every weight and statistic random: nothing is right by being 0 or 1.

    Weights are about as large as their inputs allow: with larger ones every softmax would answer 0 or 1.
    """
    rng = np.random.default_rng(seed)
    module = module.double()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(torch.from_numpy(np.asarray(rng.uniform(0.5, 2.0, tensor.shape))))
            elif tensor.ndim > 1:
                drawn = rng.normal(0, tensor[0].numel() ** -0.5, tensor.shape)
                tensor.copy_(torch.from_numpy(drawn))
            elif tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(np.asarray(rng.normal(0.3, 0.5, tensor.shape))))
    return module


def weights_of(module: nn.Module, names: Names) -> dict[str, Array]:
    """The module's weights under the names of the formulas; none may be left over."""
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    found: dict[str, Array] = {}
    for name, (convolution, norm) in names.items():
        if convolution is not None:
            found[name] = state.pop(f"{convolution}.weight")
            if f"{convolution}.bias" in state:
                found[f"{name}_bias"] = state.pop(f"{convolution}.bias")
        if norm is not None:
            for theirs, ours in KEYS.items():
                if f"{norm}.{theirs}" in state:
                    found[f"{name}_{ours}"] = state.pop(f"{norm}.{theirs}")
    assert all(name.endswith("num_batches_tracked") for name in state), sorted(state)
    # copied: a module in training goes on to change its statistics
    return {name: array.copy() for name, array in found.items()}


def part(module: nn.Module, name: str) -> nn.Module:
    return module.get_submodule(name)


def noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0.3, 1.0, shape)


def assert_equal(got: Tensor, expected: Array, *, varies: bool = False) -> None:
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-9, atol=1e-9)
    assert not varies or expected.std() > 0.01, "nothing to compare"


def answer(module: nn.Module, *given_to: Array, training: bool = False) -> Tensor:
    out: Tensor = module.train(training)(*(torch.from_numpy(each.copy()) for each in given_to))
    return out


# a normalisation in training needs two values of a channel, and the fusion has one for each tile
tiles_and_mode = st.sampled_from([(1, False), (2, False), (2, True), (3, True)])
seeds, edges, parts = st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 13)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([8, 16, 24]), edges, edges, tiles_and_mode, seeds)
def test_full_cot(channels: int, height: int, width: int, mode: tuple[int, bool], seed: int) -> None:
    assert_full_cot(channels, height, width, mode, seed)


@pytest.mark.parametrize("mode", [(2, False), (2, True)])
def test_full_cot_where_half_the_channels_are_more_than_the_least_hidden_width(
    mode: tuple[int, bool],
) -> None:
    assert_full_cot(72, 5, 3, mode, seed=1)


def assert_full_cot(channels: int, height: int, width: int, mode: tuple[int, bool], seed: int) -> None:
    tiles, training = mode
    block = shaken(CotBlock(channels), seed)
    weights, x = weights_of(block, COT_FULL), noise(seed + 1, tiles, channels, height, width)
    expected = restated.cot_full(x, weights, training=training)
    assert_equal(answer(block, x, training=training), expected, varies=expected.size > 500)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([4, 8, 12, 20]), edges, edges, tiles_and_mode, seeds)
def test_simple_cot(channels: int, height: int, width: int, mode: tuple[int, bool], seed: int) -> None:
    tiles, training = mode
    block = shaken(SimpleCotBlock(channels), seed)
    weights, x = weights_of(block, COT_SIMPLE), noise(seed + 1, tiles, channels, height, width)
    expected = restated.cot_simple(x, weights, training=training)
    assert_equal(answer(block, x, training=training), expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 16, 5, 4), (1, 8, 1, 1), (1, 24, 2, 7)])
def test_local_aggregation(shape: tuple[int, int, int, int], layout: torch.memory_format) -> None:
    tiles, channels, height, width = shape
    values, maps = noise(1, *shape), noise(2, tiles, channels // 8, 9, height, width)
    got = aggregate_locally(torch.from_numpy(values).contiguous(memory_format=layout), torch.from_numpy(maps))
    assert_equal(got, restated.local_aggregation(values, maps), varies=got.numel() > 8)


@settings(max_examples=60, deadline=None)
@given(
    channels=st.sampled_from([1, 7, 31, 40, 64, 304]), reduction=st.sampled_from([1, 8, 32]),
    cardinality=st.integers(1, 5), residual=st.booleans(), height=edges, width=edges,
    tiles=st.integers(1, 3), seed=seeds,
)  # fmt: skip
def test_sae(
    channels: int, reduction: int, cardinality: int, residual: bool,
    height: int, width: int, tiles: int, seed: int,
) -> None:  # fmt: skip
    options = {"reduction": reduction, "cardinality": cardinality, "residual": residual}
    block = shaken(SqueezeAggregatedExcitation(channels, **options), seed)
    x = noise(seed + 1, tiles, channels, height, width)
    expected = restated.sae(x, weights_of(block, sae_names(cardinality)), **options)
    assert_equal(answer(block, x), expected)


def test_sae_has_the_options_of_the_paper_by_default() -> None:
    block = shaken(SqueezeAggregatedExcitation(96), 3)
    x = noise(4, 2, 96, 3, 5)
    assert_equal(answer(block, x), restated.sae(x, weights_of(block, sae_names(4))), varies=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), tiles_and_mode, seeds)
def test_aspp_at_any_size(
    channels: int, width_of_branch: int, height: int, width: int, mode: tuple[int, bool], seed: int
) -> None:
    tiles, training = mode
    rates = (2, 3, 5)
    # dropped in training alone
    dropout = 0.0 if training else 0.5
    block = shaken(Aspp(channels, width_of_branch, rates=rates, dropout=dropout), seed)
    weights, x = weights_of(block, aspp_names(3)), noise(seed + 1, tiles, channels, height, width)
    expected = restated.aspp(x, weights, output_stride=16, base_rates=rates, training=training)
    assert_equal(answer(block, x, training=training), expected)


def network_of(seed: int, *, bands: int = 2, **options: Any) -> nn.Module:
    widths = {"aspp_channels": 8, "low_level_channels": 3, "decoder_channels": 5, "fine_skip": False}
    network = build_network(
        "se_cot_deeplabv3plus", in_channels=bands, classes=4, backbone="small", dropout=0.0,
        **{**widths, **options},
    )  # fmt: skip
    return shaken(network, seed)


@pytest.mark.parametrize(("output_stride", "size"), [(16, (21, 20)), (8, (38, 37))])
@pytest.mark.parametrize("training", [False, True])
def test_aspp_of_a_network_at_both_output_strides(
    output_stride: int, size: tuple[int, int], training: bool
) -> None:
    """Rates 6, 12, 18 at 16, and twice that at 8, on features that the widest of them still spans."""
    network = network_of(5, output_stride=output_stride, atrous_rates=(6, 12, 18), aspp_channels=3 * 8)
    block = part(network, "aspp")
    weights = weights_of(block, aspp_names(3))
    x = noise(6, 2, weights["point"].shape[1], *size)
    expected = restated.aspp(x, weights, output_stride=output_stride, training=training)
    assert_equal(answer(block, x, training=training), expected, varies=True)


@settings(max_examples=20, deadline=None)
@given(
    low=st.tuples(st.integers(1, 9), st.integers(1, 9)), deep=st.tuples(edges, edges), mode=tiles_and_mode,
    seed=seeds,
)  # fmt: skip
def test_decoder(low: tuple[int, int], deep: tuple[int, int], mode: tuple[int, bool], seed: int) -> None:
    tiles, training = mode
    block = shaken(Decoder(3, 4, reduced_channels=2, out_channels=5), seed)
    low_level, encoded = noise(seed + 1, tiles, 3, *low), noise(seed + 2, tiles, 4, *deep)
    expected = restated.decoder(low_level, encoded, weights_of(block, DECODER), training=training)
    assert_equal(answer(block, low_level, encoded, training=training), expected)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([(1, 2, 3, 6), (4, 5), (1,)]), st.tuples(parts, parts), tiles_and_mode, seeds)
def test_pyramid_pooling(
    bins: tuple[int, ...], size: tuple[int, int], mode: tuple[int, bool], seed: int
) -> None:
    tiles, training = mode
    block = shaken(PyramidPooling(5, 3, bins=bins), seed)
    names: Names = {f"bin{i}": (f"branches.{i}.0", f"branches.{i}.1") for i in range(len(bins))}
    x = noise(seed + 1, tiles, 5, *size)
    expected = restated.pyramid_pooling(x, weights_of(block, names), bins=bins, training=training)
    assert_equal(answer(block, x, training=training), expected)


def restated_network(network: nn.Module, features: tuple[Array, Array], *, training: bool) -> Array:
    """The logits at stride 4 from the backbone's features, blocks where the options put them."""
    low_level, deep = features
    chosen: Any = network.options
    cot_of, names = (
        (restated.cot_full, COT_FULL) if chosen.cot_mode == "full" else (restated.cot_simple, COT_SIMPLE)
    )

    def cot(x: Array, where: str) -> Array:
        return cot_of(x, weights_of(part(network, where), names), training=training)

    def gate(x: Array, where: str) -> Array:
        weights = weights_of(part(network, where), sae_names(chosen.sae_cardinality))
        return restated.sae(
            x, weights, reduction=chosen.sae_reduction, cardinality=chosen.sae_cardinality,
            residual=chosen.sae_residual,
        )  # fmt: skip

    def branch(x: Array) -> Array:
        before: Names = {"before": ("0", "1")}
        weights = weights_of(part(network, "aspp.branches.4.0"), before)
        return cot(restated.conv_bn_relu(x, weights, "before", training=training), "aspp.branches.4.1")

    if chosen.cot_position == "backbone_out":
        deep = cot(deep, "cot_on_deep")
    # blocks inside a part have weights of their own, compared above
    whole = {name: one for name, one in network.named_children() if name in ("aspp", "decoder")}
    has_branch = chosen.cot_position == "aspp_branch"
    aspp_weights = own_weights(whole["aspp"], aspp_names(3), "branches.4." if has_branch else None)
    encoded = restated.aspp(
        deep, aspp_weights, output_stride=chosen.output_stride, base_rates=chosen.atrous_rates,
        training=training, extra=branch if has_branch else None,
    )  # fmt: skip
    if chosen.cot_position == "aspp_out":
        encoded = cot(encoded, "cot_on_aspp")
    if chosen.sae_position == "aspp_out":
        encoded = gate(encoded, "sae_on_aspp")
    if chosen.sae_position == "low_level":
        low_level = gate(low_level, "sae_on_low_level")
    on_both = chosen.sae_position == "decoder_concat"
    decoded = restated.decoder(
        low_level, encoded, own_weights(whole["decoder"], DECODER, "concat_block." if on_both else None),
        training=training, on_both=(lambda x: gate(x, "decoder.concat_block")) if on_both else None,
    )  # fmt: skip
    head = {name: tensor.numpy() for name, tensor in part(network, "classifier").state_dict().items()}
    return restated.convolution(decoded, head["weight"], head["bias"])


def own_weights(module: nn.Module, names: Names, without: str | None) -> dict[str, Array]:
    """`weights_of` less a block inside."""

    class Rest(nn.Module):
        def state_dict(self, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
            state = module.state_dict()
            return {name: each for name, each in state.items() if not without or not name.startswith(without)}

    return weights_of(Rest(), names)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize(
    "options",
    [
        {"cot_position": "aspp_out", "sae_position": "decoder_concat"},
        {"cot_position": "backbone_out", "sae_position": "low_level", "sae_residual": False},
        {"cot_position": "aspp_branch", "sae_position": "aspp_out", "sae_reduction": 2},
        {"cot_position": "aspp_out", "sae_position": "aspp_out", "cot_mode": "simple", "sae_cardinality": 2},
        {"cot_position": "aspp_branch", "sae_position": "low_level", "cot_mode": "simple"},
        {"cot_position": "off", "sae_position": "decoder_concat"},
        {"cot_position": "aspp_out", "sae_position": "off"},
        {"cot_position": "off", "sae_position": "off"},
    ],
)
def test_head_of_a_network(options: dict[str, Any], output_stride: int, training: bool) -> None:
    """Everything behind the backbone, to the logits on the grid of the tile."""
    network = network_of(7, output_stride=output_stride, atrous_rates=(1, 2, 3), **options)
    seen: list[Any] = []
    part(network, "backbone").register_forward_hook(lambda module, got, out: seen.append(out))
    tiles = noise(8, 2, 2, 37, 30)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    logits = answer(network, tiles, training=training)
    network.load_state_dict(before)  # statistics of before the step
    low_level, deep, _fine = (None if each is None else each.detach().numpy() for each in seen[0])
    expected = restated_network(network, (low_level, deep), training=training)
    assert_equal(logits, restated.resampled(expected, 37, 30), varies=True)
