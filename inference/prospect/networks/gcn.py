"""Graph convolutional networks on patches, plain and with shortcuts; the graph is the same for every patch.

With S the normalised adjacency (see `inference.prospect.graphs`) and X the channels of a patch's nodes:

    plain:    H1 = ReLU(S X W1 + b1)      H2 = ReLU(S H1 W2 + b2)
              H3 = ReLU(S H2 W3 + b3)
    residual: H1 = ReLU(BN(S X W1 + b1))  H2 = ReLU(BN(S H1 W2 + b2)) + BN(H1 V2 + c2)
              H3 = ReLU(BN(S H2 W3 + b3)) + BN(H2 V3 + c3)
    both:     logits = U sum over nodes(H3) + u

with 64, ``hidden`` and 64 channels. Which maps have a bias and where batch normalisation stands follows from
the published numbers of parameters with 39 channels and a width of 256: 35,778 plain, 70,274 residual. Only
with biases everywhere, also before a normalisation that makes them idle, and without any normalisation in the
plain network do they come about; 72,962 is the residual network with a shortcut past layer 1 too.

The same numbers with less work: batch normalisation is folded into the map before it (`folded`); S is applied
where features are narrower, for S (H W) = (S H) W; and H2, the widest of all, never comes about. It is
R + H1 V2 (+ c2) with R = ReLU(...), and is only looked at through W3 and V3, so that
R [W3 V3] + H1 (V2 [W3 V3]) is enough, the second product with matrices of 64 rows instead of 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inference.networks.checks import require_choice, require_count
from inference.prospect.networks.adjacency import Adjacency
from inference.prospect.networks.fused import NormedSums, is_fused, linear_relu, wide_products
from inference.prospect.networks.head import as_two_logits, check_patches
from inference.prospect.networks.normalisation import folded, normalised, update_running

WIDTH = 64
"""Channels of layers 1 and 3."""


@dataclass(frozen=True)
class GcnOptions:
    """Options of the plain network; plain values, so that they can be stored with the weights.

    Attributes:
        hidden: channels of layer 2.
        batch_norm: whether batch normalisation stands before each ReLU; the published number of parameters
            says it does not. With it the network is the residual one without its shortcuts.
        relu_after_sum: whether a ReLU follows the sum over nodes; it changes nothing here, where all that is
            summed is positive.
        outputs: 2 logits, or 1 whose softmax with 0 is the same as a sigmoid.

    """

    hidden: int = 256
    batch_norm: bool = False
    relu_after_sum: bool = False
    outputs: int = 2

    def __post_init__(self) -> None:
        """Refuse values that do not exist."""
        require_count("hidden", self.hidden)
        require_choice("batch_norm", self.batch_norm, (True, False))
        require_choice("relu_after_sum", self.relu_after_sum, (True, False))
        require_choice("outputs", self.outputs, (1, 2))


@dataclass(frozen=True)
class ResidualGcnOptions:
    """Options of the residual network; plain values, so that they can be stored with the weights.

    Attributes:
        hidden: channels of layer 2.
        all_shortcuts: whether layer 1 has a shortcut too.
        relu_after_sum: whether a ReLU follows the sum over nodes.
        outputs: 2 logits, or 1 whose softmax with 0 is the same as a sigmoid.

    """

    hidden: int = 256
    all_shortcuts: bool = False
    relu_after_sum: bool = False
    outputs: int = 2

    def __post_init__(self) -> None:
        """Refuse values that do not exist."""
        require_count("hidden", self.hidden)
        require_choice("all_shortcuts", self.all_shortcuts, (True, False))
        require_choice("relu_after_sum", self.relu_after_sum, (True, False))
        require_choice("outputs", self.outputs, (1, 2))


class Projection(nn.Module):
    """A linear map and, where wanted, the batch normalisation behind it.

    Attributes:
        linear: (in_channels -> out_channels) with a bias.
        norm: over all nodes of a batch; None: none.

    """

    def __init__(self, in_channels: int, out_channels: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)
        self.norm = nn.BatchNorm1d(out_channels) if batch_norm else None

    def folded(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Both as one weight (out, in) and bias (out,); see `folded`."""
        return folded(self.linear, self.norm, rows)

    def normalised(self, products: Tensor) -> Tensor:
        """What comes out for X W (rows, out_channels), to which the bias is yet to be added."""
        return normalised(self.linear, self.norm, products)


