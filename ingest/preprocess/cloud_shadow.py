"""Shadows of clouds: where the sun's geometry throws them, among ground that is darker than it should be.

The way of Fmask (Zhu and Woodcock 2012, doi:10.1016/j.rse.2011.10.028): hollows of the near infrared are
shadow candidates, and a cloud's shape is moved along the sun's azimuth until it lies on them best. A place
counts only as far as it is darker than its own surroundings, because a hillside in the shade takes any shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import reconstruction

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]

LOWEST_M, HIGHEST_M = 100.0, 6000.0
SHARE_DARK = 0.4
"""Share of a cloud's thrown shape that must be dark at least for it to count as its shadow."""

PLAIN_CONTRAST = 0.4
HEIGHT_RATIO = 2.5
"""Clouds of one scene float within this factor of the height at which the plain ones do."""

SHADOW_RIM_M = 12.0

_LARGEST_SAMPLE = 5000
_FEWEST_SEEN = 0.15
_GREEN, _NIR = 1, 3


@dataclass(frozen=True)
class Throw:
    """Where one object's shadow lies.

    Attributes:
        d_row, d_col: from the object to its shadow, pixels.
        height_m: height of the object above the ground.
        share: share of the thrown shape, outside all objects and inside the image, that is dark.
        around: share of the ground around it that is dark.

    """

    d_row: int
    d_col: int
    height_m: float
    share: float
    around: float

    @property
    def contrast(self) -> float:
        """How much more of the thrown shape than of its surroundings is dark, -1..1."""
        return self.share - self.around

    @property
    def is_dark(self) -> bool:
        """Whether the place is dark enough to be a shadow, and darker than what is around it."""
        return self.share >= SHARE_DARK and self.contrast > 0


def dark_ground(image: FloatArray, valid: BoolArray, reference: FloatArray | None) -> tuple[BoolArray, float]:
    """Hollows of the near infrared: darker than all ways out of them.

    Args:
        image: reflectance, blue, green, red, near infrared (4, height, width), any value without data.
        valid: pixels with data.
        reference: the same bands of a clear date, NaN without data: what was as dark then is no shadow.

    Returns:
        The candidates for shadow, and how much darker they are at least (reflectance).

    """
    nir, green = image[_NIR], image[_GREEN]
    if not valid.any():
        return np.zeros(nir.shape, bool), 0.0
    usual = float(np.median(nir[valid]))
    # Ground without data, and the border, count as usual ground: a shadow at the edge is a hollow too.
    level = np.where(valid, np.minimum(nir, np.float32(usual)), np.float32(usual)).astype(np.float32)
    padded = np.pad(level, 1, constant_values=np.float32(usual))
    seed = padded.copy()
    seed[1:-1, 1:-1] = usual
    filled = reconstruction(  # type: ignore[no-untyped-call]  # untyped in scikit-image
        seed, padded, method="erosion"
    )[1:-1, 1:-1]
    least = max(0.03, 0.22 * usual)
    # Water absorbs the near infrared far more than green; shade takes about the same share of both.
    dark = valid & (filled - level > least) & (nir > 0.6 * green)
    if reference is not None:
        before = reference[_NIR]
        known = valid & np.isfinite(before) & (before > 0.01)
        if np.count_nonzero(known) >= 64:
            ratio = np.where(known, nir / np.where(known, before, np.float32(1)), np.float32(1))
            dark &= ~known | (ratio < 0.82 * float(np.median(ratio[known])))
    return np.asarray(dark, dtype=np.bool_), least


def direction(sun_azimuth_deg: float, sun_elevation_deg: float, resolution_m: float) -> tuple[float, float]:
    """Rows and columns that a shadow lies beside its cloud, per metre of the cloud's height."""
    reach = 1.0 / (math.tan(math.radians(sun_elevation_deg)) * resolution_m)
    azimuth = math.radians(sun_azimuth_deg)
    return math.cos(azimuth) * reach, -math.sin(azimuth) * reach


def throws(
    labels: npt.NDArray[np.int32],
    count: int,
    dark: BoolArray,
    judgeable: BoolArray,
    per_metre: tuple[float, float],
    between_m: tuple[float, float] = (LOWEST_M, HIGHEST_M),
) -> list[Throw | None]:
    """Find the best place of each object's shadow.

    Args:
        labels: objects, numbered from 1 (height, width).
        count: how many there are.
        dark: candidates for shadow.
        judgeable: ground on which a shadow could be seen: with data, and under no object.
        per_metre: see ``direction``.
        between_m: lowest and highest height to try.

    Returns:
        One for each object; None where no shadow can be judged, because it falls outside the image or onto
        other objects at every height.

    """
    step_m = 1.0 / max(math.hypot(*per_metre), 1e-9)
    lowest = max(LOWEST_M, between_m[0])
    highest = min(between_m[1], math.hypot(*labels.shape) * step_m)
    # A pixel more at low heights, 3 % more at great ones.
    few = [lowest]
    while few[-1] < highest:
        few.append(few[-1] + max(step_m, 0.03 * few[-1]))
    heights = np.array(few)
    found: list[Throw | None] = []
    for number, box in enumerate(ndimage.find_objects(labels, count), 1):
        body = labels[box] == number
        wide = max(3, round(0.15 * math.sqrt(np.count_nonzero(body))))
        body = np.pad(body, wide + 1)
        away = ndimage.distance_transform_edt(~body)
        corner = (box[0].start - wide - 1, box[1].start - wide - 1)
        # The nearest pixel or two are penumbra, neither shadow nor ground.
        ring = (away > 1.5) & (away <= wide + 0.5)
        places = _sampled(body, corner), _sampled(ring, corner)
        best = _best(*places, heights, dark, judgeable, per_metre)
        if best is not None:
            reach = max(step_m, 0.03 * best.height_m)
            fine = best.height_m + np.arange(-reach, reach + step_m / 2, step_m)
            fine = np.clip(fine, lowest, max(highest, lowest))
            best = _best(*places, fine, dark, judgeable, per_metre) or best
        found.append(best)
    return found


