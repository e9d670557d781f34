"""S = D^-1/2 (A + I) D^-1/2 of a patch applied to the features of its nodes, with gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from inference.prospect.box import axis_bands, smooth
from inference.prospect.graphs import normalised_adjacency


class Adjacency(nn.Module):
    """S X of every patch, with nothing learned.

    On a processor in float32 as a box of two passes, see `inference.prospect.box`; elsewhere as one
    matrix times a batch.

    Shapes:
        (n * nodes, channels) -> (n * nodes, channels)
    """

    matrix: Tensor

    def __init__(self, patch_px: int) -> None:
        super().__init__()
        self.patch_px = patch_px
        self.register_buffer("matrix", torch.from_numpy(normalised_adjacency(patch_px)), persistent=False)
        self._axis = axis_bands(patch_px)

    def forward(self, values: Tensor) -> Tensor:
        """S X."""
        result: Tensor = _Applied.apply(values, self)  # type: ignore[no-untyped-call]  # untyped in torch
        return result

    def applied(self, values: Tensor, channels: int | None = None) -> Tensor:
        """S X, for those who need no gradient; of the first so many channels."""
        channels = channels or values.shape[1]
        if values.device.type != "cpu" or values.dtype != torch.float32:
            batch = values[:, :channels].reshape(-1, self.patch_px**2, channels)
            return torch.matmul(self.matrix.to(values.dtype), batch).flatten(0, 1)
        result = values.new_empty((len(values), channels))
        self.apply_into(values.contiguous(), result)
        return result

    def apply_into(self, values: Tensor, out: Tensor) -> None:
        """Write S X over the first channels of ``out``; both float32 on a processor and contiguous."""
        edge = self.patch_px
        smooth(
            values.detach().numpy().reshape(-1, edge, edge, values.shape[1]),
            self._axis,
            out.numpy().reshape(-1, edge, edge, out.shape[1]),
        )


class _Applied(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, adjacency: Adjacency) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency.applied(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # S is symmetric
        return ctx.adjacency.applied(gradient), None
