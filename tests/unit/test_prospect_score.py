"""Scores of patches and of whole ground: the fast way gives the same numbers, whatever the block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from db.errors import UsageError
from inference.prospect import block_scorer, score
from inference.prospect.block_scorer import BlockScorer
from inference.prospect.networks import PatchGcn, build_prospect_network
from inference.prospect.patches import cut, positions
from inference.prospect.score import score_ground, score_patches

CPU = torch.device("cpu")
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("gcn", {}),
    ("gcn", {"batch_norm": True, "relu_after_sum": True, "hidden": 48}),
    ("gcn_residual", {}),
    ("gcn_residual", {"hidden": 96, "all_shortcuts": True, "outputs": 1}),
    ("gcn_residual", {"relu_after_sum": True}),
    ("cnn", {"hidden": 32}),
]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(31)


def trained(architecture: str, channels: int = 6, patch_px: int = 10, **options: Any) -> nn.Module:
    """A network in training mode, with weights, biases and statistics as after some training."""
    network = build_prospect_network(architecture, in_channels=channels, patch_px=patch_px, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.bias.normal_(0, 0.3)
            if isinstance(module, nn.BatchNorm1d):
                module.weight.uniform_(0.6, 1.4)
                module.bias.normal_(0, 0.3)
        if isinstance(network, PatchGcn):
            network.head.weight *= 0.03
        for _ in range(20):
            network(torch.randn(16, patch_px**2, channels))
    return network


def ground(channels: int = 6, height: int = 43, width: int = 58) -> NDArray[np.float32]:
    return np.random.default_rng(4).normal(size=(channels, height, width)).astype(np.float32)


def everywhere(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.ones(values.shape[1:], bool)


@pytest.mark.parametrize(("architecture", "options"), VARIANTS)
def test_ground_equals_its_patches(architecture: str, options: dict[str, Any]) -> None:
    network, values = trained(architecture, **options), ground()
    found = score_ground(network, values, everywhere(values), patch_px=10, stride_px=5, device=CPU)
    assert found.shape == (7, 10)
    assert found.dtype == np.float32
    rows, cols = positions(43, 58, 10, 5)
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(cut(values, rows, cols, 10)))
    expected = logits.softmax(1)[:, 1].numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-5)
    np.testing.assert_allclose(score_patches(network, values, rows, cols, 10, CPU, 9), expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gcn_residual", "cnn"])
def test_blocks_and_strips_do_not_matter(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, values = trained(architecture), ground()
    is_valid = everywhere(values)
    is_valid[5:25, 10:40] = False

    def scored(block: int | None) -> NDArray[np.float32]:
        return score_ground(network, values, is_valid, patch_px=10, stride_px=3, device=CPU, block=block)

    whole = scored(None)
    for strip_rows in (1, 7, 1000):
        monkeypatch.setattr(score, "STRIP_ROWS", strip_rows)
        for block in (1, 13, 1000):
            np.testing.assert_allclose(scored(block), whole, atol=1e-5)


def test_threads_do_not_matter() -> None:
    network, values = trained("gcn_residual"), ground()
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(
                score_ground(network, values, everywhere(values), patch_px=10, stride_px=5, device=CPU)
            )
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.parametrize("architecture", ["gcn_residual", "gcn"])
def test_the_way_of_a_gpu_gives_the_same(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"all_shortcuts": True} if architecture == "gcn_residual" else {}
    network, values = trained(architecture, **options), ground()

    def scored() -> NDArray[np.float32]:
        return score_ground(network, values, everywhere(values), patch_px=10, stride_px=5, device=CPU)

    by_box = scored()
    monkeypatch.setattr(BlockScorer, "_by_box", BlockScorer._by_matrix)
    np.testing.assert_allclose(scored(), by_box, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gcn_residual", "cnn"])
def test_patches_without_enough_valid_cells_have_no_score(architecture: str) -> None:
    network, values = trained(architecture, patch_px=5), ground(height=15, width=10)
    is_valid = everywhere(values)
    # of the 25 cells of a patch 22.5 must be valid
    is_valid[0, :2] = False
    is_valid[5, 5:8] = False
    is_valid[10:, :5] = False
    found = score_ground(network, values, is_valid, patch_px=5, stride_px=5, device=CPU)
    assert np.isfinite(found).tolist() == [[True, True], [True, False], [False, True]]
    rows, cols = np.array([0, 0, 5, 10]), np.array([0, 5, 0, 5])
    given = score_patches(network, values, rows, cols, 5, CPU, 64)
    np.testing.assert_allclose(found[np.isfinite(found)], given, atol=1e-5)
    nothing = score_ground(
        network, values, np.zeros_like(is_valid), patch_px=5, stride_px=5, device=CPU, progress=pytest.fail
    )
    assert np.isnan(nothing).all()
    assert nothing.shape == (3, 2)
    assert len(score_patches(network, values, rows[:0], cols[:0], 5, CPU, 64)) == 0


@pytest.mark.parametrize("architecture", ["gcn_residual", "cnn"])
def test_progress_ends_at_one(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "STRIP_ROWS", 10)
    told: list[float] = []
    network, values = trained(architecture), ground()
    score_ground(
        network,
        values,
        everywhere(values),
        patch_px=10,
        stride_px=5,
        device=CPU,
        progress=told.append,
        block=16,
    )
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize("way", ["gcn_residual", "cnn"])
def test_half_the_block_where_memory_runs_out(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, values = trained(way), ground()
    expected = score_ground(network, values, everywhere(values), patch_px=10, stride_px=5, device=CPU)
    sizes: list[int] = []
    if way == "cnn":
        holder, name, counted = score, "cut", 1
    else:
        holder, name, counted = block_scorer._Space, "sums", 2
    plain = getattr(holder, name)

    def scarce(*arguments: Any) -> Any:
        count = len(arguments[counted])
        sizes.append(count)
        if count > 8:
            raise torch.OutOfMemoryError("no memory")
        return plain(*arguments)

    monkeypatch.setattr(holder, name, scarce)
    found = score_ground(network, values, everywhere(values), patch_px=10, stride_px=5, device=CPU, block=32)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert max(sizes) == 32
    assert 8 in sizes


@pytest.mark.parametrize("architecture", ["gcn_residual", "cnn"])
def test_what_cannot_be_scored_is_refused(architecture: str) -> None:
    network, values = trained(architecture), ground()
    is_valid = everywhere(values)

    def scored(array: NDArray[np.float32] = values, patch_px: int = 10, stride_px: int = 5) -> object:
        return score_ground(network, array, is_valid, patch_px=patch_px, stride_px=stride_px, device=CPU)

    with pytest.raises(UsageError, match="stride_px is 0"):
        scored(stride_px=0)
    with pytest.raises(UsageError, match="do not fit"):
        scored(patch_px=44)
    with pytest.raises(UsageError, match=r"\(6, 43, 57\)"):
        scored(values[:, :, :57])
    with pytest.raises(UsageError, match=r"5 channels|built for"):
        scored(values[:5])
    spoilt = values.copy()
    spoilt[2, 20, 20] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        scored(spoilt)
