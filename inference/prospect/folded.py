"""A graph network as plain matrices for scoring: batch normalisation folded, shortcuts multiplied out.

With the batch normalisations as part of the maps before them, S the adjacency and R = ReLU(S H1 W2 + b2),

    H2 = R + H1 V2 + c2        S H2 W3 = S (R W3 + H1 (V2 W3) + c2 W3)
    sum over nodes (H2 V3 + c3) = (sum R + (sum H1) V2 + nodes c2) V3 + nodes c3

so that of the shortcuts only a product with a 64 x 64 matrix is left for each node. Matrices are multiplied
out in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inference.prospect.graphs import normalised_adjacency
from inference.prospect.networks.gcn import PatchGcn, Projection


@dataclass(frozen=True)
class FoldedGcn:
    """Matrices of a network, float32 on one device; maps are (in, out) and applied from the right.

    Attributes:
        patch_px: edge of a patch, cells.
        mixing: (in_channels, 64) W1, or (in_channels, 128) W1 and the shortcut V1 beside it.
        first_bias: (64,) b1.
        first_shortcut_bias: (64,) c1, or (0,) without that shortcut.
        second: (64, hidden) W2.
        second_bias: (hidden,) b2.
        third: (hidden, 64) W3.
        third_bias: (nodes, 64) b3, and S (c2 W3) where there are shortcuts.
        past: (64, 64) V2 W3; None without shortcuts.
        of_wide: (hidden, 64) V3: from the sum of R to what is summed up; None without shortcuts.
        of_hidden: (64, 64) V2 V3; None without shortcuts.
        of_nodes: (64,) what the biases add to the sum; None without shortcuts.
        head: (64, 2) of the logits; with one output the first column is 0.
        head_bias: (2,).
        relu_after_sum: whether a ReLU comes before the head.

    """

    patch_px: int
    mixing: Tensor
    first_bias: Tensor
    first_shortcut_bias: Tensor
    second: Tensor
    second_bias: Tensor
    third: Tensor
    third_bias: Tensor
    past: Tensor | None
    of_wide: Tensor | None
    of_hidden: Tensor | None
    of_nodes: Tensor | None
    head: Tensor
    head_bias: Tensor
    relu_after_sum: bool

    def logits(self, last: Tensor, wide: Tensor, hidden: Tensor) -> Tensor:
        """Logits (n, 2) from sums over the nodes: of ReLU(S H2 W3 + b3), of R and of H1."""
        if self.of_wide is not None and self.of_hidden is not None and self.of_nodes is not None:
            last = last + wide @ self.of_wide + hidden @ self.of_hidden + self.of_nodes
        if self.relu_after_sum:
            last = last.relu()
        return last @ self.head + self.head_bias


def fold(network: PatchGcn, device: torch.device) -> FoldedGcn:
    """The matrices of a network as it is in evaluation mode."""
    first, second, third = network.first, network.second, network.third
    mixing, first_bias = _map_of(first.convolution)
    first_shortcut_bias = mixing.new_zeros(0)
    if first.shortcut is not None:
        beside, first_shortcut_bias = _map_of(first.shortcut)
        mixing = torch.cat((mixing, beside), dim=1)
    w2, b2 = _map_of(second.convolution)
    w3, b3 = _map_of(third.convolution)
    head = network.head.weight.detach().double().t()
    head_bias = network.head.bias.detach().double()
    if network.options.outputs == 1:
        head = torch.cat((torch.zeros_like(head), head), dim=1)
        head_bias = torch.cat((torch.zeros_like(head_bias), head_bias))

    def ready(matrix: Tensor) -> Tensor:
        return matrix.to(device, torch.float32).contiguous()

    nodes = network.patch_px**2
    b3 = b3.expand(nodes, -1)
    past = of_wide = of_hidden = of_nodes = None
    if second.shortcut is not None and third.shortcut is not None:
        v2, c2 = _map_of(second.shortcut)
        v3, c3 = _map_of(third.shortcut)
        past, of_wide, of_hidden = ready(v2 @ w3), ready(v3), ready(v2 @ v3)
        of_nodes = ready(nodes * (c2 @ v3 + c3))
        # rows of S do not add up to 1
        degrees = torch.from_numpy(normalised_adjacency(network.patch_px).sum(axis=1)).to(w3.device)
        b3 = b3 + torch.outer(degrees, c2 @ w3)
    return FoldedGcn(
        patch_px=network.patch_px,
        mixing=ready(mixing),
        first_bias=ready(first_bias),
        first_shortcut_bias=ready(first_shortcut_bias),
        second=ready(w2),
        second_bias=ready(b2),
        third=ready(w3),
        third_bias=ready(b3),
        past=past,
        of_wide=of_wide,
        of_hidden=of_hidden,
        of_nodes=of_nodes,
        head=ready(head),
        head_bias=ready(head_bias),
        relu_after_sum=network.options.relu_after_sum,
    )


def _map_of(projection: Projection) -> tuple[Tensor, Tensor]:
    """Matrix (in, out) and bias (out,) of a map with the running statistics of its normalisation; float64."""
    weight = projection.linear.weight.detach().double()
    bias = projection.linear.bias.detach().double()
    norm = projection.norm
    if norm is not None and norm.running_mean is not None and norm.running_var is not None:
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale[:, None]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight.t(), bias