def _sampled(mask: BoolArray, corner: tuple[int, int]) -> Places:
    rows, columns = np.nonzero(mask)
    if len(rows) > _LARGEST_SAMPLE:
        keep = np.linspace(0, len(rows) - 1, _LARGEST_SAMPLE).astype(np.intp)
        rows, columns = rows[keep], columns[keep]
    return rows + corner[0], columns + corner[1]


def _best(
    body: Places,
    ring: Places,
    heights: npt.NDArray[np.float64],
    dark: BoolArray,
    judgeable: BoolArray,
    per_metre: tuple[float, float],
) -> Throw | None:
    best: Throw | None = None
    best_score = -math.inf
    for metres in heights:
        shift = (round(per_metre[0] * metres), round(per_metre[1] * metres))
        share, seen = _dark_share(body, shift, dark, judgeable)
        if seen < _FEWEST_SEEN:
            continue
        around, _ = _dark_share(ring, shift, dark, judgeable)
        # Of equally good places the one that shows more of the shadow is the better one.
        score = (share - around) * seen**0.25
        if score > best_score:
            best_score, best = score, Throw(shift[0], shift[1], float(metres), share, around)
    return best


def _dark_share(
    places: Places, shift: tuple[int, int], dark: BoolArray, judgeable: BoolArray
) -> tuple[float, float]:
    """Share of moved places that is dark, of those that can be judged; and the share that can."""
    row, column = places[0] + shift[0], places[1] + shift[1]
    inside = (row >= 0) & (row < dark.shape[0]) & (column >= 0) & (column < dark.shape[1])
    row, column = row[inside], column[inside]
    judged = judgeable[row, column]
    seen = int(np.count_nonzero(judged))
    if seen < 4:
        return 0.0, 0.0
    return float(np.count_nonzero(dark[row, column] & judged) / seen), seen / len(places[0])


def thrown(mask: BoolArray, d_row: int, d_col: int) -> BoolArray:
    """A mask moved by rows and columns; what leaves the image is lost."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    if abs(d_row) >= height or abs(d_col) >= width:
        return moved
    target = (
        slice(max(0, d_row), min(height, height + d_row)),
        slice(max(0, d_col), min(width, width + d_col)),
    )
    source = (
        slice(max(0, -d_row), min(height, height - d_row)),
        slice(max(0, -d_col), min(width, width - d_col)),
    )
    moved[target] = mask[source]
    return moved


def common_height(
    places: list[Throw | None], is_soft: BoolArray, sizes: npt.NDArray[np.intp]
) -> float | None:
    """Height, weighted by area, of the objects whose shadows are plain; None without any.

    Args:
        places: of each object, in order.
        is_soft: whether its edges could be a cloud's; index 0 is no object.
        sizes: of each object in pixels; likewise.

    """
    plain = [
        (place.height_m, int(sizes[number]))
        for number, place in enumerate(places, 1)
        if place is not None and place.is_dark and place.contrast > PLAIN_CONTRAST and is_soft[number]
    ]
    if not plain:
        return None
    heights, weights = np.array(sorted(plain), float).T
    total = np.cumsum(weights)
    return float(heights[np.searchsorted(total, total[-1] / 2)])


def dark_part(shadow: BoolArray, dark: BoolArray, cell_m: float) -> BoolArray:
    """The thrown shapes as far as they are dark, closed over what is bright in the shade.

    Args:
        shadow: the thrown shapes (height, width).
        dark: candidates for shadow; what lies within a rim of the shapes is taken in too.
        cell_m: pixel size, m.

    """
    if not shadow.any():
        return shadow
    near = within(shadow, max(1.5, SHADOW_RIM_M / cell_m))
    found = within(dark & near, 2.5) & shadow
    return np.asarray(ndimage.binary_fill_holes(found | (dark & near)), dtype=np.bool_)


def within(mask: BoolArray, radius: float) -> BoolArray:
    """Pixels at most so many pixels away from a mask that is not empty."""
    if not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(~mask) <= radius, dtype=np.bool_)
