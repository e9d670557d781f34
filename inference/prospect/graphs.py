"""Patches of ground as graphs: cells are nodes, joined where they lie within 1.7 spacings of each other.

Every patch has the same graph, so that a layer of a graph convolutional network (Kipf and Welling 2017) is
one matrix for all of them: the normalised adjacency S = D^-1/2 (A + I) D^-1/2, where A is the adjacency
matrix, I adds a loop to each node and D holds the degrees, loops included. Within 1.7 spacings lie the eight
neighbours of a cell; A + I is then the product of "at most one row away" and "at most one column away", the
degrees are products too, and S is the Kronecker product of one small matrix with itself (`axis_weights`), or
a box of 3 x 3 cells with a weight before and one behind (`node_weights`).

Graphs of torch-geometric are for users who build upon it, and for the reference implementation that the fast
one is tested against; nothing else needs them, and the package takes seconds to import.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from db.errors import UsageError

if TYPE_CHECKING:
    from torch_geometric.data import Data, InMemoryDataset

NEIGHBOUR_SPACINGS = 1.7
"""Nodes at most so many spacings apart are neighbours; the study's 170 m at spacings of 100 m."""


def patch_edges(patch_px: int) -> NDArray[np.int64]:
    """Edges (2, edges) of a patch, each in both directions, without loops; nodes in rows from the top.

    A patch of 10 x 10 cells has 684. Sorted by the node they come from, then the one they go to.
    """
    _require_edge(patch_px)
    rows, cols = np.divmod(np.arange(patch_px**2), patch_px)
    tree = cKDTree(np.column_stack((rows, cols)).astype(np.float64))
    pairs = tree.query_pairs(NEIGHBOUR_SPACINGS, output_type="ndarray").reshape(-1, 2)
    both = np.concatenate((pairs, pairs[:, ::-1])).astype(np.int64)
    return np.ascontiguousarray(both[np.lexsort((both[:, 1], both[:, 0]))].T)


def normalised_adjacency(patch_px: int) -> NDArray[np.float64]:
    """S = D^-1/2 (A + I) D^-1/2, (nodes, nodes), symmetric; 784 non-zeros for a patch of 10 x 10 cells."""
    linked = np.eye(patch_px**2)
    source, target = patch_edges(patch_px)
    linked[source, target] = 1.0
    scale = 1 / np.sqrt(linked.sum(axis=1))
    return np.asarray(scale[:, None] * linked * scale[None, :])


def axis_weights(patch_px: int) -> NDArray[np.float64]:
    """The symmetric matrix s (patch_px, patch_px) of one axis: S is the Kronecker product of s and s.

    Tridiagonal: a row of cells is smoothed over three neighbours, weighted by D^-1/2 of a single row.
    """
    _require_edge(patch_px)
    near = np.abs(np.subtract.outer(np.arange(patch_px), np.arange(patch_px))) <= 1
    scale = 1 / np.sqrt(near.sum(axis=1))
    return np.asarray(near * np.outer(scale, scale))


def node_weights(patch_px: int) -> NDArray[np.float64]:
    """Weights d (patch_px, patch_px): S X = d * box(d * X), where box adds up 3 x 3 cells."""
    reach = np.minimum(np.arange(patch_px), 1) + np.minimum(np.arange(patch_px)[::-1], 1) + 1
    return np.asarray(1 / np.sqrt(np.outer(reach, reach)))


def patch_graph(values: NDArray[np.float32], *, is_positive: bool | None = None) -> Data:
    """One patch as a graph of torch-geometric.

    Args:
        values: (nodes, channels), nodes in rows from the top.
        is_positive: label; None: the graph has none.

    Returns:
        ``x`` (nodes, channels), ``edge_index`` (2, edges), ``pos`` (nodes, 2) column and row in spacings, and
        ``y`` (1,) 0 or 1 where there is a label.

    Raises:
        UsageError: the nodes do not make a square.

    """
    return _graphs(values[None], None if is_positive is None else np.array([is_positive]))[0]


def patch_graphs(
    values: NDArray[np.float32], is_positive: NDArray[np.bool_] | None = None
) -> InMemoryDataset:
    """Patches as a data set of torch-geometric that lies in memory; no file is read or written.

    Args:
        values: (n, nodes, channels), nodes in rows from the top; at least one patch.
        is_positive: (n,) labels; None: the graphs have none.

    Raises:
        UsageError: no patches, nodes that do not make a square, or labels of another number.

    """
    graphs = _graphs(values, is_positive)
    from torch_geometric.data import InMemoryDataset

    dataset = InMemoryDataset()
    dataset.data, dataset.slices = InMemoryDataset.collate(graphs)
    return dataset


def edge_of_patch(nodes: int) -> int:
    """Edge in cells of a square patch with so many nodes; UsageError when they make no square."""
    patch_px = math.isqrt(nodes)
    if patch_px < 1 or patch_px**2 != nodes:
        raise UsageError(f"got patches of {nodes} nodes: they must make a square, as 100 make 10 x 10")
    return patch_px


def import_torch_geometric() -> Any:
    """The package, silently: importing it compiles scripts in a way that torch has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import torch_geometric
    return torch_geometric


def _graphs(values: NDArray[np.float32], is_positive: NDArray[np.bool_] | None) -> list[Data]:
    if values.ndim != 3 or len(values) == 0:
        raise UsageError(
            f"got patches of shape {values.shape}: needed are (n, nodes, channels), n at least 1"
        )
    if is_positive is not None and is_positive.shape != values.shape[:1]:
        raise UsageError(f"got {len(values)} patches and labels of shape {is_positive.shape}: one for each")
    patch_px = edge_of_patch(values.shape[1])
    import_torch_geometric()
    import torch
    from torch_geometric.data import Data

    edges = torch.from_numpy(patch_edges(patch_px))
    rows, cols = np.divmod(np.arange(patch_px**2, dtype=np.float32), patch_px)
    places = torch.from_numpy(np.column_stack((cols, rows)))
    graphs = []
    for number, nodes in enumerate(torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))):
        graph = Data(x=nodes, edge_index=edges, pos=places)
        if is_positive is not None:
            graph.y = torch.tensor([int(is_positive[number])])
        graphs.append(graph)
    return graphs


def _require_edge(patch_px: int) -> None:
    if patch_px < 1:
        raise UsageError(f"patch_px is {patch_px}: it must be at least 1")
