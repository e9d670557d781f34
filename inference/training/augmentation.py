"""Changes to training windows that keep their labels true."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from inference.segmentation_model import IGNORED

SCALE_RANGE = 1.25  # sizes between 1 / 1.25 and 1.25
TURN_DEGREES = 20.0
GAIN_SPREAD, BAND_GAIN_SPREAD = 0.10, 0.05
OFFSET_SPREAD, BAND_OFFSET_SPREAD = 0.15, 0.05
NOISE = 0.05
HAZE_SHARE = 0.25
HAZE_MOST = 0.4


def augmented(pixels: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch, changed at random: mirrored and turned, slightly scaled, lit and hazed differently.

    Args:
        pixels: (n, bands, h, h) normalised values, on the CPU or a GPU.
        labels: (n, h, h) uint8 class codes, 255 ignored.
        generator: of the random numbers, on the CPU, so that a seed means the same on every device.

    Returns:
        New pixels and labels of the same shapes.

    """
    pixels, labels = _warped(pixels, labels, generator)
    return _relit(pixels, generator), labels


def _warped(pixels: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and quarter turn, for half of the batch also a small turn and scale, as one resampling."""
    n = pixels.shape[0]
    quarter = torch.randint(0, 4, (n,), generator=generator) * (math.pi / 2)
    mirror = torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1.0
    is_bent = (torch.rand(n, generator=generator) < 0.5).float()
    angle = is_bent * _uniform(n, generator) * math.radians(TURN_DEGREES)
    scale = SCALE_RANGE ** (is_bent * _uniform(n, generator))
    cos, sin = torch.cos(quarter + angle) * scale, torch.sin(quarter + angle) * scale
    zero = torch.zeros(n)
    theta = torch.stack(
        (torch.stack((cos * mirror, -sin, zero), 1), torch.stack((sin * mirror, cos, zero), 1)), 1
    )
    grid = F.affine_grid(theta.to(pixels.device), [n, 1, *pixels.shape[2:]], align_corners=False)
    warped = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    # beyond the window nothing is labelled: stored as distance from 255, so that padding with 0 means ignored
    shifted = (IGNORED - labels.float())[:, None]
    moved = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return warped, (IGNORED - moved[:, 0]).round().to(torch.uint8)


def _relit(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Another sun, another season, another sensor's calibration, haze, noise; in normalised units."""
    n, bands = pixels.shape[:2]
    normal = torch.randn((4, n, bands), generator=generator)
    shared = torch.randn((2, n, 1), generator=generator)
    gain = 1 + shared[0] * GAIN_SPREAD + normal[0] * BAND_GAIN_SPREAD
    offset = shared[1] * OFFSET_SPREAD + normal[1] * BAND_OFFSET_SPREAD
    is_hazy = (torch.rand((n, 1), generator=generator) < HAZE_SHARE).float()
    haze = is_hazy * torch.rand((n, 1), generator=generator) * HAZE_MOST
    # haze lies over the contrast like a veil that is brighter than most ground
    gain, offset = gain * (1 - haze), offset * (1 - haze) + haze
    noise = torch.randn(pixels.shape, generator=generator) * NOISE
    device = pixels.device
    return pixels * gain.to(device)[:, :, None, None] + offset.to(device)[:, :, None, None] + noise.to(device)


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) * 2 - 1
