"""Figures of a confusion matrix, against counts made by hand and rules that always hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from inference.training.metrics import SegmentationMetrics, confusion_matrix

CODES = (0, 3, 6)
NAMES = {0: "background", 3: "living_area", 6: "open_pit"}

matrices = npst.arrays(np.int64, (3, 3), elements=st.integers(0, 10_000))


def test_the_matrix_counts_reference_in_rows_and_leaves_255_out() -> None:
    reference = np.array([[0, 0, 3], [6, 6, 255]], np.uint8)
    predicted = np.array([[0, 3, 3], [6, 0, 6]], np.uint8)
    matrix = confusion_matrix(reference, predicted, CODES)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    predicted[0, 0] = 255
    assert confusion_matrix(reference, predicted, CODES).sum() == 4


def test_a_class_that_is_not_among_the_codes_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of"):
        confusion_matrix(np.array([1], np.uint8), np.array([0], np.uint8), CODES)


def test_figures_by_hand() -> None:
    metrics = SegmentationMetrics(CODES, np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]]))
    np.testing.assert_allclose(metrics.precision, [8 / 12, 6 / 8, np.nan])
    np.testing.assert_allclose(metrics.recall, [0.8, 0.6, np.nan])
    np.testing.assert_allclose(metrics.iou, [8 / 14, 6 / 12, np.nan])
    np.testing.assert_allclose(metrics.dice, [16 / 22, 12 / 18, np.nan])
    assert metrics.mean_iou == pytest.approx((8 / 14 + 0.5) / 2)
    assert metrics.mean_iou_without_background == pytest.approx(0.5)
    assert metrics.overall_accuracy == pytest.approx(0.7)


def test_a_class_never_called_has_precision_0() -> None:
    metrics = SegmentationMetrics(CODES, np.array([[5, 0, 0], [5, 0, 0], [0, 0, 1]]))
    assert metrics.precision[1] == 0
    assert metrics.iou[1] == 0


@given(matrices)
def test_iou_is_the_least_and_dice_follows_from_it(matrix: NDArray[np.int64]) -> None:
    metrics = SegmentationMetrics(CODES, matrix)
    known = metrics.present
    assert (np.isnan(metrics.iou) == ~known).all()
    iou = metrics.iou[known]
    assert (iou <= np.minimum(metrics.precision, metrics.recall)[known] + 1e-12).all()
    np.testing.assert_allclose(metrics.dice[known], 2 * iou / (1 + iou))


@given(matrices)
def test_nothing_but_json_leaves(matrix: NDArray[np.int64]) -> None:
    stored = SegmentationMetrics(CODES, matrix).as_json(NAMES)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert stored["pixels"] == matrix.sum()
    assert set(stored["by_class"]) == set(NAMES.values())


def test_absent_classes_are_null() -> None:
    stored = SegmentationMetrics(CODES, np.zeros((3, 3), np.int64)).as_json(NAMES)
    assert stored["mean_iou"] is None
    assert stored["by_class"]["open_pit"]["iou"] is None
