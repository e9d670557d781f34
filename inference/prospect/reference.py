"""The graph networks once more, of torch-geometric's own layers: what the fast ones are compared with."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from inference.prospect.graphs import import_torch_geometric
from inference.prospect.networks.gcn import GraphLayer, PatchGcn, Projection
from inference.prospect.networks.head import as_two_logits

if TYPE_CHECKING:
    from torch_geometric.data import Data


class ReferenceGcn(nn.Module):
    """`PatchGcn` as one writes it with torch-geometric, layer by layer, with a copy of the same weights.

    Args:
        network: whose weights and options.
        normalize: whether `GCNConv` computes D^-1/2 (A + I) D^-1/2 from ``edge_index`` at each call; else
            the graphs bring it along, as ``edge_weight`` or as a sparse matrix ``adj_t``.

    """

    def __init__(self, network: PatchGcn, *, normalize: bool = True) -> None:
        super().__init__()
        import_torch_geometric()
        from torch_geometric.nn import GCNConv

        self.relu_after_sum = network.options.relu_after_sum
        self.convolutions, self.norms, self.shortcuts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for layer in (network.first, network.second, network.third):
            linear = layer.convolution.linear
            convolution = GCNConv(linear.in_features, linear.out_features, normalize=normalize)
            convolution.lin.weight.data.copy_(linear.weight.data)
            convolution.bias.data.copy_(linear.bias.data)
            self.convolutions.append(convolution)
            self.norms.append(_norm_of(layer.convolution))
            self.shortcuts.append(_shortcut_of(layer))
        self.head = copy.deepcopy(network.head)

    def forward(self, graphs: Data) -> Tensor:
        """Logits (n, 2) of a batch of n graphs."""
        from torch_geometric.nn import global_add_pool

        edges: Any = graphs.adj_t if "adj_t" in graphs else graphs.edge_index
        weights = graphs.edge_weight if "edge_weight" in graphs else None
        nodes = graphs.x
        for convolution, norm, shortcut in zip(self.convolutions, self.norms, self.shortcuts, strict=True):
            result = F.relu(norm(convolution(nodes, edges, weights)))
            nodes = result if isinstance(shortcut, nn.Identity) else result + shortcut(nodes)
        pooled = global_add_pool(nodes, graphs.batch, graphs.num_graphs)
        return as_two_logits(self.head(F.relu(pooled) if self.relu_after_sum else pooled))


def _norm_of(projection: Projection) -> nn.Module:
    return nn.Identity() if projection.norm is None else copy.deepcopy(projection.norm)


def _shortcut_of(layer: GraphLayer) -> nn.Module:
    if layer.shortcut is None:
        return nn.Identity()
    return nn.Sequential(copy.deepcopy(layer.shortcut.linear), _norm_of(layer.shortcut))
