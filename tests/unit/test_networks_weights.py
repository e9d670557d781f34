"""Weights from outside: loaded whole, or refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from db.errors import UsageError
from inference.networks import build_network, load_state

NAN, INF = float("nan"), float("inf")


def build(**options: Any) -> nn.Module:
    return build_network("se_cot_deeplabv3plus", in_channels=4, backbone="small", **options)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    """A state whose running statistics are not those of a new network."""
    torch.manual_seed(22)
    network = build()
    with torch.no_grad():
        network(torch.randn(2, 4, 32, 32))
    return network.state_dict()


@pytest.fixture
def state(trained: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trained.items()}


def test_round_trip_through_safetensors(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "weights.safetensors")
    torch.manual_seed(99)
    network = build().eval()
    report = load_state(network, load_file(tmp_path / "weights.safetensors"))

    assert set(report.matched) == set(state)
    assert report.missing == report.unexpected == ()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    other = build().eval()
    load_state(other, state)
    tile = torch.randn(1, 4, 40, 40)
    with torch.inference_mode():
        assert torch.equal(network(tile), other(tile))


def test_channels_last_network_takes_weights(state: dict[str, Tensor]) -> None:
    network = build().to(memory_format=torch.channels_last)
    load_state(network, state)
    assert torch.equal(network.state_dict()["classifier.weight"], state["classifier.weight"])


def test_other_precision_is_converted(state: dict[str, Tensor]) -> None:
    network = build()
    doubled = {name: t.double() if t.is_floating_point() else t for name, t in state.items()}
    load_state(network, doubled)
    weights = network.state_dict()["classifier.weight"]
    assert weights.dtype == torch.float32
    assert torch.equal(weights, state["classifier.weight"])


def test_backbone_alone_from_a_classifier(state: dict[str, Tensor]) -> None:
    """What pretrained weights look like: the encoder's tensors and a layer that nobody wants here."""
    prefix = "backbone."
    pretrained = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    left_out = pretrained.pop("stage4.second.1.num_batches_tracked")
    network = build()
    report = load_state(network.backbone, {**pretrained, "fc.weight": torch.zeros(10, 128)}, strict=False)
    assert set(report.matched) == set(pretrained)
    assert report.missing == ("stage4.second.1.num_batches_tracked",)
    assert report.unexpected == ("fc.weight",)
    assert left_out.item() == 1
    assert torch.equal(network.state_dict()["backbone.stem.0.0.weight"], state["backbone.stem.0.0.weight"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("classifier.weight", NAN, r"classifier\.weight: 1 of \d+ values are NaN"),
        ("classifier.bias", -INF, r"classifier\.bias: 1 of 8 values are NaN or infinite"),
        ("aspp.pooled.1.running_mean", NAN, "running_mean"),
        ("aspp.pooled.1.running_var", -1.0, "variance is negative"),
    ],
)
def test_bad_numbers_are_refused_before_any_write(
    state: dict[str, Tensor], name: str, value: float, message: str
) -> None:
    state[name].view(-1)[-1] = value
    assert_refused_untouched(state, message)


def test_numbers_too_large_for_the_network_are_refused(state: dict[str, Tensor]) -> None:
    state["classifier.bias"] = torch.full((8,), 1e300, dtype=torch.float64)
    assert_refused_untouched(state, r"8 of 8 values are NaN or infinite as torch\.float32")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(9, 24, 1, 1), r"got shape \(9, 24, 1, 1\), the network needs \(8, 24, 1, 1\)"),
        (torch.zeros(8, 24), r"got shape \(8, 24\)"),
        (torch.zeros(8, 24, 1, 1, dtype=torch.int8), r"type torch\.int8"),
        (torch.zeros(8, 24, 1, 1, dtype=torch.complex64), r"type torch\.complex64"),
        ([0.0] * 8, "got a list"),
    ],
)
def test_wrong_tensors_are_refused(state: dict[str, Tensor], tensor: Any, message: str) -> None:
    state["classifier.weight"] = tensor
    assert_refused_untouched(state, message)
    assert_refused_untouched(state, message, strict=False)


def test_another_architecture_is_refused(state: dict[str, Tensor]) -> None:
    plain = build_network("deeplabv3plus", in_channels=4, backbone="small").state_dict()
    assert_refused_untouched(plain, r"missing \(cot_on_aspp.*0 unexpected \(none\)")
    state["extra.weight"] = torch.zeros(1)
    assert_refused_untouched(state, r"0 missing \(none\), 1 unexpected \(extra\.weight\)")


def test_nothing_in_common_is_refused_even_when_not_strict() -> None:
    assert_refused_untouched({"fc.weight": torch.zeros(1)}, r"fit nothing.*fc\.weight", strict=False)
    assert_refused_untouched({}, "fit nothing.*none", strict=False)


def assert_refused_untouched(state: dict[str, Any], message: str, *, strict: bool = True) -> None:
    network = build()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        load_state(network, state, strict=strict)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} was written"
