"""Sub-pixel registration by tie points: how far one image lies beside another of the same ground.

Windows spread over the scene are compared by phase correlation of their gradients (Kuglin and Hines 1975;
peak refined by upsampling, Guizar-Sicairos, Thurman and Fienup 2008, doi:10.1364/OL.33.000156); tie points
that do not agree with the others are rejected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.float64]
Reader = Callable[[int, int, int, int], FloatArray]

SEARCH_PX = 64
"""Largest shift that is looked for, pixels; a larger one is refused."""

GRID = 12
WINDOW_PX = 256
SMALLEST_WINDOW_PX = 32
SMALLEST_SCENE_PX = 32
FEWEST_TIE_POINTS = 8
LARGEST_RMSE_PX = 0.8
SMALLEST_SHARE = 0.5
"""Share of the usable windows that must agree: with fewer, another shift could have as many."""

AGREE_PX = 1.5
_UPSAMPLING = 20
_LEAST_CORRELATION = 0.25
_LEAST_SEEN = 0.6
_LEAST_PEAK = 6.0
_REFINEMENTS = 2

_ADVICE = (
    f"shifts up to {SEARCH_PX} pixels are looked for; name another --reference, a better elevation model "
    "(--dem), "
    "or say --no-register"
)


@dataclass(frozen=True)
class Registration:
    """A shift: the moving image at (row + d_row, col + d_col) shows what the fixed one shows at (row, col).

    Attributes:
        d_row, d_col: pixels.
        tie_points: how many agree.
        tried: windows that could be compared.
        rmse_px: root mean square distance of the agreeing tie points from the shift.

    """

    d_row: float
    d_col: float
    tie_points: int
    tried: int
    rmse_px: float

    def as_json(self) -> dict[str, Any]:
        """Figures for the catalogue."""
        return {
            "d_row_px": self.d_row,
            "d_col_px": self.d_col,
            "tie_points": self.tie_points,
            "windows": self.tried,
            "rmse_px": self.rmse_px,
        }


def register(read_moving: Reader, read_fixed: Reader, shape: tuple[int, int]) -> Registration:
    """Measure the shift between two images on one pixel grid, from windows of both.

    Args:
        read_moving: called with row, column, height and width, always inside the grid; brightness
            (height, width), NaN without data.
        read_fixed: the same for the image that stays.
        shape: height and width of the grid, pixels.

    Raises:
        UsageError: the images do not agree on one shift, lie farther apart than SEARCH_PX, or too few windows
            can be compared.

    """
    if min(shape) < SMALLEST_SCENE_PX:
        raise UsageError(
            f"an image of {shape[0]} x {shape[1]} pixels is too small to find tie points in, at least "
            f"{SMALLEST_SCENE_PX} x {SMALLEST_SCENE_PX} are needed: leave --reference out or say "
            "--no-register"
        )
    coarse = _coarse(read_moving, read_fixed, shape)
    overlap = min(length - abs(shift) for length, shift in zip(shape, coarse, strict=True))
    size = WINDOW_PX
    while size > SMALLEST_WINDOW_PX and overlap < 4 * size:
        size //= 2
    size = min(size, overlap // 2)
    points = []
    for row, col in _places(shape, coarse, size):
        fixed = _edges(_window(read_fixed, row, col, size))
        moving = _edges(_window(read_moving, row + coarse[0], col + coarse[1], size))
        if fixed is None or moving is None:
            continue
        shift = _tie_point(moving, fixed)
        if shift is not None:
            points.append((shift[0] + coarse[0], shift[1] + coarse[1]))
    return _agreed(np.array(points, float).reshape(-1, 2))


def _places(shape: tuple[int, int], coarse: tuple[int, int], size: int) -> list[tuple[int, int]]:
    """Upper left corners of windows in the fixed image, evenly spread where the moving one lies over it."""
    # Small scenes need closer windows to come by enough of them.
    per_window = 4 if size <= SMALLEST_WINDOW_PX else 2
    axes = []
    for length, shift in zip(shape, coarse, strict=True):
        first, last = max(0, -shift), length - max(0, shift) - size
        axes.append(
            np.unique(
                np.linspace(first, last, min(GRID, per_window * (last - first) // size + 1)).astype(int)
            )
        )
    return [(int(row), int(col)) for row in axes[0] for col in axes[1]]


def _window(read: Reader, row: int, col: int, size: int) -> FloatArray:
    """A square window, of the size that was asked for."""
    window = read(row, col, size, size)
    if window.shape != (size, size):
        raise ValueError(f"asked for a window of {size} x {size} pixels, got {window.shape}")
    return window


def _edges(image: FloatArray) -> Image | None:
    """Gradient magnitude with mean 0 and deviation 1; None where there is too little to see.

    The magnitude is the same whether light changes to dark or dark to light, as it does between seasons.
    """
    seen = np.isfinite(image)
    if np.count_nonzero(seen) < _LEAST_SEEN * image.size:
        return None
    filled = np.where(seen, image, np.median(image[seen]))
    smooth = ndimage.gaussian_filter(filled.astype(np.float64), 1.0)
    edges = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))
    known = ~ndimage.binary_dilation(~seen, iterations=3)
    if np.count_nonzero(known) < _LEAST_SEEN / 2 * image.size:
        return None
    # A few hard edges (roofs, cloud) must not outweigh the ground.
    edges = np.minimum(edges, np.percentile(edges[known], 98))
    mean, spread = edges[known].mean(), edges[known].std()
    if not spread > 1e-9:
        return None
    # Both images may lack data in the same place, whose outline must not count as something both show.
    return np.asarray(np.where(known, (edges - mean) / spread, 0.0))


def _faded(edges: Image, shift: tuple[float, float] = (0.0, 0.0)) -> Image:
    """Edges under a window (Hann's) that falls to 0 at the border, its middle ``shift`` off the image's."""
    rows, columns = (
        np.sin(np.pi * np.clip((np.arange(length) + 1.0 - off) / (length + 1.0), 0.0, 1.0)) ** 2
        for length, off in zip(edges.shape, shift, strict=True)
    )
    return np.asarray(edges * rows[:, None] * columns)


def _coarse(read_moving: Reader, read_fixed: Reader, shape: tuple[int, int]) -> tuple[int, int]:
    """Whole pixels that most of a few large windows agree on; 0 where none can be compared."""
    size = min(4 * WINDOW_PX, *shape)
    rows, columns = (np.unique(np.linspace(0, length - size, 3).astype(int)) for length in shape)
    found = []
    for row, col in ((int(row), int(col)) for row in rows for col in columns):
        moving = _edges(_window(read_moving, row, col, size))
        fixed = _edges(_window(read_fixed, row, col, size))
        shift = None if moving is None or fixed is None else _peak(_faded(moving), _faded(fixed), SEARCH_PX)
        if shift is not None:
            found.append(shift)
    if not found:
        return 0, 0
    points = np.array(found, float)
    near = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) <= 2 * AGREE_PX
    best = points[near[int(near.sum(axis=1).argmax())]]
    row_shift, col_shift = np.rint(np.median(best, axis=0))
    return int(row_shift), int(col_shift)


def _peak(moving: Image, fixed: Image, search: int) -> tuple[int, int] | None:
    """Shift of the highest peak of the cross correlation within the search range, if it stands out."""
    spectrum = np.fft.rfft2(moving) * np.conj(np.fft.rfft2(fixed))
    # Between plain and phase correlation: the square root keeps noise from counting like signal.
    spectrum /= np.sqrt(np.abs(spectrum)) + 1e-9
    surface = np.fft.irfft2(spectrum, moving.shape)
    reach = min(search, moving.shape[0] // 2 - 1, moving.shape[1] // 2 - 1)
    places = np.r_[0 : reach + 1, -reach:0]
    part = surface[np.ix_(places, places)]
    if part.max() < _LEAST_PEAK * surface.std():
        return None
    row, col = np.unravel_index(int(part.argmax()), part.shape)
    return int(places[row]), int(places[col])


def _tie_point(moving: Image, fixed: Image) -> tuple[float, float] | None:
    """Shift of one window, or None where the images do not show the same."""
    first = _peak(_faded(moving), _faded(fixed), len(fixed) // 4)
    if first is None:
        return None
    shift = float(first[0]), float(first[1])
    for _ in range(_REFINEMENTS):
        # Windows that both lie in the middle pull the peak towards 0; the moving one goes along.
        found, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]  # untyped in scikit-image
            _faded(moving, shift), _faded(fixed), upsample_factor=_UPSAMPLING, normalization=None
        )
        shift = float(found[0]), float(found[1])
        if math.dist(shift, first) > 2.0:
            return None
    return shift if _is_alike(moving, fixed, (round(shift[0]), round(shift[1]))) else None


def _is_alike(moving: Image, fixed: Image, shift: tuple[int, int]) -> bool:
    """Whether the two correlate once the shift is taken out."""
    height, width = fixed.shape
    down, right = shift
    one = moving[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    other = fixed[max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)]
    if min(one.std(), other.std()) < 1e-9:
        return False
    return bool(np.corrcoef(one.ravel(), other.ravel())[0, 1] >= _LEAST_CORRELATION)


def _agreed(points: Image) -> Registration:
    """The shift that most tie points agree on: the densest cluster, then median and deviation (MAD)."""
    tried = len(points)
    if tried < FEWEST_TIE_POINTS:
        raise UsageError(
            f"only {tried} places of this scene can be found again in the reference, at least "
            f"{FEWEST_TIE_POINTS} are needed: {_ADVICE}"
        )
    near = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) <= AGREE_PX
    inside = near[int(near.sum(axis=1).argmax())]
    for _ in range(5):
        middle = np.median(points[inside], axis=0)
        off = np.hypot(*(points - middle).T)
        spread = 1.4826 * float(np.median(off[inside]))
        inside = off <= min(AGREE_PX, max(0.3, 3.0 * spread))
    agreeing = points[inside]
    shift = agreeing.mean(axis=0)
    rmse = float(np.sqrt(((agreeing - shift) ** 2).sum(axis=1).mean()))
    said = f"{len(agreeing)} of {tried} tie points agree, with an rmse of {rmse:.2f} pixels"
    if len(agreeing) < max(FEWEST_TIE_POINTS, SMALLEST_SHARE * tried):
        raise UsageError(
            f"this scene does not fit the reference: only {said} (needed: {FEWEST_TIE_POINTS} and "
            f"{SMALLEST_SHARE:.0%}): {_ADVICE}"
        )
    if rmse > LARGEST_RMSE_PX:
        raise UsageError(
            f"this scene does not fit the reference by a shift: {said}, more than {LARGEST_RMSE_PX}: "
            f"{_ADVICE}"
        )
    if max(abs(shift)) > SEARCH_PX:
        raise UsageError(
            f"this scene lies {shift[0]:+.1f} rows and {shift[1]:+.1f} columns beside the reference: its "
            "position "
            f"is wrong rather than inexact: {_ADVICE}"
        )
    return Registration(float(shift[0]), float(shift[1]), len(agreeing), tried, rmse)
