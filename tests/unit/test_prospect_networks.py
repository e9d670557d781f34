"""Networks on patches: parameters, the same numbers as torch-geometric's, symmetries, options, refusals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db.errors import UsageError
from inference.prospect.graphs import import_torch_geometric, patch_graphs
from inference.prospect.networks import ARCHITECTURES, PatchGcn, build_prospect_network
from inference.prospect.reference import ReferenceGcn
from tests.unit.network_checks import parameters

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("gcn", {}),
    ("gcn", {"batch_norm": True, "hidden": 48}),
    ("gcn_residual", {}),
    ("gcn_residual", {"hidden": 96, "all_shortcuts": True, "relu_after_sum": True, "outputs": 1}),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


def build(architecture: str, in_channels: int = 7, patch_px: int = 10, **options: Any) -> nn.Module:
    return build_prospect_network(architecture, in_channels=in_channels, patch_px=patch_px, **options)


def gcn(architecture: str, **options: Any) -> PatchGcn:
    """A network whose biases, gains and offsets are no round numbers, with logits of ordinary size."""
    network = build(architecture, **options)
    assert isinstance(network, PatchGcn)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.BatchNorm1d):
                module.weight.uniform_(0.6, 1.4)
                module.bias.normal_(0, 0.2)
        network.head.weight *= 0.05
    return network


def batch_of(patches: Tensor) -> Any:
    import_torch_geometric()
    from torch_geometric.data import Batch

    graphs = list(patch_graphs(patches.float().numpy()))
    batch = Batch.from_data_list(graphs)
    batch.x = patches.flatten(0, 1)
    return batch


@pytest.mark.parametrize(
    ("architecture", "options", "count"),
    [
        ("gcn", {}, 35_778),
        ("gcn_residual", {}, 70_274),
        ("gcn_residual", {"all_shortcuts": True}, 72_962),
        ("gcn", {"batch_norm": True}, 36_546),
        ("gcn_residual", {"outputs": 1}, 70_209),
        ("cnn", {}, 70_826),
    ],
)
def test_parameters(architecture: str, options: dict[str, Any], count: int) -> None:
    assert parameters(build(architecture, in_channels=39, **options)) == count


@pytest.mark.parametrize(("architecture", "options"), VARIANTS)
def test_exactly_the_layers_of_torch_geometric(architecture: str, options: dict[str, Any]) -> None:
    """In float64, in training and after: logits, running statistics and gradients."""
    network = gcn(architecture, **options).double()
    reference = ReferenceGcn(network).double()
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    for _ in range(2):
        patches = torch.randn(6, 100, 7, dtype=torch.float64)
        ours, theirs = network(patches), reference(batch_of(patches))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
        for module, logits in ((network, ours), (reference, theirs)):
            module.zero_grad()
            F.cross_entropy(logits, labels).backward()
        assert_same_gradients(network, reference, 1e-10)
    network.eval()
    reference.eval()
    patches = torch.randn(6, 100, 7, dtype=torch.float64)
    torch.testing.assert_close(network(patches), reference(batch_of(patches)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("architecture", "options"), VARIANTS)
def test_fused_float32_equals_the_reference(architecture: str, options: dict[str, Any]) -> None:
    """The compiled loops of a processor: to 1e-5 of torch-geometric, gradients to 1e-5 of float64."""
    network = gcn(architecture, **options)
    reference, exact = ReferenceGcn(network), copy.deepcopy(network).double()
    labels = torch.randint(0, 2, (19,))
    patches = torch.randn(19, 100, 7)
    ours, theirs = network(patches), reference(batch_of(patches))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    for logits in (ours, exact(patches.double())):
        F.cross_entropy(logits, labels).backward()
    for (name, one), other in zip(network.named_parameters(), exact.parameters(), strict=True):
        assert one.grad is not None, name
        assert other.grad is not None
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-5, msg=name)
    for (name, one), other in zip(network.named_buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-5, atol=1e-5, msg=name)
    network.eval()
    reference.eval()
    torch.testing.assert_close(network(patches), reference(batch_of(patches)), rtol=1e-5, atol=1e-5)


def assert_same_gradients(network: PatchGcn, reference: ReferenceGcn, tolerance: float) -> None:
    for place, layer in enumerate((network.first, network.second, network.third)):
        pairs = [(layer.convolution.linear.weight, reference.convolutions[place].lin.weight)]
        pairs.append((layer.convolution.linear.bias, reference.convolutions[place].bias))
        if layer.convolution.norm is not None:
            pairs.append((layer.convolution.norm.weight, reference.norms[place].weight))
            pairs.append((layer.convolution.norm.bias, reference.norms[place].bias))
        if layer.shortcut is not None and layer.shortcut.norm is not None:
            linear, norm = reference.shortcuts[place]
            pairs += [(layer.shortcut.linear.weight, linear.weight), (layer.shortcut.norm.bias, norm.bias)]
            pairs.append((layer.shortcut.norm.weight, norm.weight))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-7, atol=tolerance)
    torch.testing.assert_close(
        network.head.weight.grad, reference.head.weight.grad, rtol=1e-7, atol=tolerance
    )


@pytest.mark.parametrize("options", [{}, {"all_shortcuts": True}])
def test_gradients_reach_the_channels(options: dict[str, Any]) -> None:
    """What a channel is worth can be asked of the input too."""
    network = gcn("gcn_residual", in_channels=3, patch_px=3, hidden=8, **options).double()
    patches = torch.randn(4, 9, 3, dtype=torch.float64, requires_grad=True)
    for mode in (True, False):
        network.train(mode)
        assert torch.autograd.gradcheck(lambda x: network(x)[:, 1], (patches,), atol=1e-6)
    fused = copy.deepcopy(network).float().train()
    network.train()
    single = patches.detach().float().requires_grad_()
    of_exact = torch.autograd.grad(network(patches)[:, 1].square().sum(), patches)[0]
    of_fused = torch.autograd.grad(fused(single)[:, 1].square().sum(), single)[0]
    torch.testing.assert_close(of_fused.double(), of_exact, rtol=1e-3, atol=1e-5)


def test_biases_before_a_normalisation_are_idle() -> None:
    network = gcn("gcn_residual")
    network(torch.randn(4, 100, 7))[:, 1].sum().backward()
    grads = [layer.convolution.linear.bias.grad for layer in (network.first, network.second, network.third)]
    assert all(grad is not None and bool((grad == 0).all()) for grad in grads)


@pytest.mark.parametrize(("architecture", "options"), VARIANTS)
def test_scores_do_not_change_with_the_patch_turned(architecture: str, options: dict[str, Any]) -> None:
    network = gcn(architecture, **options)
    network(torch.randn(20, 100, 7))
    network.eval()
    patches = torch.randn(5, 10, 10, 7)
    plain = network(patches.flatten(1, 2)).softmax(1)
    for turns in range(4):
        for mirrored in (patches, patches.flip(2)):
            turned = torch.rot90(mirrored, turns, (1, 2)).flatten(1, 2)
            torch.testing.assert_close(network(turned).softmax(1), plain, rtol=0, atol=1e-5)
    # a patch in another order is another patch
    mixed = patches.flatten(1, 2)[:, torch.randperm(100)]
    assert not torch.allclose(network(mixed).softmax(1), plain, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_learns(architecture: str) -> None:
    network = build(architecture, hidden=32)
    rng = np.random.default_rng(5)
    labels = torch.from_numpy(rng.integers(0, 2, 48))
    patches = torch.randn(48, 100, 7)
    patches[labels == 1, :, 2] += 0.5
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(network(patches), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        logits = network.eval()(torch.randn(3, 100, 7))
    assert logits.shape == (3, 2)


def test_one_logit_stands_for_two() -> None:
    for architecture in ARCHITECTURES:
        logits = build(architecture, outputs=1).eval()(torch.randn(3, 100, 7))
        assert logits.shape == (3, 2)
        assert bool((logits[:, 0] == 0).all())
        assert bool((logits[:, 1] != 0).all())


def test_relu_after_the_sum() -> None:
    """With head weights and offsets that make every sum negative only the bias is left."""
    network = gcn("gcn_residual", relu_after_sum=True)
    assert network.third.shortcut is not None
    assert network.third.shortcut.norm is not None
    with torch.no_grad():
        network.third.shortcut.norm.bias.fill_(-1e4)
    found = network.eval()(torch.randn(3, 100, 7))
    torch.testing.assert_close(found, network.head.bias.expand(3, -1))


def test_a_saved_network_is_the_same() -> None:
    network = gcn("gcn_residual", all_shortcuts=True)
    network(torch.randn(8, 100, 7))
    other = build("gcn_residual", all_shortcuts=True)
    assert "adjacency.matrix" not in network.state_dict()
    other.load_state_dict(network.state_dict())
    patches = torch.randn(3, 100, 7)
    assert torch.equal(network.eval()(patches), other.eval()(patches))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "gat"}, "unknown architecture 'gat'.*gcn_residual, gcn, cnn"),
        ({"architecture": "gcn", "all_shortcuts": True}, "unknown option 'all_shortcuts'.*batch_norm"),
        ({"architecture": "cnn", "relu_after_sum": True}, "unknown option 'relu_after_sum'.*hidden, outputs"),
        ({"architecture": "gcn_residual", "hidden": 0}, "hidden is 0"),
        ({"architecture": "gcn_residual", "outputs": 3}, "unknown outputs 3: choose one of 1, 2"),
        ({"architecture": "gcn_residual", "in_channels": 0}, "in_channels is 0"),
        ({"architecture": "gcn_residual", "patch_px": 1}, "patch_px is 1.*at least 2"),
    ],
)
def test_what_does_not_exist_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(**arguments)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (torch.zeros(2, 100, 6), r"\(2, 100, 6\).*\(n, 100, 7\)"),
        (torch.zeros(2, 81, 7), r"\(2, 81, 7\).*10 x 10"),
        (torch.zeros(0, 100, 7), r"\(0, 100, 7\)"),
        (torch.zeros(100, 7), r"\(100, 7\)"),
        (torch.zeros(2, 100, 7, dtype=torch.int16), r"torch\.int16.*standardise"),
    ],
)
def test_wrong_patches_are_refused(architecture: str, patches: Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(architecture)(patches)
