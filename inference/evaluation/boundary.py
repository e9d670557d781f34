"""Boundary F1: whether the limits between classes lie where the reference draws them.

Areas can be right while outlines are not. Per class, the boundary of the prediction is held against the
boundary of the reference within a tolerance (Csurka et al. 2013, What is a good evaluation measure for
semantic segmentation?, BMVC, section 3). Two things differ from there: pixels are summed over all windows
before the ratio is taken, so that figures do not depend on how a scene is cut, and the tolerance is a fixed
number of pixels, not a share of a picture's diagonal, because a scene has no natural size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.segmentation_model import IGNORED
from inference.training.metrics import BACKGROUND, or_null

DEFAULT_TOLERANCE_PX = 2.0


@dataclass(frozen=True)
class BoundaryCounts:
    """Boundary pixels by class, all arrays (classes,); counts of parts of a test set add up.

    Attributes:
        codes: class code of each place.
        tolerance_px: how far a boundary may be off, px.
        reference: boundary pixels of the reference that could be judged.
        reference_met: of those, with a predicted boundary of the class within the tolerance.
        predicted: boundary pixels of the prediction that could be judged.
        predicted_met: of those, with a boundary of the class in the reference within the tolerance.
        left_out: boundary pixels of the reference too near to unlabelled ground to be judged.

    """

    codes: tuple[int, ...]
    tolerance_px: float
    reference: NDArray[np.int64]
    reference_met: NDArray[np.int64]
    predicted: NDArray[np.int64]
    predicted_met: NDArray[np.int64]
    left_out: NDArray[np.int64]

    @classmethod
    def nothing(cls, codes: Sequence[int], tolerance_px: float = DEFAULT_TOLERANCE_PX) -> BoundaryCounts:
        """Counts of no pixel, to add to."""
        return cls(tuple(codes), tolerance_px, *(np.zeros(len(codes), np.int64) for _ in range(5)))

    def __add__(self, other: BoundaryCounts) -> BoundaryCounts:
        if (self.codes, self.tolerance_px) != (other.codes, other.tolerance_px):
            raise ValueError(
                f"boundaries of classes {self.codes} within {self.tolerance_px} px do not add to those of "
                f"{other.codes} within {other.tolerance_px} px"
            )
        counts = [each.name for each in fields(self)[2:]]
        sums = (getattr(self, name) + getattr(other, name) for name in counts)
        return BoundaryCounts(self.codes, self.tolerance_px, *sums)

    @property
    def precision(self) -> NDArray[np.float64]:
        """(classes,) share of the predicted boundary that is one; 0 for a class without any."""
        return self._ratio(self.predicted_met, np.maximum(self.predicted, 1))

    @property
    def recall(self) -> NDArray[np.float64]:
        """(classes,) share of the reference's boundary that was found."""
        return self._ratio(self.reference_met, self.reference)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(classes,) harmonic mean of precision and recall; NaN where the reference shows no boundary."""
        precision, recall = self.precision, self.recall
        both = precision + recall
        return np.divide(2 * precision * recall, both, out=np.zeros_like(both) * both, where=both > 0)

    @property
    def mean_f1(self) -> float:
        """Mean over the classes whose boundary the reference shows; NaN where it shows none."""
        return _mean(self.f1)

    @property
    def mean_f1_without_background(self) -> float:
        """The same without class 0."""
        return _mean(self.f1[np.array(self.codes) != BACKGROUND])

    def _ratio(self, part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
        ratios = np.full(len(self.codes), np.nan)
        np.divide(part, whole, out=ratios, where=self.reference > 0)
        return ratios

    def as_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """For the registry; NaN becomes null.

        Args:
            names: key of each class code, e.g. ``{6: "open_pit"}``.

        """
        figures = {"precision": self.precision, "recall": self.recall, "f1": self.f1}
        counts = {each.name: getattr(self, each.name) for each in fields(self)[2:]}
        by_class = {
            names[code]: {"code": code}
            | {f"{name}_px": int(values[place]) for name, values in counts.items()}
            | {name: or_null(values[place]) for name, values in figures.items()}
            for place, code in enumerate(self.codes)
        }
        return {
            "tolerance_px": self.tolerance_px,
            "mean_f1": or_null(self.mean_f1),
            "mean_f1_without_background": or_null(self.mean_f1_without_background),
            "by_class": by_class,
        }


def halo_px(tolerance_px: float) -> int:
    """Rows and columns around a part of a scene that its boundary counts depend on."""
    return math.floor(tolerance_px) + 1


def boundary_counts(
    reference: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    codes: Sequence[int],
    tolerance_px: float = DEFAULT_TOLERANCE_PX,
    core: tuple[slice, slice] | None = None,
) -> BoundaryCounts:
    """Count the boundary pixels of both maps and those that meet.

    A boundary pixel of a class is a pixel of it beside (left, right, above, below) a labelled pixel of
    another class; beside unlabelled ground nobody knows. Unlabelled ground may hide a boundary, too: boundary
    pixels that have some of it within the tolerance and one pixel are not judged, in either map, whether they
    meet or not. Others may still meet them. What lies outside the maps counts as unlabelled.

    Args:
        reference: (height, width) class codes, 255 where unlabelled.
        predicted: the same of the prediction, 255 where not observed, which counts as unlabelled.
        codes: the classes.
        tolerance_px: largest distance between centres of pixels that meet, px.
        core: rows and columns that are counted, the rest being there for their sake; None: all. Cores that
            cover a scene once and have `halo_px` around them inside it add up to the counts of the scene.

    Raises:
        ValueError: the maps differ in shape, a code that is not among ``codes``.
        UsageError: the tolerance is negative or not finite.

    """
    if reference.shape != predicted.shape or reference.ndim != 2:
        raise ValueError(
            f"reference {reference.shape} and prediction {predicted.shape} are not maps of one size"
        )
    if not (math.isfinite(tolerance_px) and tolerance_px >= 0):
        raise UsageError(f"the boundary tolerance is {tolerance_px} px: give 0 or more")
    halo = halo_px(tolerance_px)
    is_judged = np.pad((reference != IGNORED) & (predicted != IGNORED), halo)
    drawn, called = (_boundary(np.pad(each, halo), is_judged) for each in (reference, predicted))
    counted = np.zeros(is_judged.shape, bool)
    counted[halo:-halo, halo:-halo][core or (slice(None), slice(None))] = True

    disc, margin = _disc(tolerance_px), _disc(tolerance_px + 1)
    tallies: list[NDArray[np.int64]] = []
    for map_, other in ((drawn, called), (called, drawn)):
        places = np.flatnonzero((map_ != IGNORED) & counted)
        kinds = map_.ravel()[places]
        is_open = _is_near(is_judged, places, np.zeros(places.size, bool), margin)
        judged, judged_kinds = places[~is_open], kinds[~is_open]
        is_met = _is_near(other, judged, judged_kinds, disc)
        tallies += [_tally(judged_kinds, codes), _tally(judged_kinds[is_met], codes), _tally(kinds, codes)]
    drawn_judged, drawn_met, drawn_all, called_judged, called_met, _ = tallies
    return BoundaryCounts(
        tuple(codes),
        tolerance_px,
        drawn_judged,
        drawn_met,
        called_judged,
        called_met,
        drawn_all - drawn_judged,
    )


class BoundaryStrips:
    """Boundary counts of a scene whose rows come in strips from the top.

    Keeps only as many rows as later ones can change.

    Args:
        codes: the classes.
        width_px: of the scene.
        tolerance_px: see `boundary_counts`.

    """

    def __init__(
        self, codes: Sequence[int], width_px: int, tolerance_px: float = DEFAULT_TOLERANCE_PX
    ) -> None:
        self._finished = BoundaryCounts.nothing(codes, tolerance_px)
        self._halo = halo_px(tolerance_px)
        self._reference = np.zeros((0, width_px), np.uint8)
        self._predicted = np.zeros((0, width_px), np.uint8)
        self._counted = 0  # rows kept that are counted already and stay for the sake of those below

    def add(self, reference: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> None:
        """Add the next rows, both (rows, width)."""
        self._reference = np.concatenate((self._reference, reference))
        self._predicted = np.concatenate((self._predicted, predicted))
        ready = self._reference.shape[0] - self._halo
        if ready <= self._counted:
            return
        self._finished += self._of_rows(self._counted, ready)
        surplus = max(ready - self._halo, 0)
        self._reference, self._predicted = self._reference[surplus:], self._predicted[surplus:]
        self._counted = ready - surplus

    @property
    def counts(self) -> BoundaryCounts:
        """Of all rows so far, as if the scene ended here."""
        return self._finished + self._of_rows(self._counted, self._reference.shape[0])

    def _of_rows(self, first: int, end: int) -> BoundaryCounts:
        core = (slice(first, end), slice(None))
        codes, tolerance_px = self._finished.codes, self._finished.tolerance_px
        return boundary_counts(self._reference, self._predicted, codes, tolerance_px, core)


def _boundary(classes: NDArray[np.uint8], is_judged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The class of each boundary pixel, 255 elsewhere."""
    is_boundary = np.zeros(classes.shape, bool)
    for before, after in (
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
    ):
        differs = (classes[before] != classes[after]) & is_judged[before] & is_judged[after]
        is_boundary[before] |= differs
        is_boundary[after] |= differs
    return np.where(is_boundary, classes, np.uint8(IGNORED))


