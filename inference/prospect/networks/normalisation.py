"""Batch normalisation as part of the linear map before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class _Folded(Function):
    """Weight and bias of a linear map with batch normalisation behind it, by the statistics of its input.

    The mean of X W' is mean(X) W', its variance the diagonal of W cov(X) W'.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Folded weight (out, in) and bias (out,); mean and variance (out,) of X W', without gradients."""
        mean = rows.mean(0)
        centred = rows - mean  # first: the difference of two large sums would lose digits
        spread = weight @ (centred.t() @ centred / len(rows))
        variance = (spread * weight).sum(1).clamp_min_(0)
        inverse = torch.rsqrt(variance + eps)
        centre = weight @ mean
        scale = gain * inverse
        ctx.save_for_backward(rows, weight, gain, mean, spread, inverse, centre)
        ctx.mark_non_differentiable(centre, variance)
        return weight * scale[:, None], torch.addcmul(offset, scale, centre, value=-1), centre, variance

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_weight: Tensor, of_bias: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        rows, weight, gain, mean, spread, inverse, centre = ctx.saved_tensors
        scale = gain * inverse
        of_scale = (of_weight * weight).sum(1) - of_bias * centre
        of_centre = -scale * of_bias
        of_variance = -of_scale * scale * inverse.square()  # twice the gradient
        through = torch.outer(of_centre, mean)
        through += of_weight * scale[:, None]
        through += spread * of_variance[:, None]
        of_rows = None
        if ctx.needs_input_grad[0]:
            both = weight.t() @ (weight * of_variance[:, None]) / len(rows)
            of_rows = torch.addmm(of_centre @ weight / len(rows) - mean @ both, rows, both)
        return of_rows, through, of_scale * inverse, of_bias, None


def folded(linear: nn.Linear, norm: nn.BatchNorm1d | None, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out, in) and bias (out,) of ``linear`` and the batch normalisation behind it as one linear map.

    In training the statistics of what the normalisation sees are those of its input, carried through the
    weights. So nothing of the width of the output is read or written for them, neither forward nor backward,
    and gradients are those of the plain form. The bias of ``linear`` drops out there; its gradient is
    exactly 0.

    Args:
        linear: the map.
        norm: what stands behind it; None: nothing does. Its running statistics are updated in training.
        rows: (rows, in) input of the map; looked at in training only.

    """
    if norm is None:
        return linear.weight, linear.bias
    if not norm.training:
        scale = norm.weight * torch.rsqrt(_known(norm.running_var) + norm.eps)
        bias = norm.bias + scale * (linear.bias - _known(norm.running_mean))
        return linear.weight * scale[:, None], bias
    weight, bias, mean, variance = _Folded.apply(rows, linear.weight, norm.weight, norm.bias, norm.eps)  # type: ignore[no-untyped-call]  # untyped in torch
    update_running(norm, mean + linear.bias.detach(), variance, len(rows))
    return weight, bias + 0 * linear.bias


def normalised(linear: nn.Linear, norm: nn.BatchNorm1d | None, products: Tensor) -> Tensor:
    """What ``linear`` and the batch normalisation behind it give, from X W (rows, out) without the bias."""
    if norm is None:
        return products + linear.bias
    if not norm.training:
        scale = norm.weight * torch.rsqrt(_known(norm.running_var) + norm.eps)
        return products * scale + (norm.bias + scale * (linear.bias - _known(norm.running_mean)))
    running_mean = _known(norm.running_mean)
    without_bias = running_mean - linear.bias.detach()
    shift = norm.bias + 0 * linear.bias
    result = F.batch_norm(
        products, without_bias, norm.running_var, norm.weight, shift, True, _momentum(norm), norm.eps
    )
    running_mean.copy_(without_bias + linear.bias.detach())
    return result


def update_running(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int) -> None:
    """Move the running statistics towards those of a batch, as the module itself does.

    Args:
        norm: whose statistics.
        mean: of the batch, without gradient.
        variance: of the batch, that of a population, without gradient; the running one is that of a sample.
        rows: of the batch.

    """
    momentum = _momentum(norm)
    _known(norm.running_mean).lerp_(mean, momentum)
    _known(norm.running_var).lerp_(variance * (rows / (rows - 1)), momentum)


def _momentum(norm: nn.BatchNorm1d) -> float:
    """The weight of this batch in the running statistics; counts the batch, as the module itself does."""
    tracked = _known(norm.num_batches_tracked).add_(1)
    return 1 / float(tracked) if norm.momentum is None else norm.momentum


def _known(statistic: Tensor | None) -> Tensor:
    """A running statistic; every normalisation here has them."""
    if statistic is None:
        raise RuntimeError("batch normalisation without running statistics")
    return statistic
