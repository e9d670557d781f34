"""Patches as graphs: edges, the normalised adjacency, its factors, torch-geometric's data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from db.errors import UsageError
from inference.prospect.box import axis_bands, smooth
from inference.prospect.graphs import (
    axis_weights,
    node_weights,
    normalised_adjacency,
    patch_edges,
    patch_graph,
    patch_graphs,
)


def test_edges_of_a_small_patch_by_hand() -> None:
    # 0 1
    # 2 3   all four are neighbours of each other
    pairs = set(map(tuple, patch_edges(2).T.tolist()))
    assert pairs == {(a, b) for a in range(4) for b in range(4) if a != b}
    # 0 1 2
    # 3 4 5
    # 6 7 8
    of_corner = patch_edges(3)[1][patch_edges(3)[0] == 0]
    assert of_corner.tolist() == [1, 3, 4]
    assert patch_edges(1).shape == (2, 0)


def test_counts_of_a_patch_of_ten() -> None:
    edges = patch_edges(10)
    assert edges.shape == (2, 684)
    assert (edges[0] != edges[1]).all()
    assert set(map(tuple, edges.T.tolist())) == set(map(tuple, edges[::-1].T.tolist()))
    adjacency = normalised_adjacency(10)
    assert np.count_nonzero(adjacency) == 784
    assert (adjacency == adjacency.T).all()
    # a corner has 3 neighbours and itself, a cell inside 8
    assert adjacency[0, 0] == pytest.approx(1 / 4)
    assert adjacency[0, 11] == pytest.approx(1 / np.sqrt(4 * 9))
    assert adjacency[55, 56] == pytest.approx(1 / 9)
    # the largest eigenvalue of a normalised adjacency is 1
    assert np.linalg.eigvalsh(adjacency).max() == pytest.approx(1)


@pytest.mark.parametrize("patch_px", [1, 2, 3, 10])
def test_factors(patch_px: int) -> None:
    adjacency = normalised_adjacency(patch_px)
    axis = axis_weights(patch_px)
    np.testing.assert_allclose(np.kron(axis, axis), adjacency, atol=1e-15)
    values = np.random.default_rng(1).normal(size=(patch_px, patch_px))
    weights = node_weights(patch_px)
    boxed = weights * ndimage.convolve(weights * values, np.ones((3, 3)), mode="constant")
    np.testing.assert_allclose(boxed.ravel(), adjacency @ values.ravel(), atol=1e-14)


@pytest.mark.parametrize(("patch_px", "channels", "wide"), [(10, 64, 64), (10, 5, 9), (3, 7, 7), (2, 1, 1)])
def test_compiled_box(patch_px: int, channels: int, wide: int) -> None:
    values = np.random.default_rng(2).normal(size=(3, patch_px, patch_px, wide)).astype(np.float32)
    out = np.full((3, patch_px, patch_px, channels), np.nan, np.float32)
    smooth(values, axis_bands(patch_px), out)
    flat = values.reshape(3, -1, wide)[..., :channels]
    expected = np.einsum("ij,njk->nik", normalised_adjacency(patch_px), flat)
    np.testing.assert_allclose(out.reshape(expected.shape), expected, atol=1e-6)


def test_graph_of_a_patch() -> None:
    values = np.arange(27, dtype=np.float32).reshape(9, 3)
    graph = patch_graph(values, is_positive=True)
    assert graph.x.tolist() == values.tolist()
    assert graph.y.tolist() == [1]
    assert graph.num_edges == 40
    assert graph.is_undirected()
    assert graph.pos[5].tolist() == [2, 1]
    apart = torch.cdist(graph.pos, graph.pos)
    near = {tuple(pair) for pair in ((apart < 1.7) & (apart > 0)).nonzero().tolist()}
    assert near == set(map(tuple, graph.edge_index.t().tolist()))
    assert "y" not in patch_graph(values)


def test_data_set_in_memory() -> None:
    values = np.random.default_rng(3).normal(size=(5, 16, 2)).astype(np.float32)
    is_positive = np.array([True, False, False, True, False])
    graphs = patch_graphs(values, is_positive)
    assert len(graphs) == 5
    assert graphs.num_node_features == 2
    assert [int(graph.y) for graph in graphs] == [1, 0, 0, 1, 0]
    np.testing.assert_array_equal(graphs[3].x.numpy(), values[3])
    np.testing.assert_array_equal(graphs[3].edge_index.numpy(), patch_edges(4))


def test_what_is_no_patch_is_refused() -> None:
    with pytest.raises(UsageError, match=r"12 nodes.*square"):
        patch_graph(np.zeros((12, 3), np.float32))
    with pytest.raises(UsageError, match="n at least 1"):
        patch_graphs(np.zeros((0, 9, 3), np.float32))
    with pytest.raises(UsageError, match="2 patches and labels of shape"):
        patch_graphs(np.zeros((2, 9, 3), np.float32), np.array([True]))
    with pytest.raises(UsageError, match="patch_px is 0"):
        patch_edges(0)
