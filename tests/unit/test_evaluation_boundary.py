"""Boundary F1 against shifts worked out by hand and a plain restatement with all distances."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from db.errors import UsageError
from inference.evaluation.boundary import BoundaryCounts, BoundaryStrips, boundary_counts, halo_px

CODES = (0, 3, 6)
NAMES = {0: "background", 3: "living_area", 6: "open_pit"}
COUNTS = ("reference", "reference_met", "predicted", "predicted_met", "left_out")

codes_or_nothing = st.sampled_from([*CODES, *CODES, 255])
maps = npst.arrays(
    np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=14), elements=codes_or_nothing
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two maps with much in common: patches, not noise."""
    height, width = draw(st.integers(1, 36)), draw(st.integers(1, 36))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 14))
    coarse = rng.choice(CODES, (height // size + 1, width // size + 1)).astype(np.uint8)
    first = coarse.repeat(size, 0).repeat(size, 1)[:height, :width].copy()
    second = np.roll(first, rng.integers(-6, 7, 2), (0, 1))
    for each in (first, second):
        noise = rng.random(each.shape)
        each[noise < 0.01] = 6
        each[noise > 1 - draw(st.sampled_from([0.0, 0.001, 0.02]))] = 255
    return first, second


def figures(counts: BoundaryCounts) -> list[list[int]]:
    return [getattr(counts, name).tolist() for name in COUNTS]


def square(rows: slice, cols: slice, size: int = 60) -> NDArray[np.uint8]:
    picture = np.zeros((size, size), np.uint8)
    picture[rows, cols] = 6
    return picture


def plainly(
    reference: NDArray[np.uint8], predicted: NDArray[np.uint8], tolerance_px: float
) -> list[list[int]]:
    """The definition, pixel by pixel, from distances between all pixels."""
    reference, predicted = (np.pad(each, 8, constant_values=255) for each in (reference, predicted))
    judged = (reference != 255) & (predicted != 255)
    unknown = np.argwhere(~judged)

    def boundary(classes: NDArray[np.uint8], code: int) -> NDArray[np.int64]:
        found = []
        for row, col in np.argwhere(judged & (classes == code)):
            beside = [(row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)]
            if any(judged[place] and classes[place] != code for place in beside):
                found.append((row, col))
        return np.array(found, np.int64).reshape(-1, 2)

    columns = []
    for code in CODES:
        drawn, called = boundary(reference, code), boundary(predicted, code)
        column = []
        for own, other in ((drawn, called), (called, drawn)):
            certain = own[(cdist(own, unknown) > tolerance_px + 1 + 1e-9).all(axis=1)]
            met = (cdist(certain, other) <= tolerance_px + 1e-9).any(axis=1)
            column += [len(certain), int(met.sum())]
            left = len(own) - len(certain)
            if own is drawn:
                left_out = left
        columns.append([*column, left_out])
    return [list(each) for each in zip(*columns, strict=True)]


@given(pairs(), st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, 5.0]))
@settings(max_examples=150, deadline=None)
def test_counts_are_those_of_the_definition(
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8]], tolerance_px: float
) -> None:
    assert figures(boundary_counts(*maps, CODES, tolerance_px)) == plainly(*maps, tolerance_px)


@given(maps, st.sampled_from([0.0, 1.0, 2.0]))
@settings(deadline=None)
def test_a_map_held_against_itself_is_1(classes: NDArray[np.uint8], tolerance_px: float) -> None:
    counts = boundary_counts(classes, classes, CODES, tolerance_px)
    known = counts.reference > 0
    assert (counts.f1[known] == 1).all()
    assert np.isnan(counts.f1[~known]).all()
    assert counts.mean_f1 == 1 or not known.any()


@given(pairs())
@settings(deadline=None)
def test_exchanged_maps_exchange_precision_and_recall(
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8]],
) -> None:
    reference, predicted = maps
    one, other = boundary_counts(reference, predicted, CODES), boundary_counts(predicted, reference, CODES)
    assert figures(one)[:2] == figures(other)[2:4]
    assert figures(one)[2:4] == figures(other)[:2]


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0), (7, 0.0)])
@pytest.mark.parametrize("is_upright", [True, False])
def test_a_straight_boundary_counts_up_to_the_tolerance_and_not_beyond(
    shift: int, expected: float, is_upright: bool
) -> None:
    reference, predicted = square(slice(None), slice(25, None)), square(slice(None), slice(25 + shift, None))
    if not is_upright:
        reference, predicted = reference.T, predicted.T
    counts = boundary_counts(reference, predicted, (0, 6), 2)
    # 60 rows, of which 3 at each end lie beside the edge of the map
    assert counts.reference.tolist() == counts.predicted.tolist() == [54, 54]
    assert counts.left_out.tolist() == [6, 6]
    assert counts.f1.tolist() == [expected, expected]