def _disc(radius_px: float) -> list[tuple[int, int]]:
    """Rows and columns from a centre to all pixels within a radius, the nearest first."""
    reach = math.floor(radius_px)
    # of squares, because 3 * 3 + 4 * 4 <= 5 * 5 holds exactly
    near = [
        (row * row + col * col, row, col)
        for row in range(-reach, reach + 1)
        for col in range(-reach, reach + 1)
        if row * row + col * col <= radius_px * radius_px
    ]
    return [(row, col) for _, row, col in sorted(near)]


def _is_near(
    values: NDArray[Any], places: NDArray[np.int64], wanted: NDArray[Any], disc: Sequence[tuple[int, int]]
) -> NDArray[np.bool_]:
    """Whether each place has the value it wants on its disc, which must lie inside (height, width)."""
    flat, width = values.ravel(), values.shape[1]
    is_near = np.zeros(places.size, bool)
    missing = np.arange(places.size)
    for row, col in disc:
        is_hit = flat[places[missing] + (row * width + col)] == wanted[missing]
        is_near[missing[is_hit]] = True
        missing = missing[~is_hit]
    return is_near


def _tally(kinds: NDArray[np.uint8], codes: Sequence[int]) -> NDArray[np.int64]:
    counts = np.bincount(kinds, minlength=256)
    tally = counts[list(codes)]
    if tally.sum() != kinds.size:
        raise ValueError(f"a class is none of {list(codes)}")
    return tally


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
