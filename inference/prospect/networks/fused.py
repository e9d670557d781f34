"""Steps of a graph network with their gradients, each fused into few passes over memory.

What a layer of 256 channels costs beside its matrix products is reading and writing: a bias, a ReLU and the
sums of their gradients are a pass each in PyTorch. On a processor, in float32, loops compiled by numba do
several in one; elsewhere PyTorch's own operations give the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from db.jit import compiled
from inference.prospect.networks.adjacency import Adjacency

Float32Array = NDArray[np.float32]
BLOCK_ROWS = 800
"""Rows of 256 channels that are worked on at once: they fit the second level of a cache."""
_ALWAYS = np.float32(-np.inf)


def is_fused(values: Tensor) -> bool:
    """Whether the compiled loops take these values."""
    return values.device.type == "cpu" and values.dtype == torch.float32


def linear_relu(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """ReLU(X W' + b), (rows, in) -> (rows, out)."""
    if not is_fused(rows):
        return F.relu(F.linear(rows, weight, bias), inplace=True)
    result: Tensor = _LinearRelu.apply(rows, weight, bias)  # type: ignore[no-untyped-call]  # untyped in torch
    return result


class _LinearRelu(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        result = torch.mm(rows, weight.t())
        _rectify(result.numpy(), bias.detach().numpy())
        ctx.save_for_backward(rows, weight, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        rows, weight, result = ctx.saved_tensors
        passed = gradient.clone(memory_format=torch.contiguous_format)
        of_bias = torch.zeros(result.shape[1])
        _rectified_gradient(passed.numpy(), result.numpy(), of_bias.numpy())
        of_rows = torch.mm(passed, weight) if ctx.needs_input_grad[0] else None
        return of_rows, torch.mm(passed.t(), rows), of_bias


def wide_products(rows: Tensor, weight: Tensor, bias: Tensor, behind: Tensor) -> Tensor:
    """ReLU(X W' + b) V', (rows, in) -> (rows, out), without the wide array between leaving the cache."""
    if not is_fused(rows):
        return F.linear(F.relu(F.linear(rows, weight, bias), inplace=True), behind)
    result: Tensor = _WideProducts.apply(rows, weight, bias, behind)  # type: ignore[no-untyped-call]  # untyped in torch
    return result


class _WideProducts(Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, behind: Tensor) -> Tensor:
        wide = rows.new_empty((len(rows), len(weight)))
        result = rows.new_empty((len(rows), len(behind)))
        added = bias.detach().numpy()
        for part in _blocks(len(rows)):
            torch.mm(rows[part], weight.t(), out=wide[part])
            _rectify(wide[part].numpy(), added)
            torch.mm(wide[part], behind.t(), out=result[part])
        ctx.save_for_backward(rows, weight, behind, wide)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows, weight, behind, wide = ctx.saved_tensors
        of_rows, of_weight = torch.empty_like(rows), torch.zeros_like(weight)
        of_bias, of_behind = torch.zeros(len(weight)), torch.zeros_like(behind)
        sums = of_bias.numpy()
        for part in _blocks(len(rows)):
            of_behind.addmm_(gradient[part].t(), wide[part])
            of_wide = torch.mm(gradient[part], behind)
            _rectified_gradient(of_wide.numpy(), wide[part].numpy(), sums)
            torch.mm(of_wide, weight, out=of_rows[part])
            of_weight.addmm_(of_wide.t(), rows[part])
        return of_rows, of_weight, of_bias, of_behind


def _blocks(rows: int) -> list[slice]:
    return [slice(begin, begin + BLOCK_ROWS) for begin in range(0, rows, BLOCK_ROWS)]


class NormedSums(Function):
    """Sum over the nodes of ReLU(BN(S Z)) + BN(Q), with batch normalisation over all rows; float32, on a CPU.

    Z and Q lie beside each other in one array, and so do their gradients, which one matrix product made and
    one takes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        products: Tensor,
        gains: Tensor,
        offsets: Tensor,
        eps: float,
        adjacency: Adjacency,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sums and the statistics of what is normalised.

        Args:
            ctx: for the gradient.
            products: (n * nodes, channels) Z, or (n * nodes, 2 * channels) Z and Q.
            gains: (parts, channels) of the normalisations: one part, or two.
            offsets: (parts, channels).
            eps: added to variances.
            adjacency: S.

        Returns:
            (n, channels); means and variances (parts, channels), those of populations, without gradient.

        """
        parts, channels = gains.shape
        nodes = adjacency.patch_px**2
        smoothed = adjacency.applied(products, channels)
        shape = (parts, products.shape[0] // nodes, channels)
        sums, counts, active = torch.empty(shape), torch.empty(shape), torch.empty(shape)
        means, variances = torch.empty_like(gains), torch.empty_like(gains)
        scales = torch.empty_like(gains)
        for part, values in enumerate((smoothed, products)[:parts]):
            _moments(values.numpy(), part * channels, means[part].numpy(), variances[part].numpy())
            scales[part] = gains[part] * torch.rsqrt(variances[part] + eps)
            _normed_sums(
                values.numpy(),
                part * channels,
                nodes,
                means[part].numpy(),
                scales[part].numpy(),
                offsets[part].numpy(),
                _ALWAYS if part else np.float32(0),
                sums[part].numpy(),
                counts[part].numpy(),
                active[part].numpy(),
            )
        inverse = torch.rsqrt(variances + eps)
        ctx.save_for_backward(products, smoothed, means, inverse, scales, offsets, counts, active)
        ctx.adjacency = adjacency
        ctx.mark_non_differentiable(means, variances)
        return sums.sum(0), means, variances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients of products, gains and offsets."""
        products, smoothed, means, inverse, scales, offsets, counts, active = ctx.saved_tensors
        adjacency: Adjacency = ctx.adjacency
        nodes, rows = adjacency.patch_px**2, len(products)
        parts, channels = means.shape
        # of y = gain * x + offset with x normalised: sums over all rows of dy and of dy * x
        of_offsets = (gradient * counts).sum(1)
        of_gains = (gradient * active).sum(1) * inverse
        slopes = -scales * inverse * of_gains / rows
        levels = -scales * of_offsets / rows
        result = torch.empty_like(products)
        before = torch.empty_like(smoothed)
        for part, (values, out) in enumerate(((smoothed, before), (products, result))[:parts]):
            _normed_gradient(
                values.numpy(),
                part * channels,
                nodes,
                means[part].numpy(),
                scales[part].numpy(),
                offsets[part].numpy(),
                _ALWAYS if part else np.float32(0),
                (gradient * scales[part]).numpy(),
                levels[part].numpy(),
                slopes[part].numpy(),
                out.numpy(),
            )
        adjacency.apply_into(before, result)
        return result, of_gains, of_offsets, None, None


@compiled
def _rectify(values: Float32Array, bias: Float32Array) -> None:
    """ReLU(values + bias) in place."""
    for row in range(values.shape[0]):
        for k in range(values.shape[1]):
            values[row, k] = max(values[row, k] + bias[k], np.float32(0))


@compiled
def _rectified_gradient(gradient: Float32Array, values: Float32Array, sums: Float32Array) -> None:
    """Set the gradient to 0 where the ReLU gave 0, and add up its rows in ``sums``, which begin at 0."""
    columns = len(sums)
    for row in range(values.shape[0]):
        here, there = values[row], gradient[row]
        for k in range(columns):
            there[k] = there[k] if here[k] > 0 else np.float32(0)
        for k in range(columns):
            sums[k] += there[k]


@compiled
def _moments(values: Float32Array, first: int, mean: Float32Array, variance: Float32Array) -> None:
    """Mean and variance of the columns from ``first`` on, as many as ``mean`` has; in two passes.

    Added up in float32 over so few rows that no digit is lost, then in float64.
    """
    rows, columns = values.shape[0], len(mean)
    sums, part = np.zeros(columns), np.empty(columns, np.float32)
    for begin in range(0, rows, 32):
        part[:] = 0
        for row in range(begin, min(begin + 32, rows)):
            here = values[row, first : first + columns]
            for k in range(columns):
                part[k] += here[k]
        for k in range(columns):
            sums[k] += part[k]
    for k in range(columns):
        mean[k] = sums[k] / rows
        sums[k] = 0
    for begin in range(0, rows, 32):
        part[:] = 0
        for row in range(begin, min(begin + 32, rows)):
            here = values[row, first : first + columns]
            for k in range(columns):
                difference = here[k] - mean[k]
                part[k] += difference * difference
        for k in range(columns):
            sums[k] += part[k]
    for k in range(columns):
        variance[k] = sums[k] / rows


@compiled
def _normed_sums(
    values: Float32Array,
    first: int,
    nodes: int,
    mean: Float32Array,
    scale: Float32Array,
    offset: Float32Array,
    floor: np.float32,
    sums: Float32Array,
    counts: Float32Array,
    active: Float32Array,
) -> None:
    """Sums over the nodes of a patch of y = scale * x + offset where y > ``floor``, of 1 there, and of x.

    x is the value less its mean.
    """
    patches, columns = sums.shape
    for patch in range(patches):
        for k in range(columns):
            sums[patch, k] = 0
            counts[patch, k] = 0
            active[patch, k] = 0
        for row in range(patch * nodes, (patch + 1) * nodes):
            here = values[row, first : first + columns]
            for k in range(columns):
                value = here[k] - mean[k]
                result = scale[k] * value + offset[k]
                is_active = result > floor
                sums[patch, k] += result if is_active else np.float32(0)
                counts[patch, k] += np.float32(1) if is_active else np.float32(0)
                active[patch, k] += value if is_active else np.float32(0)


@compiled
def _normed_gradient(
    values: Float32Array,
    first: int,
    nodes: int,
    mean: Float32Array,
    scale: Float32Array,
    offset: Float32Array,
    floor: np.float32,
    gradient: Float32Array,
    level: Float32Array,
    slope: Float32Array,
    out: Float32Array,
) -> None:
    """The patch's gradient where y > ``floor``, plus level + slope * x, in the same columns of ``out``.

    x is the value less its mean, y = scale * x + offset.
    """
    patches, columns = gradient.shape
    for patch in range(patches):
        for row in range(patch * nodes, (patch + 1) * nodes):
            here, there = values[row, first : first + columns], out[row, first : first + columns]
            for k in range(columns):
                value = here[k] - mean[k]
                through = gradient[patch, k] if scale[k] * value + offset[k] > floor else np.float32(0)
                there[k] = through + level[k] + slope[k] * value