@pytest.mark.parametrize(("shift", "tolerance"), [(3, 2), (5, 2), (4, 3), (9, 0), (10, 1)])
def test_a_shifted_square_keeps_what_its_upper_and_lower_sides_share(shift: int, tolerance: int) -> None:
    edge = 20
    reference = square(slice(15, 15 + edge), slice(10, 10 + edge))
    predicted = square(slice(15, 15 + edge), slice(10 + shift, 10 + edge + shift))
    counts = boundary_counts(reference, predicted, (0, 6), tolerance)
    # of the two long sides what overlaps or nearly; of one short side the ends near the other's long sides
    met = 2 * (edge - shift + tolerance) + 2 * tolerance
    assert counts.reference[1] == counts.predicted[1] == 4 * edge - 4
    assert counts.reference_met[1] == counts.predicted_met[1] == met
    assert counts.f1[1] == pytest.approx(met / (4 * edge - 4))


def test_the_tolerance_is_a_disc_not_a_square() -> None:
    reference, predicted = np.zeros((2, 30, 30), np.uint8)
    reference[15, 15] = predicted[17, 17] = 6
    assert boundary_counts(reference, predicted, CODES, 2.8).f1[2] == 0
    assert boundary_counts(reference, predicted, CODES, 2.83).f1[2] == 1


@given(pairs(), st.sampled_from([0.0, 1.0, 2.0, 3.5]), st.data())
@settings(deadline=None)
def test_strips_add_up_to_the_scene(
    maps: tuple[NDArray[np.uint8], NDArray[np.uint8]], tolerance_px: float, data: st.DataObject
) -> None:
    reference, predicted = maps
    cuts = sorted(data.draw(st.lists(st.integers(0, len(reference)), max_size=8)))
    strips = BoundaryStrips(CODES, reference.shape[1], tolerance_px)
    for first, end in itertools.pairwise([0, *cuts, len(reference)]):
        strips.add(reference[first:end], predicted[first:end])
        so_far = boundary_counts(reference[:end], predicted[:end], CODES, tolerance_px)
        assert figures(strips.counts) == figures(so_far)
        assert strips._reference.shape[0] <= 2 * halo_px(tolerance_px)


@pytest.mark.parametrize("edge", [7, 16, 50])
def test_windows_with_a_halo_add_up_to_the_scene(edge: int) -> None:
    rng = np.random.default_rng(3)
    reference = rng.choice(CODES, (10, 12)).astype(np.uint8).repeat(5, 0).repeat(5, 1)
    reference[20:27, 30:] = 255
    predicted = np.roll(reference, (1, 2), (0, 1))
    halo, total = halo_px(2), BoundaryCounts.nothing(CODES)
    for row, col in itertools.product(range(0, 50, edge), range(0, 60, edge)):
        top, left = max(row - halo, 0), max(col - halo, 0)
        part = slice(top, row + edge + halo), slice(left, col + edge + halo)
        core = slice(row - top, row - top + edge), slice(col - left, col - left + edge)
        total += boundary_counts(reference[part], predicted[part], CODES, 2, core)
    assert figures(total) == figures(boundary_counts(reference, predicted, CODES))
    assert (total.left_out > 0).all()


def test_beside_unlabelled_ground_nothing_is_held_for_or_against_the_prediction() -> None:
    reference = square(slice(None), slice(30, None))
    for shift in (0, 8):
        predicted = square(slice(None), slice(30 + shift, None))
        whole = boundary_counts(reference, predicted, (0, 6))
        hidden = reference.copy()
        hidden[20:40, 10:50] = 255
        counts = boundary_counts(hidden, predicted, (0, 6))
        # 20 rows without labels and 3 on either side of them, whether the prediction is right there or not
        assert (whole.reference - counts.reference).tolist() == [26, 26]
        assert (whole.predicted - counts.predicted).tolist() == [26, 26]
        assert counts.f1.tolist() == whole.f1.tolist()
        # the limit of a labelled patch is not the limit of a class
        assert (counts.left_out - whole.left_out).tolist() == [6, 6]


