"""Changes to training windows that keep their labels true; for windows of the training split alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from db.errors import UsageError
from inference.segmentation_model import IGNORED

_SHARES = ("affine_share", "haze_share", "haze_most")
_ANGLES = {"turn_degrees": 180.0, "shear_degrees": 60.0}


@dataclass(frozen=True)
class Augmentation:
    """How strongly training windows are changed; 0 and False (1 for the scale) leave a thing as it is.

    Attributes:
        is_mirrored: half of the windows are mirrored.
        is_quarter_turned: windows are turned by 0, 90, 180 or 270 degrees.
        affine_share: share of the windows that are turned, scaled and sheared by any amount, 0 to 1.
        turn_degrees: largest such turn either way, 0 to 180.
        scale: largest factor of size, at least 1; the smallest is its inverse.
        shear_degrees: largest shear either way, 0 to 60.
        gain, band_gain: deviation of the factor on all bands together and on each by itself.
        offset, band_offset: deviation of what is added, in standard deviations of a band.
        noise: deviation of the noise of single pixels, in standard deviations of a band.
        haze_share: share of the windows under haze, 0 to 1.
        haze_most: largest share of the contrast that haze takes, 0 to 1.

    """

    is_mirrored: bool = True
    is_quarter_turned: bool = True
    affine_share: float = 0.5
    turn_degrees: float = 20.0
    scale: float = 1.25
    shear_degrees: float = 5.0
    gain: float = 0.10
    band_gain: float = 0.05
    offset: float = 0.15
    band_offset: float = 0.05
    noise: float = 0.05
    haze_share: float = 0.25
    haze_most: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what is no share, angle, factor or deviation."""
        for each in fields(self):
            value = getattr(self, each.name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"augmentation {each.name} is {value}: it must be at least 0")
        for name, most in {**dict.fromkeys(_SHARES, 1.0), **_ANGLES}.items():
            if getattr(self, name) > most:
                raise UsageError(f"augmentation {name} is {getattr(self, name)}: it must be at most {most:g}")
        if self.scale < 1:
            raise UsageError(f"augmentation scale is {self.scale}: it must be at least 1")

    @classmethod
    def none(cls) -> Augmentation:
        """Nothing is changed."""
        return cls(False, False, *(0.0,) * 2, 1.0, *(0.0,) * 8)


DEFAULT = Augmentation()


def augmented(
    pixels: Tensor, labels: Tensor, generator: torch.Generator, chosen: Augmentation = DEFAULT
) -> tuple[Tensor, Tensor]:
    """A batch, changed at random: mirrored and turned, some bent, lit and hazed differently.

    Args:
        pixels: (n, bands, h, h) normalised values, on the CPU or a GPU.
        labels: (n, h, h) uint8 class codes, 255 ignored.
        generator: of the random numbers, on the CPU, so that a seed means the same on every device (the noise
            of single pixels excepted, which is drawn where the pixels are).
        chosen: how strongly.

    Returns:
        New pixels and labels of the same shapes.

    """
    n = pixels.shape[0]
    turns = torch.randint(0, 4, (n,), generator=generator) * int(chosen.is_quarter_turned)
    mirrored = (torch.randint(0, 2, (n,), generator=generator) == 1) & chosen.is_mirrored
    pixels, labels = turned(pixels, labels, turns, mirrored)
    is_bent = torch.rand(n, generator=generator) < chosen.affine_share
    angle = _uniform(n, generator) * chosen.turn_degrees
    scale = chosen.scale ** _uniform(n, generator)
    shear = _uniform(n, generator) * chosen.shear_degrees
    bent = torch.nonzero(is_bent & ((angle != 0) | (scale != 1) | (shear != 0))).flatten()
    if len(bent):
        place = bent.to(pixels.device)
        moved = affine(pixels[place], labels[place], angle[bent], scale[bent], shear[bent])
        pixels, labels = pixels.index_copy(0, place, moved[0]), labels.index_copy(0, place, moved[1])
    return _relit(pixels, generator, chosen), labels


def turned(pixels: Tensor, labels: Tensor, turns: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
    """Windows turned by quarters and then mirrored left to right; no value is resampled.

    Args:
        pixels: (n, bands, h, h).
        labels: (n, h, h).
        turns: (n,) quarter turns anticlockwise, 0 to 3.
        mirrored: (n,) whether a window is mirrored.

    """
    new_pixels, new_labels = torch.empty_like(pixels), torch.empty_like(labels)
    for turn in range(4):
        for is_mirrored in (False, True):
            place = torch.nonzero((turns == turn) & (mirrored == is_mirrored)).flatten().to(pixels.device)
            if not len(place):
                continue
            for old, new in ((pixels, new_pixels), (labels, new_labels)):
                part = torch.rot90(old[place], turn, (-2, -1))
                new[place] = part.flip(-1) if is_mirrored else part
    return new_pixels, new_labels


def affine(
    pixels: Tensor, labels: Tensor, angle: Tensor, scale: Tensor, shear: Tensor
) -> tuple[Tensor, Tensor]:
    """Windows turned, scaled and sheared about their centre, as one resampling.

    Pixels by bilinear interpolation, mirrored beyond the window; labels by the nearest, ignored beyond it.

    Args:
        pixels: (n, bands, h, h).
        labels: (n, h, h) uint8 class codes, 255 ignored.
        angle: (n,) degrees, anticlockwise.
        scale: (n,) factor by which things grow.
        shear: (n,) degrees by which vertical lines lean.

    """
    cos, sin = torch.cos(torch.deg2rad(angle)), torch.sin(torch.deg2rad(angle))
    lean, zero = torch.tan(torch.deg2rad(shear)), torch.zeros_like(angle)
    # from places in the result back to places in the source, rows downwards
    theta = torch.stack(
        (
            torch.stack((cos - lean * sin, -sin - lean * cos, zero), 1) / scale[:, None],
            torch.stack((sin, cos, zero), 1) / scale[:, None],
        ),
        1,
    )
    grid = F.affine_grid(theta.to(pixels.device), [len(angle), 1, *pixels.shape[2:]], align_corners=False)
    warped = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    # beyond the window nothing is labelled: stored as distance from 255, so that padding with 0 means ignored
    shifted = (IGNORED - labels.float())[:, None]
    moved = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return warped, (IGNORED - moved[:, 0]).round().to(torch.uint8)


def _relit(pixels: Tensor, generator: torch.Generator, chosen: Augmentation) -> Tensor:
    """Another sun, another season, another sensor's calibration, haze, noise; in normalised units."""
    n, bands = pixels.shape[:2]
    normal = torch.randn((2, n, bands), generator=generator)
    shared = torch.randn((2, n, 1), generator=generator)
    gain = 1 + shared[0] * chosen.gain + normal[0] * chosen.band_gain
    offset = shared[1] * chosen.offset + normal[1] * chosen.band_offset
    is_hazy = (torch.rand((n, 1), generator=generator) < chosen.haze_share).float()
    haze = is_hazy * torch.rand((n, 1), generator=generator) * chosen.haze_most
    # haze lies over the contrast like a veil that is brighter than most ground
    gain, offset = gain * (1 - haze), offset * (1 - haze) + haze
    device = pixels.device
    lit = pixels * gain.to(device)[:, :, None, None] + offset.to(device)[:, :, None, None]
    if not chosen.noise:
        return lit
    own = generator
    if device != generator.device:
        # millions of numbers a step: drawn on a CPU they would keep a GPU waiting
        own = torch.Generator(device).manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    return lit + torch.randn(pixels.shape, generator=own, device=device) * chosen.noise


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand(n, generator=generator) * 2 - 1
