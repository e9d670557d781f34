"""What must hold of every network and backbone, for the tests that try it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shake(module: nn.Module, tiles: Tensor) -> None:
    """Give every normalisation a gain and an offset of its own, and the mean and variance of what it sees.

    With those of a new network what differs between pixels would fade from layer to layer.

    Args:
        module: anything that takes `tiles`; it is left in evaluation mode.
        tiles: at least two.
    """
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            with torch.no_grad():
                one.weight.uniform_(0.8, 1.2)
                one.bias.normal_(0, 0.2)
            one.momentum = 1.0
    with torch.no_grad():
        module.train()(tiles)
    module.eval()


def assert_gradients(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert float(parameter.grad.abs().max()) > 0, f"{name} gets no gradient"


def mirror_kernels(network: nn.Module) -> None:
    """Make every kernel its own mirror image along both axes."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            with torch.no_grad():
                weight = module.weight
                weight.copy_((weight + weight.flip(-1)) / 2)
                weight.copy_((weight + weight.flip(-2)) / 2)


def assert_mirrors(network: Callable[[Tensor], Tensor], tile: Tensor) -> None:
    """A network of mirrored kernels answers the mirrored tile with the mirrored map.

    An offset of the output, to one side by however little, would turn round and show.
    """
    with torch.inference_mode():
        plain = network(tile)
        for axis in (-1, -2):
            turned = network(tile.flip(axis)).flip(axis)
            torch.testing.assert_close(turned, plain, atol=1e-9, rtol=1e-9)
            assert float((plain.flip(axis) - plain).abs().mean()) > 1e-2 * float(plain.std())


def assert_moves_along(
    network: Callable[[Tensor], Tensor], *, bands: int, shift_px: int, stride: int, reach_px: int
) -> None:
    """What lies `shift_px` further on is answered `shift_px` further on, off the edges of the tile.

    Args:
        network: (1, bands, h, w) -> (1, c, h / stride, w / stride), float64.
        bands: its number of bands.
        shift_px: how far the tile moves, a multiple of the network's strides.
        stride: of its output.
        reach_px: at least the distance that the padding at an edge makes itself felt.
    """
    length = 2 * reach_px + 4 * shift_px
    strip = torch.randn(1, bands, length + shift_px, shift_px, dtype=torch.float64)
    inner = slice(reach_px // stride + 1, (length - reach_px) // stride - 1)
    step = shift_px // stride
    for swapped in (False, True):
        long = strip.transpose(2, 3) if swapped else strip
        axis = 3 if swapped else 2
        with torch.inference_mode():
            here = network(long.narrow(axis, 0, length)).transpose(axis, 2)
            there = network(long.narrow(axis, shift_px, length)).transpose(axis, 2)
        moved = here[:, :, inner.start + step : inner.stop + step]
        torch.testing.assert_close(there[:, :, inner], moved, atol=1e-9, rtol=1e-9)
        assert float((there[:, :, inner] - here[:, :, inner]).abs().mean()) > 1e-2 * float(here.std())
