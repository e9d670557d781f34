"""A Transformer's encoder blocks and its fixed positions on a square."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MLP_RATIO = 4


class Block(nn.Module):
    """Self-attention and a perceptron, each behind a layer norm and beside a shortcut (Xiong et al. 2020).

    Shapes:
        (n, tokens, width) -> (n, tokens, width)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.before_perceptron = nn.LayerNorm(width)
        self.widened = nn.Linear(width, MLP_RATIO * width)
        self.narrowed = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width)."""
        n, count, width = tokens.shape
        projected = self.projections(self.before_attention(tokens))
        query, key, value = projected.view(n, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.joined(attended.transpose(1, 2).reshape(n, count, width))
        widened = F.gelu(self.widened(self.before_perceptron(tokens)))
        result: Tensor = tokens + self.narrowed(widened)
        return result


def blocks(width: int, heads: int, depth: int) -> nn.Sequential:
    """``depth`` blocks and the layer norm that ends a stack of them."""
    return nn.Sequential(*(Block(width, heads) for _ in range(depth)), nn.LayerNorm(width))


def square_positions(edge: int, width: int) -> Tensor:
    """Fixed sines and cosines of row and column (Vaswani et al. 2017), one half of the width each.

    Args:
        edge: patches along a side.
        width: of a token; a multiple of 4.

    Returns:
        (edge**2, width) float32, in rows from the top.

    """
    rates = 10_000.0 ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(edge, dtype=torch.float64)[:, None] * rates
    axis = torch.cat((angles.sin(), angles.cos()), 1)
    rows = axis[:, None].expand(edge, edge, -1)
    cols = axis[None].expand(edge, edge, -1)
    return torch.cat((rows, cols), 2).reshape(edge * edge, width).float()


def begin_blocks(network: nn.Module) -> None:
    """Make the blocks of a network pass on what they get, at first.

    What they add begins at nothing, so that few steps teach even deep stacks (Zhang, Dauphin and Ma 2019,
    "Fixup initialization").
    """
    for module in network.modules():
        if isinstance(module, Block):
            for last in (module.joined, module.narrowed):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)


def begin_as_loud(layer: nn.Linear) -> None:
    """Fresh weights that keep the variance of what comes in (LeCun et al. 1998).

    PyTorch's own give a third of it: in the tokens the evidence would hardly be heard beside the positions.
    """
    nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    nn.init.zeros_(layer.bias)
