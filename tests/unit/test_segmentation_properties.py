"""What always holds of the figures of a segmentation, whatever its confusion matrix.

Held against fractions of whole numbers, which round nothing: `inference.training.metrics` for one matrix,
`inference.evaluation.figures` for many, and both against each other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.evaluation.figures import OF_ALL, OF_CLASSES, WITHOUT_BACKGROUND, confusion_figures
from inference.training.metrics import BACKGROUND, SegmentationMetrics, confusion_matrix

Exact = Fraction | None  # None: not a number
Matrix = NDArray[np.int64]

# a thousand million million pixels, more than any scene has
HUGE = 10**15
counts = st.one_of(st.just(0), st.integers(0, 3), st.integers(0, 10**6), st.integers(HUGE // 2, HUGE))


@st.composite
def judged(draw: st.DrawFn, cell: st.SearchStrategy[int] = counts) -> tuple[tuple[int, ...], Matrix]:
    """Class codes, with background or without, and a matrix in which classes are absent now and then."""
    others = draw(st.lists(st.integers(1, 254), max_size=6, unique=True))
    codes = sorted([0, *others]) if draw(st.booleans()) or not others else sorted(others)
    size = len(codes)
    matrix = np.array(draw(st.lists(cell, min_size=size**2, max_size=size**2)), np.int64).reshape(size, size)
    for place in draw(st.sets(st.integers(0, size - 1))):  # neither there nor called, as it often is
        matrix[place] = 0
    for place in draw(st.sets(st.integers(0, size - 1))):  # never called
        matrix[:, place] = 0
    return tuple(codes), matrix


def ratio(part: int, whole: int) -> Exact:
    return Fraction(part, whole) if whole else None


def mean(values: Sequence[Exact]) -> Exact:
    known = [value for value in values if value is not None]
    return sum(known, Fraction(0)) / len(known) if known else None


def exact_figures(codes: Sequence[int], matrix: Matrix) -> dict[str, Any]:
    """The definitions, in fractions."""
    cells = [[int(count) for count in row] for row in matrix]
    classes = range(len(codes))
    figures: dict[str, Any] = {name: [] for name in OF_CLASSES}
    for k in classes:
        hit = cells[k][k]
        missed = sum(cells[k][j] for j in classes if j != k)
        false = sum(cells[i][k] for i in classes if i != k)
        is_there = hit + missed > 0
        figures["recall"].append(ratio(hit, hit + missed))
        figures["precision"].append((ratio(hit, hit + false) or Fraction(0)) if is_there else None)
        figures["iou"].append(ratio(hit, hit + missed + false) if is_there else None)
        figures["dice"].append(ratio(2 * hit, 2 * hit + missed + false) if is_there else None)
    for name in OF_CLASSES:
        figures[f"mean_{name}"] = mean(figures[name])
        figures[f"mean_{name}{WITHOUT_BACKGROUND}"] = mean(
            [value for code, value in zip(codes, figures[name], strict=True) if code != BACKGROUND]
        )
    total = sum(map(sum, cells))
    figures["overall_accuracy"] = ratio(sum(cells[k][k] for k in classes), total)
    chance = ratio(sum(sum(cells[k]) * sum(row[k] for row in cells) for k in classes), total**2)
    figures["kappa"] = None
    if chance is not None and chance != 1:
        figures["kappa"] = (figures["overall_accuracy"] - chance) / (1 - chance)
    return figures


def assert_close(got: Any, exact: Any, what: str, tolerance: float = 1e-12) -> None:
    if isinstance(exact, list):
        for place, (one, of_exact) in enumerate(zip(got, exact, strict=True)):
            assert_close(one, of_exact, f"{what} of class {place}", tolerance)
    elif exact is None:
        assert math.isnan(got), f"{what} is {got}, and there is none"
    else:
        assert got == pytest.approx(float(exact), rel=tolerance, abs=tolerance), what


@given(judged())
def test_figures_of_one_matrix_are_their_definitions(given_one: tuple[tuple[int, ...], Matrix]) -> None:
    codes, matrix = given_one
    metrics, exact = SegmentationMetrics(codes, matrix), exact_figures(codes, matrix)
    for name in (*OF_CLASSES, "mean_iou", f"mean_iou{WITHOUT_BACKGROUND}", "overall_accuracy"):
        assert_close(getattr(metrics, name), exact[name], name)


@given(judged())
def test_figures_of_many_matrices_are_their_definitions(given_one: tuple[tuple[int, ...], Matrix]) -> None:
    codes, matrix = given_one
    stack = np.stack([matrix, matrix.T, np.zeros_like(matrix)]).reshape(3, 1, *matrix.shape)
    figures = confusion_figures(stack, codes)
    assert set(figures) == {*OF_CLASSES, *OF_ALL}
    for place in range(3):
        exact = exact_figures(codes, stack[place, 0])
        for name in set(figures) - {"kappa"}:
            assert_close(figures[name][place, 0], exact[name], name)


@given(judged(st.integers(0, 10**4)))
def test_kappa_is_its_definition(given_one: tuple[tuple[int, ...], Matrix]) -> None:
    """Of a chance near 1 rounding leaves few digits, which is why counts are smaller here."""
    codes, matrix = given_one
    kappa, exact = confusion_figures(matrix, codes)["kappa"], exact_figures(codes, matrix)["kappa"]
    assert_close(kappa, exact, "kappa", 1e-6)
    if exact is not None:
        assert -1 - 1e-9 <= kappa <= 1 + 1e-9


@given(judged())
def test_iou_is_at_most_precision_and_recall_and_dice_follows(
    given_one: tuple[tuple[int, ...], Matrix],
) -> None:
    """Without any tolerance: sums of whole numbers and one division each keep the order."""
    codes, matrix = given_one
    metrics, figures = SegmentationMetrics(codes, matrix), confusion_figures(matrix, codes)
    for of_classes in ({name: getattr(metrics, name) for name in OF_CLASSES}, figures):
        known = ~np.isnan(of_classes["iou"])
        np.testing.assert_array_equal(known, matrix.sum(axis=1) > 0)
        iou, precision, recall, dice = (
            of_classes[name][known] for name in ("iou", "precision", "recall", "dice")
        )
        assert (iou <= np.minimum(precision, recall)).all()
        assert ((iou >= 0) & (np.maximum(precision, recall) <= 1)).all()
        np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-12, atol=0)
        # the harmonic mean of both lies between them
        assert (dice >= np.minimum(precision, recall) * (1 - 1e-12)).all()
        assert (dice <= np.maximum(precision, recall) * (1 + 1e-12)).all()
        assert ((iou == 1) == ((precision == 1) & (recall == 1))).all()


@given(judged(st.integers(0, 10**4)), st.sampled_from([7, 10**6, 10**9]))
def test_more_of_the_same_changes_no_figure(given_one: tuple[tuple[int, ...], Matrix], factor: int) -> None:
    """Nor does any product of counts run over, as 64 bits would with the square of a large scene."""
    codes, matrix = given_one
    few, many = confusion_figures(matrix, codes), confusion_figures(matrix * factor, codes)
    if np.isnan(few["kappa"]):  # of one class alone, see below
        few["kappa"] = many["kappa"]
    for name in (*OF_CLASSES, *OF_ALL):
        np.testing.assert_allclose(many[name], few[name], rtol=1e-6, atol=1e-6)


def test_of_one_class_there_is_no_kappa_however_many_pixels() -> None:
    for pixels in np.random.default_rng(1).integers(10**7, 10**11, 500):
        assert np.isnan(confusion_figures(np.array([[pixels]]), (0,))["kappa"])


@given(judged(st.integers(0, 10**6)), st.randoms(use_true_random=False))
def test_the_order_of_classes_does_not_matter(given_one: tuple[tuple[int, ...], Matrix], random: Any) -> None:
    codes, matrix = given_one
    order = list(range(len(codes)))
    random.shuffle(order)
    figures = confusion_figures(matrix, codes)
    turned = confusion_figures(matrix[np.ix_(order, order)], [codes[place] for place in order])
    for name in OF_CLASSES:
        np.testing.assert_array_equal(turned[name], figures[name][order])
    for name in OF_ALL:
        np.testing.assert_allclose(turned[name], figures[name], rtol=1e-9, atol=1e-9)


@given(judged(st.integers(0, 10**6)))
def test_a_class_nobody_knows_changes_no_mean(given_one: tuple[tuple[int, ...], Matrix]) -> None:
    """Absent from the reference and never called: NaN of its own, and out of every mean."""
    codes, matrix = given_one
    one_more = next(code for code in range(255) if code not in codes)
    larger = np.zeros((len(codes) + 1,) * 2, np.int64)
    larger[:-1, :-1] = matrix
    before, after = confusion_figures(matrix, codes), confusion_figures(larger, (*codes, one_more))
    for name in OF_CLASSES:
        assert np.isnan(after[name][-1])
    for name in OF_ALL:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-12, atol=1e-12)


@given(st.integers(2, 6), st.data())
def test_calls_of_an_absent_class_count_against_the_others_only(size: int, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.integers(1, 10**6), min_size=size**2, max_size=size**2))
    absent = data.draw(st.integers(0, size - 1))
    codes, matrix = tuple(range(size)), np.array(drawn, np.int64).reshape(size, size)
    matrix[absent] = 0
    metrics = SegmentationMetrics(codes, matrix)
    for name in OF_CLASSES:
        values = getattr(metrics, name)
        assert np.flatnonzero(np.isnan(values)).tolist() == [absent]
    known = np.delete(metrics.iou, absent)
    assert metrics.mean_iou == pytest.approx(known.mean())
    # its pixels were taken for others: they were missed there
    others = np.delete(metrics.recall, absent)
    assert (others < 1).all()
    assert metrics.overall_accuracy < 1


@pytest.mark.parametrize("codes", [(0,), (6,), (0, 3), tuple(range(8))])
def test_where_nothing_was_judged_there_is_no_figure(codes: tuple[int, ...]) -> None:
    nothing = np.zeros((len(codes),) * 2, np.int64)
    for values in confusion_figures(nothing, codes).values():
        assert np.isnan(values).all()
    metrics = SegmentationMetrics(codes, nothing)
    assert math.isnan(metrics.mean_iou)
    assert math.isnan(metrics.mean_iou_without_background)
    assert math.isnan(metrics.overall_accuracy)
    stored = metrics.as_json({code: str(code) for code in codes})
    assert stored["mean_iou"] is None
    json.dumps(stored, allow_nan=False)


def test_background_alone_has_no_mean_without_it() -> None:
    figures = confusion_figures(np.array([[9]]), (0,))
    assert figures["mean_iou"] == 1
    assert np.isnan(figures["mean_iou_without_background"])
    assert np.isnan(figures["kappa"])  # agreement and chance are the same
    alone = confusion_figures(np.array([[9]]), (6,))
    assert alone["mean_iou"] == alone["mean_iou_without_background"] == 1


@given(judged(), st.data())
def test_means_over_given_classes(given_one: tuple[tuple[int, ...], Matrix], data: st.DataObject) -> None:
    """One set of classes for every mean, so that resamples compare; without one of them there is none."""
    codes, matrix = given_one
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(codes), max_size=len(codes))))
    figures = confusion_figures(matrix, codes, chosen)
    for name in OF_CLASSES:
        values = figures[name][chosen]
        expected = values.mean() if values.size else math.nan
        np.testing.assert_allclose(figures[f"mean_{name}"], expected, rtol=1e-12)


labels = st.sampled_from([0, 3, 6, 255])
places = st.integers(1, 60).flatmap(
    lambda size: st.tuples(*(st.lists(labels, min_size=size, max_size=size) for _ in range(2)))
)


@given(places, st.integers(0, 60))
def test_the_matrix_of_pixels_is_counted_one_by_one(pixels: tuple[list[int], list[int]], cut: int) -> None:
    """And adds up over parts of the ground, which is what makes one matrix of a whole test set."""
    reference, predicted = (np.array(each, np.uint8) for each in pixels)
    codes = (0, 3, 6)
    expected = np.zeros((3, 3), np.int64)
    for of_reference, of_prediction in zip(*pixels, strict=True):
        if 255 not in (of_reference, of_prediction):
            expected[codes.index(of_reference), codes.index(of_prediction)] += 1
    np.testing.assert_array_equal(confusion_matrix(reference, predicted, codes), expected)
    parts = [
        confusion_matrix(reference[rows], predicted[rows], codes) for rows in (slice(cut), slice(cut, None))
    ]
    np.testing.assert_array_equal(sum(parts), expected)
    # the other way round precision and recall change places, where both classes are there
    turned = confusion_matrix(predicted, reference, codes)
    here, there = SegmentationMetrics(codes, expected), SegmentationMetrics(codes, turned)
    both = here.present & there.present
    np.testing.assert_array_equal(here.recall[both], there.precision[both])
    np.testing.assert_array_equal(here.iou[both], there.iou[both])
