"""Mosaic: images on one grid are balanced in colour over their overlaps and blended with feathered edges.

Each image gets a gain and an offset by band. For each pair the line between both images' values is fitted in
their overlap, robustly; logarithms of gains, then offsets, are adjusted over all pairs at once by least
squares, held weakly to identity, so that no image drifts and the mosaic keeps the mean brightness. Sources:
Brown and Lowe (2007), Automatic Panoramic Image Stitching using Invariant Features (gains over all overlaps
with a prior at 1); Szeliski (2006), Image Alignment and Stitching: A Tutorial (feathering by the distance to
the edge).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FEWEST_PX = 50
"""An overlap of fewer pixels than this does not say how two images relate."""

_MOST_PX = 200_000
_ROUNDS = 10
_OUTLIER_SIGMAS = 3.0
_LEAST_CORRELATION = 0.5
"""Below it the overlap has too little contrast for a gain: only its brightness is compared."""

_TOWARDS_IDENTITY = 1e-4
_LEAST_WEIGHT = 0.02
"""Of a small overlap beside the largest one: it still outweighs the pull to identity."""

_ANCHOR = 1e3


@dataclass(frozen=True)
class Overlap:
    """Two images in their overlap.

    Attributes:
        first, second: places of the images.
        compared_px: pixels with data in both.
        difference_before, difference_after: median over bands and pixels of the absolute difference, in the
            images' unit.

    """

    first: int
    second: int
    compared_px: int
    difference_before: float
    difference_after: float


@dataclass(frozen=True)
class Balance:
    """Gains and offsets that make images alike: balanced = gain * value + offset.

    Attributes:
        gains, offsets: (images, bands).
        overlaps: what was compared.
        notes: which images could not be compared.

    """

    gains: Doubles
    offsets: Doubles
    overlaps: tuple[Overlap, ...]
    notes: tuple[str, ...]

    def apply(self, place: int, strip: FloatArray) -> FloatArray:
        """Balance a strip (bands, height, width) of the image at a place; NaN stays."""
        if strip.ndim != 3 or len(strip) != self.gains.shape[1]:
            raise ValueError(f"a balance of {self.gains.shape[1]} bands does not fit {strip.shape}")
        gain, offset = self.gains[place, :, None, None], self.offsets[place, :, None, None]
        return np.asarray(strip * gain + offset, np.float32)

    def as_json(self) -> dict[str, Any]:
        """Gains, offsets and figures for the catalogue."""
        return {
            "gains": self.gains.tolist(),
            "offsets": self.offsets.tolist(),
            "overlaps": [vars(overlap).copy() for overlap in self.overlaps],
            "notes": list(self.notes),
        }


def balance(
    images: Sequence[FloatArray], valids: Sequence[BoolArray], *, reference: int | None = None
) -> Balance:
    """Find gains and offsets that make images alike where they overlap.

    Args:
        images: values (bands, height, width) on one grid, NaN without data.
        valids: pixels to compare (height, width), clouds left out; one for each image.
        reference: place of the image that stays as it is; by default all move a little, and the mean
            brightness stays.

    Returns:
        The balance. Images that overlap with none keep their values, and a note says so.

    Raises:
        UsageError: the images do not lie on one grid with the same bands, or there is no such reference.

    """
    _check(images, valids)
    count, bands = len(images), len(images[0])
    if reference is not None and not 0 <= reference < count:
        raise UsageError(f"there is no image {reference}; there are {count}, counted from 0")
    observed = [valid & np.isfinite(image).all(axis=0) for image, valid in zip(images, valids, strict=True)]
    samples: dict[tuple[int, int], tuple[int, Doubles, Doubles]] = {}
    for one, other in combinations(range(count), 2):
        places = np.flatnonzero(observed[one] & observed[other])
        if len(places) >= FEWEST_PX:
            chosen = places[:: -(-len(places) // _MOST_PX)]
            samples[one, other] = (len(places), _at(images[one], chosen), _at(images[other], chosen))
    gains, offsets = np.ones((count, bands)), np.zeros((count, bands))
    for band in range(bands):
        lines = {pair: _relation(one[band], other[band]) for pair, (_, one, other) in samples.items()}
        sizes = {pair: size for pair, (size, _, _) in samples.items()}
        gains[:, band], offsets[:, band] = _adjust(lines, sizes, count, reference)
    overlaps = tuple(
        Overlap(
            one,
            other,
            size,
            float(np.median(np.abs(left - right))),
            float(
                np.median(
                    np.abs(
                        left * gains[one, :, None]
                        + offsets[one, :, None]
                        - right * gains[other, :, None]
                        - offsets[other, :, None]
                    )
                )
            ),
        )
        for (one, other), (size, left, right) in samples.items()
    )
    return Balance(gains, offsets, overlaps, _notes(samples, count))


def feather_weights(valid: BoolArray, *, ramp_px: float | None = None) -> FloatArray:
    """Weights that fall to nothing at the edge of an image's data.

    Args:
        valid: pixels with data (height, width) of the whole image; beyond the array there are none.
        ramp_px: width of the edge over which weights rise to 1; by default they rise to the middle.

    Returns:
        Distance to the nearest pixel without data, in pixels, or its share of the ramp (height, width); 0
        without data, more than 0 with.

    Raises:
        UsageError: the ramp is not above 0.
        ValueError: the mask has not two dimensions.

    """
    if valid.ndim != 2:
        raise ValueError(f"a mask has (height, width), not {valid.shape}")
    if ramp_px is not None and not ramp_px > 0:
        raise UsageError(f"a ramp of {ramp_px:g} pixels cannot be; it must be above 0")
    distance = distance_transform_edt(np.pad(valid.astype(bool), 1))[1:-1, 1:-1]
    if ramp_px is not None:
        distance = np.minimum(distance / ramp_px, 1.0)
    return np.asarray(distance, np.float32)


def blend(images: Sequence[FloatArray], weights: Sequence[FloatArray]) -> FloatArray:
    """Weighted mean of images.

    Args:
        images: values (bands, height, width) on one grid, NaN without data.
        weights: (height, width), 0 or more; one for each image.

    Returns:
        The mosaic (bands, height, width), NaN where no image has data with a weight above 0.

    Raises:
        UsageError: the images do not lie on one grid with the same bands.

    """
    _check(images, weights)
    total = np.zeros(images[0].shape)
    share = np.zeros(images[0].shape)
    for image, weight in zip(images, weights, strict=True):
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise ValueError("weights are finite and not below 0")
        own = np.where(np.isfinite(image), weight.astype(np.float64), 0.0)
        total += np.where(own > 0, image, 0.0) * own
        share += own
    with np.errstate(invalid="ignore"):
        return np.where(share > 0, total / np.where(share > 0, share, 1.0), np.nan).astype(np.float32)


def _check(images: Sequence[FloatArray], planes: Sequence[npt.NDArray[Any]]) -> None:
    if not images:
        raise UsageError("a mosaic needs at least one image")
    if len(planes) != len(images):
        raise UsageError(f"there are {len(images)} images and {len(planes)} masks or weights; each needs one")
    first = images[0].shape
    for place, (image, plane) in enumerate(zip(images, planes, strict=True)):
        if image.ndim != 3 or image.shape != first:
            raise UsageError(
                f"image {place} has the shape {image.shape}, the first {first}: lay all on one grid with the "
                "same bands"
            )
        if plane.shape != first[1:]:
            raise UsageError(f"the mask of image {place} has the shape {plane.shape}, not {first[1:]}")


def _at(image: FloatArray, places: npt.NDArray[np.intp]) -> Doubles:
    return image.reshape(len(image), -1)[:, places].astype(np.float64)


@dataclass(frozen=True)
class _Line:
    """other = slope * one + ..., through both means; slope is None where contrast does not tell."""

    slope: float | None
    mean_one: float
    mean_other: float


def _relation(one: Doubles, other: Doubles) -> _Line:
    """The line between two images' values that most pixels follow.

    It starts from the median slope between pixels half the range apart, which a quarter of changed pixels
    does not move, and goes on without outliers as the ratio of standard deviations: both images are noisy,
    so that ordinary regression would pull each slope towards 0.
    """
    slope = _first_slope(one, other)
    intercept = float(np.median(other - slope * one))
    for _ in range(_ROUNDS):
        left = other - slope * one - intercept
        sigma = 1.4826 * float(np.median(np.abs(left)))
        scale = max(float(np.abs(one).max()), float(np.abs(other).max()), 1e-12)
        kept = np.abs(left) <= _OUTLIER_SIGMAS * sigma + 1e-7 * scale
        found = _slope_of(one[kept], other[kept])
        mean_one, mean_other = float(one[kept].mean()), float(other[kept].mean())
        if found is None:
            return _Line(None, mean_one, mean_other)
        is_settled = abs(found - slope) < 1e-6 * found
        slope, intercept = found, mean_other - found * mean_one
        if is_settled:
            break
    return _Line(slope, mean_one, mean_other)


def _first_slope(one: Doubles, other: Doubles) -> float:
    order = np.argsort(one, kind="stable")
    half = len(order) // 2
    low, high = order[:half], order[-half:]
    apart = one[high] - one[low]
    tells = apart > 1e-9 * max(float(np.abs(one).max()), 1e-12)
    if not tells.any():
        return 1.0
    slope = float(np.median((other[high] - other[low])[tells] / apart[tells]))
    return slope if slope > 0 else 1.0


def _slope_of(one: Doubles, other: Doubles) -> float | None:
    spread_one, spread_other = float(one.std()), float(other.std())
    scale = max(float(np.abs(one).max()), float(np.abs(other).max()), 1e-12)
    if min(spread_one, spread_other) <= 1e-6 * scale:
        return None
    correlation = float(((one - one.mean()) * (other - other.mean())).mean()) / (spread_one * spread_other)
    return spread_other / spread_one if correlation >= _LEAST_CORRELATION else None


def _adjust(
    lines: dict[tuple[int, int], _Line], sizes: dict[tuple[int, int], int], count: int, reference: int | None
) -> tuple[Doubles, Doubles]:
    """Gains and offsets of one band (images,): first logarithms of gains, then offsets that go with them.

    gain_one * one + offset_one = gain_other * other + offset_other with other = slope * one + ... asks for
    log gain_one - log gain_other = log slope.
    """
    most = max(sizes.values(), default=1)
    weights = {pair: max(size / most, _LEAST_WEIGHT) for pair, size in sizes.items()}
    told = {pair: line.slope for pair, line in lines.items() if line.slope is not None}
    logarithms = _solve({pair: np.log(slope) for pair, slope in told.items()}, weights, count, reference)
    gains = np.exp(logarithms)
    differences = {
        (one, other): gains[other] * line.mean_other - gains[one] * line.mean_one
        for (one, other), line in lines.items()
    }
    return gains, _solve(differences, weights, count, reference)


def _solve(
    differences: dict[tuple[int, int], float],
    weights: dict[tuple[int, int], float],
    count: int,
    reference: int | None,
) -> Doubles:
    """Values (images,) with the wanted differences one - other, by least squares held weakly to 0."""
    normal = np.eye(count) * _TOWARDS_IDENTITY
    if reference is not None:
        normal[reference, reference] += _ANCHOR
    right = np.zeros(count)
    for (one, other), wanted in differences.items():
        weight = weights[one, other]
        normal[[one, other], [one, other]] += weight
        normal[[one, other], [other, one]] -= weight
        right[one] += weight * wanted
        right[other] -= weight * wanted
    return np.asarray(np.linalg.solve(normal, right), np.float64)


def _notes(pairs: Sequence[tuple[int, int]] | dict[tuple[int, int], Any], count: int) -> tuple[str, ...]:
    """What was not compared: images, or groups of them, without a common overlap."""
    listed = np.array(list(pairs), int).reshape(-1, 2)
    links = coo_matrix((np.ones(len(listed)), (listed[:, 0], listed[:, 1])), (count, count))
    groups, labels = connected_components(links, directed=False)
    if count < 2 or groups == 1:
        return ()
    named = [" and ".join(str(place) for place in np.flatnonzero(labels == group)) for group in range(groups)]
    return (
        f"images do not all overlap by {FEWEST_PX} pixels: {'; '.join(named)} were balanced apart, and may "
        "differ in brightness",
    )