def test_a_boundary_inside_unlabelled_ground_tells_nothing() -> None:
    labelled = np.full((40, 40), 255, np.uint8)
    labelled[5:35, 5:18] = 0
    labelled[5:35, 22:35] = 6
    predicted = square(slice(None), slice(20, None), 40)
    counts = boundary_counts(labelled, predicted, (0, 6))
    assert not any(map(any, figures(counts)))
    assert np.isnan(counts.mean_f1)
    assert counts.as_json(NAMES)["mean_f1"] is None


def test_unobserved_ground_is_not_judged() -> None:
    reference = square(slice(None), slice(30, None))
    predicted = reference.copy()
    predicted[:, 25:35] = 255
    assert boundary_counts(reference, predicted, (0, 6)).reference.tolist() == [0, 0]


def test_a_class_never_called_is_0_and_one_the_reference_lacks_is_unknown() -> None:
    reference = square(slice(20, 40), slice(20, 40))
    nowhere = boundary_counts(reference, np.zeros_like(reference), CODES)
    assert nowhere.precision[2] == nowhere.recall[2] == nowhere.f1[2] == 0
    assert nowhere.mean_f1 == 0
    invented = boundary_counts(reference, np.where(reference == 6, 3, 0).astype(np.uint8), CODES)
    assert np.isnan([invented.f1[1], invented.precision[1], invented.recall[1]]).all()
    assert invented.f1[2] == 0
    assert invented.f1[0] == 1
    assert invented.mean_f1 == 0.5
    assert invented.mean_f1_without_background == 0


def test_a_bolder_prediction_has_the_recall_and_not_the_precision() -> None:
    reference = square(slice(20, 40), slice(20, 40))
    predicted = reference.copy()
    predicted[5:12, 5:12] = 6
    counts = boundary_counts(reference, predicted, CODES)
    assert counts.recall[2] == 1
    assert counts.precision[2] == pytest.approx(76 / (76 + 24))
    assert counts.f1[2] == pytest.approx(2 * 0.76 / 1.76)


@pytest.mark.parametrize("shape", [(0, 0), (0, 9), (1, 1), (1, 40), (40, 1)])
def test_maps_too_small_to_judge_have_nothing_to_tell(shape: tuple[int, int]) -> None:
    classes = np.zeros(shape, np.uint8)
    classes[:, : shape[1] // 2] = 6
    counts = boundary_counts(classes, classes, CODES)
    assert not counts.reference.any()
    assert np.isnan(counts.f1).all()


def test_only_json_leaves_and_it_adds_up() -> None:
    reference = square(slice(20, 40), slice(20, 40))
    counts = boundary_counts(reference, np.roll(reference, 1, 0), CODES)
    stored = counts.as_json(NAMES)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert stored["by_class"]["open_pit"]["reference_px"] == 76
    assert stored["by_class"]["living_area"]["f1"] is None
    assert stored["tolerance_px"] == 2
    doubled = counts + counts
    assert doubled.mean_f1 == counts.mean_f1
    assert doubled.reference[2] == 152


@pytest.mark.parametrize("tolerance_px", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_an_error(tolerance_px: float) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        boundary_counts(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8), CODES, tolerance_px)


@pytest.mark.parametrize("codes", [(0,), (0, 3), (6,)])
def test_a_boundary_of_a_class_that_is_not_among_the_codes_is_an_error(codes: Sequence[int]) -> None:
    reference = square(slice(20, 40), slice(20, 40))
    with pytest.raises(ValueError, match="none of"):
        boundary_counts(reference, reference, codes)


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="one size"):
        boundary_counts(np.zeros((9, 9), np.uint8), np.zeros((9, 8), np.uint8), CODES)
    with pytest.raises(ValueError, match="do not add"):
        BoundaryCounts.nothing(CODES) + BoundaryCounts.nothing((0, 6))
    with pytest.raises(ValueError, match="do not add"):
        BoundaryCounts.nothing(CODES, 1) + BoundaryCounts.nothing(CODES, 2)


def test_assumptions_of_the_drawn_pairs_hold() -> None:
    """The pairs must show what they are for: boundaries judged, met and not met."""
    seen: list[BoundaryCounts] = []

    @given(pairs())
    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    def collect(maps: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
        assume(min(maps[0].shape) > 8)
        seen.append(boundary_counts(*maps, CODES))

    collect()
    total = sum(seen[1:], seen[0])
    assert (total.reference_met > 50).all()
    assert (total.reference - total.reference_met > 50).all()
