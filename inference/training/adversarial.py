"""Adversarial training: windows moved, within a small step, to where the loss is higher."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


def fast_gradient_sign(
    network: nn.Module,
    loss: Loss,
    pixels: Tensor,
    labels: Tensor,
    epsilon: float,
    autocast: AbstractContextManager[object] | None = None,
) -> Tensor:
    """Pixels moved by ``epsilon * sign(gradient of the loss)``.

    The fast gradient sign method, equation 1 of Goodfellow et al. 2015 (https://arxiv.org/abs/1412.6572).
    Gradients of the weights and the statistics of batch normalisation stay as they are: the network answers
    in evaluation mode, and afterwards is in the mode it was in.

    Args:
        network: (n, bands, h, w) -> logits (n, classes, h, w); not wrapped for several processes.
        loss: of logits and labels.
        pixels: (n, bands, h, w) normalised values.
        labels: (n, h, w) class codes, 255 ignored.
        epsilon: the step in normalised units, that is in standard deviations of a band.
        autocast: number format of the network's pass; None: as it is.

    Returns:
        (n, bands, h, w); where the loss does not depend on a value, that value is not moved.

    """
    was_training = network.training
    network.eval()
    try:
        moved = pixels.detach().clone().requires_grad_()
        with torch.enable_grad(), autocast or nullcontext():
            logits = network(moved.contiguous(memory_format=torch.channels_last))
        with torch.enable_grad():
            value = loss(logits.float(), labels)
        (gradient,) = torch.autograd.grad(value, moved)
    finally:
        network.train(was_training)
    return pixels + epsilon * gradient.sign()


def with_adversaries(
    network: nn.Module,
    loss: Loss,
    pixels: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    share: float,
    generator: torch.Generator,
    autocast: AbstractContextManager[object] | None = None,
) -> Tensor:
    """A batch in which a share of the windows, drawn at random, is moved by `fast_gradient_sign`.

    Clean and moved windows in one batch, as Kurakin et al. 2017 (https://arxiv.org/abs/1611.01236): a network
    that sees moved ones alone is worse on clean ones.

    Args:
        network: see `fast_gradient_sign`.
        loss: of logits and labels.
        pixels: (n, bands, h, w) normalised values.
        labels: (n, h, w) class codes, 255 ignored.
        epsilon: the step in standard deviations of a band.
        share: of the windows, above 0 to 1; at least one window.
        generator: chooses them, on the CPU.
        autocast: number format of the network's pass; None: as it is.

    """
    count = max(1, round(share * len(pixels)))
    place = torch.randperm(len(pixels), generator=generator)[:count].sort().values.to(pixels.device)
    moved = fast_gradient_sign(network, loss, pixels[place], labels[place], epsilon, autocast)
    return pixels.index_copy(0, place, moved)