class GraphLayer(nn.Module):
    """The parameters of a layer: its graph convolution, and its shortcut where it has one.

    A graph convolution starts from Glorot's uniform weights and no bias, as Kipf and Welling have it.
    """

    def __init__(self, in_channels: int, out_channels: int, *, batch_norm: bool, shortcut: bool) -> None:
        super().__init__()
        self.convolution = Projection(in_channels, out_channels, batch_norm=batch_norm)
        nn.init.xavier_uniform_(self.convolution.linear.weight)
        nn.init.zeros_(self.convolution.linear.bias)
        self.shortcut = Projection(in_channels, out_channels, batch_norm=batch_norm) if shortcut else None

    def summed(self, products: Tensor, adjacency: Adjacency) -> Tensor:
        """Sum over the nodes of what the layer gives (n, out_channels).

        Args:
            products: (n * nodes, out_channels) H W without bias, and with a shortcut H V beside it.
            adjacency: S.

        """
        projections = [self.convolution] if self.shortcut is None else [self.convolution, self.shortcut]
        norms = [one.norm for one in projections if one.norm is not None]
        if norms and norms[0].training and is_fused(products):
            biases = torch.stack([one.linear.bias for one in projections])
            sums, means, variances = NormedSums.apply(  # type: ignore[no-untyped-call]  # untyped in torch
                products,
                torch.stack([norm.weight for norm in norms]),
                torch.stack([norm.bias for norm in norms]) + 0 * biases,
                norms[0].eps,
                adjacency,
            )
            for norm, mean, variance in zip(norms, means + biases.detach(), variances, strict=True):
                update_running(norm, mean, variance, len(products))
            pooled: Tensor = sums
            return pooled
        width = self.convolution.linear.out_features
        result = F.relu(self.convolution.normalised(adjacency(products[:, :width])), inplace=True)
        if self.shortcut is not None:
            result = result + self.shortcut.normalised(products[:, width:])
        return result.reshape(-1, adjacency.patch_px**2, width).sum(1)


class PatchGcn(nn.Module):
    """Three graph convolutions, the sum over nodes, a linear map; see the head of this file.

    The logits do not change when a patch is turned or mirrored.

    Shapes:
        (n, patch_px**2, in_channels), nodes in rows from the top -> logits (n, 2)
    """

    def __init__(self, in_channels: int, patch_px: int, options: GcnOptions | ResidualGcnOptions) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.patch_px = patch_px
        self.options = options
        if isinstance(options, ResidualGcnOptions):
            normed, is_residual, all_shortcuts = True, True, options.all_shortcuts
        else:
            normed, is_residual, all_shortcuts = options.batch_norm, False, False
        self.adjacency = Adjacency(patch_px)
        self.first = GraphLayer(in_channels, WIDTH, batch_norm=normed, shortcut=all_shortcuts)
        self.second = GraphLayer(WIDTH, options.hidden, batch_norm=normed, shortcut=is_residual)
        self.third = GraphLayer(options.hidden, WIDTH, batch_norm=normed, shortcut=is_residual)
        self.head = nn.Linear(WIDTH, options.outputs)

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (n, 2); in training batch normalisation takes all nodes of the batch.

        Raises:
            UsageError: patches of another shape or type.

        """
        check_patches(patches, self.patch_px, self.in_channels)
        first, second, third = self.first, self.second, self.third
        rows = patches.flatten(0, 1)
        smoothed = self.adjacency(rows)
        hidden = linear_relu(smoothed, *first.convolution.folded(smoothed))
        if first.shortcut is not None:
            hidden = hidden + F.linear(rows, *first.shortcut.folded(rows))

        smoothed = self.adjacency(hidden)
        weight = third.convolution.linear.weight
        if third.shortcut is not None:
            weight = torch.cat((weight, third.shortcut.linear.weight))
        products = wide_products(smoothed, *second.convolution.folded(smoothed), weight)
        if second.shortcut is not None:
            past, bias = second.shortcut.folded(hidden)
            products = products.addmm_(hidden, (weight @ past).t()).add_(weight @ bias)

        pooled = third.summed(products, self.adjacency)
        if self.options.relu_after_sum:
            pooled = F.relu(pooled)
        return as_two_logits(self.head(pooled))
