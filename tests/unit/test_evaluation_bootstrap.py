"""Bootstrap intervals over blocks: what they cover, and the figures they are of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from inference.evaluation.bootstrap import (
    BlockConfusions,
    Intervals,
    bootstrap_differences,
    bootstrap_intervals,
)
from inference.evaluation.figures import OF_ALL, OF_CLASSES, confusion_figures
from inference.training.metrics import SegmentationMetrics, confusion_matrix

CODES = (0, 3, 6)
NAMES = {0: "background", 3: "living_area", 6: "open_pit"}

cells = st.one_of(st.just(0), st.integers(0, 10**10))
stacks = npst.arrays(np.int64, st.tuples(st.integers(1, 4), st.just(3), st.just(3)), elements=cells)


@given(stacks)
def test_figures_are_those_of_one_matrix_at_a_time(stack: NDArray[np.int64]) -> None:
    figures = confusion_figures(stack, CODES)
    assert set(figures) == {*OF_CLASSES, *OF_ALL}
    for place, matrix in enumerate(stack):
        metrics = SegmentationMetrics(CODES, matrix)
        for name in (*OF_CLASSES, "mean_iou", "mean_iou_without_background", "overall_accuracy"):
            np.testing.assert_allclose(figures[name][place], getattr(metrics, name), rtol=1e-12)


@given(stacks)
def test_iou_is_the_least_and_dice_follows_from_it(stack: NDArray[np.int64]) -> None:
    figures = confusion_figures(stack, CODES)
    is_known = stack.sum(axis=2) > 0
    for name in OF_CLASSES:
        assert (np.isnan(figures[name]) == ~is_known).all()
        assert ((figures[name][is_known] >= 0) & (figures[name][is_known] <= 1)).all()
    iou = figures["iou"][is_known]
    assert (iou <= np.minimum(figures["precision"], figures["recall"])[is_known] + 1e-12).all()
    np.testing.assert_allclose(figures["dice"][is_known], 2 * iou / (1 + iou))


def test_means_and_kappa_by_hand() -> None:
    figures = confusion_figures(np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]]), CODES)
    assert figures["mean_recall"] == pytest.approx(0.7)
    assert figures["mean_precision"] == pytest.approx((8 / 12 + 6 / 8) / 2)
    assert figures["mean_dice"] == pytest.approx((16 / 22 + 12 / 18) / 2)
    assert figures["mean_recall_without_background"] == pytest.approx(0.6)
    # agreement 14 of 20, by chance (10 * 12 + 10 * 8) / 400 = 0.5
    assert figures["kappa"] == pytest.approx((0.7 - 0.5) / 0.5)


def test_kappa_of_perfect_of_random_and_of_one_class() -> None:
    assert confusion_figures(np.diag([5, 9, 2]), CODES)["kappa"] == pytest.approx(1)
    assert confusion_figures(np.outer([1, 2, 5], [3, 1, 4]), CODES)["kappa"] == pytest.approx(0)
    assert np.isnan(confusion_figures(np.diag([5, 0, 0]), CODES)["kappa"])


def test_matrices_of_other_classes_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 classes"):
        confusion_figures(np.zeros((4, 2, 2), np.int64), CODES)


def _sampled(blocks: int, rng: np.random.Generator, classes: int = 2) -> NDArray[np.int64]:
    """Blocks of very different size and difficulty, whose pixels are alike within a block."""
    pixels = rng.integers(200, 2000, blocks)
    difficulty = rng.beta(2, 6, blocks)
    shares = rng.dirichlet(np.ones(classes), blocks)
    matrices = np.zeros((blocks, classes, classes), np.int64)
    for place in range(blocks):
        for kind, count in enumerate(rng.multinomial(pixels[place], shares[place])):
            wrong = np.full(classes, difficulty[place] / (classes - 1))
            wrong[kind] = 1 - difficulty[place]
            matrices[place, kind] = rng.multinomial(count, wrong)
    return matrices


def test_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    codes = (0, 6)
    truth = confusion_figures(_sampled(100_000, rng).sum(axis=0), codes)
    simulations = 400
    held = dict.fromkeys(("mean_iou", "overall_accuracy", "kappa", "mean_dice_without_background"), 0)
    for number in range(simulations):
        intervals = bootstrap_intervals(_sampled(50, rng), codes, resamples=400, seed=number)
        for name in held:
            held[name] += bool(intervals.low[name] <= truth[name] <= intervals.high[name])
    # in the long run 93.5 % with 50 blocks and 94.7 % with 200, +- 1.2 % in 400 simulations
    for name, times in held.items():
        assert 0.90 <= times / simulations <= 0.975, name


def test_intervals_are_half_as_wide_with_four_times_the_blocks() -> None:
    rng = np.random.default_rng(2)

    def width(blocks: int) -> float:
        found = [bootstrap_intervals(_sampled(blocks, rng), (0, 6), resamples=500) for _ in range(12)]
        return float(np.mean([each.high["mean_iou"] - each.low["mean_iou"] for each in found]))

    widths = [width(blocks) for blocks in (25, 100, 400)]
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.15)


def test_a_hundred_times_the_pixels_of_the_same_blocks_say_no_more() -> None:
    matrices = _sampled(30, np.random.default_rng(3))
    few, many = bootstrap_intervals(matrices, (0, 6)), bootstrap_intervals(100 * matrices, (0, 6))
    for name in OF_ALL:
        np.testing.assert_allclose((many.low[name], many.high[name]), (few.low[name], few.high[name]))


def test_blocks_that_are_all_alike_leave_no_doubt() -> None:
    one = np.array([[80, 15, 5], [10, 30, 0], [3, 3, 14]])
    intervals = bootstrap_intervals(np.repeat(one[None], 12, axis=0), CODES, resamples=50)
    metrics = SegmentationMetrics(CODES, one)
    for name in (*OF_CLASSES, "mean_iou", "overall_accuracy"):
        for values in (intervals.value, intervals.low, intervals.high):
            np.testing.assert_allclose(values[name], getattr(metrics, name), rtol=1e-12)


def test_every_resample_has_as_many_blocks_as_there_are() -> None:
    """One pixel a block, right in the first 30 of 100: the count of hits is binomial (100, 0.3)."""
    matrices = np.zeros((100, 2, 2), np.int64)
    matrices[:30, 0, 0] = 1
    matrices[30:, 0, 1] = 1
    intervals = bootstrap_intervals(matrices, (0, 6), resamples=40_000)
    # percentiles 2.5 and 97.5 of that distribution
    assert intervals.low["overall_accuracy"] == pytest.approx(0.21, abs=1e-9)
    assert intervals.high["overall_accuracy"] == pytest.approx(0.39, abs=1e-9)
    narrow = bootstrap_intervals(matrices, (0, 6), resamples=40_000, level=0.5)
    assert narrow.low["overall_accuracy"] == pytest.approx(0.27, abs=1e-9)
    assert narrow.high["overall_accuracy"] == pytest.approx(0.33, abs=1e-9)


def test_a_class_absent_from_a_resample_is_left_out_of_its_interval() -> None:
    matrices = np.zeros((3, 3, 3), np.int64)
    matrices[:, 0] = [90, 10, 0]
    matrices[0, 1] = [5, 5, 0]
    intervals = bootstrap_intervals(matrices, CODES, resamples=20_000)
    # of three blocks drawn from three, one given is missing in (2/3)^3 of the draws
    np.testing.assert_allclose(intervals.known["iou"], [1, 1 - 8 / 27, 0], atol=0.01)
    assert intervals.low["recall"][1] == intervals.high["recall"][1] == 0.5
    assert np.isnan([intervals.value["iou"][2], intervals.low["iou"][2], intervals.high["iou"][2]]).all()
    # a resample without the poor class must not pass for one of a better network
    assert intervals.known["mean_recall"] == pytest.approx(1 - 8 / 27, abs=0.01)
    assert intervals.high["mean_recall"] == pytest.approx(0.7)
    assert intervals.known["overall_accuracy"] == 1


@pytest.mark.parametrize("blocks", [0, 1])
def test_fewer_than_two_blocks_tell_no_interval(blocks: int) -> None:
    intervals = bootstrap_intervals(np.full((blocks, 3, 3), 5), CODES, resamples=20)
    assert intervals.blocks == blocks
    for name in (*OF_CLASSES, *OF_ALL):
        assert np.isnan(intervals.low[name]).all()
        assert np.isnan(intervals.high[name]).all()
        assert np.isnan(intervals.value[name]).all() == (blocks == 0)


def test_blocks_without_a_pixel_change_nothing() -> None:
    matrices = _sampled(20, np.random.default_rng(4))
    padded = np.concatenate((np.zeros((7, 2, 2), np.int64), matrices))
    one, other = bootstrap_intervals(matrices, (0, 6)), bootstrap_intervals(padded, (0, 6))
    assert other.blocks == 20
    assert stored(one) == stored(other)


def stored(intervals: Intervals) -> object:
    return intervals.as_json({0: "background", 6: "open_pit"})


def test_the_seed_decides() -> None:
    matrices = _sampled(20, np.random.default_rng(5))
    first, again, other = (bootstrap_intervals(matrices, (0, 6), seed=seed) for seed in (1, 1, 2))
    assert stored(first) == stored(again)
    assert stored(first) != stored(other)


def test_only_json_leaves() -> None:
    matrices = np.zeros((5, 3, 3), np.int64)
    matrices[:, 0, :2] = [[9, 1], [8, 2], [9, 1], [7, 3], [9, 1]]
    told = bootstrap_intervals(matrices, CODES, resamples=100).as_json(NAMES)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["by_class"]["open_pit"]["iou"] == {"value": None, "low": None, "high": None, "known": 0.0}
    assert told["overall_accuracy"]["value"] == pytest.approx(0.84)
    assert told["overall_accuracy"]["low"] < 0.84 < told["overall_accuracy"]["high"]
    assert told["blocks"] == 5


def test_a_difference_on_the_same_blocks_is_told_sharper_than_by_two_intervals() -> None:
    rng = np.random.default_rng(6)
    first = _sampled(40, rng)
    # in every block about one in twenty of the pixels that were missed is found
    better = first.copy()
    found = rng.binomial(first[:, 1, 0], 0.05)
    better[:, 1, 0] -= found
    better[:, 1, 1] += found
    difference = bootstrap_differences(first, better, (0, 6))
    one, other = bootstrap_intervals(first, (0, 6)), bootstrap_intervals(better, (0, 6))
    name = "mean_iou"
    assert difference.value[name] == pytest.approx(other.value[name] - one.value[name])
    assert 0 < difference.low[name] < difference.value[name] < difference.high[name]
    assert other.low[name] < one.high[name]
    assert difference.high[name] - difference.low[name] < 0.2 * (one.high[name] - one.low[name])
    back = bootstrap_differences(better, first, (0, 6))
    assert back.low[name] == pytest.approx(-difference.high[name])
    nothing = bootstrap_differences(first, first, (0, 6))
    assert nothing.low[name] == nothing.high[name] == 0


def test_a_difference_needs_the_same_pixels() -> None:
    matrices = _sampled(4, np.random.default_rng(7))
    with pytest.raises(ValueError, match="same pixels"):
        bootstrap_differences(matrices, matrices[:3], (0, 6))
    with pytest.raises(ValueError, match="same pixels"):
        bootstrap_differences(matrices, matrices[::-1], (0, 6))


@pytest.mark.parametrize(("resamples", "level"), [(0, 0.95), (10, 0.0), (10, 1.0), (10, 95.0)])
def test_numbers_that_make_no_interval_are_an_error(resamples: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"resamples|level"):
        bootstrap_intervals(np.ones((3, 2, 2), np.int64), (0, 6), resamples=resamples, level=level)


def test_blocks_are_counted_apart_over_strips_and_scenes() -> None:
    rng = np.random.default_rng(8)
    reference, predicted = rng.choice([0, 3, 6, 255], (2, 2, 40, 30)).astype(np.uint8)
    blocks = rng.choice([-(2**40), 7, 11, 12], (2, 40, 30))
    blocks[reference == 0] = 7
    counted = BlockConfusions(CODES)
    for scene in range(2):
        for row in range(0, 40, 9):
            part = scene, slice(row, row + 9)
            counted.add(reference[part], predicted[part], blocks[part])
    assert counted.keys == [-(2**40), 7, 11, 12]
    for key, matrix in zip(counted.keys, counted.matrices, strict=True):
        here = blocks == key
        np.testing.assert_array_equal(matrix, confusion_matrix(reference[here], predicted[here], CODES))
    whole = confusion_matrix(reference, predicted, CODES)
    np.testing.assert_array_equal(counted.matrices.sum(axis=0), whole)


def test_blocks_without_a_judged_pixel_are_not_there() -> None:
    counted = BlockConfusions(CODES)
    assert counted.matrices.shape == (0, 3, 3)
    counted.add(np.full(9, 255, np.uint8), np.zeros(9, np.uint8), np.arange(9))
    assert counted.keys == []
    with pytest.raises(ValueError, match="none of"):
        counted.add(np.ones(9, np.uint8), np.zeros(9, np.uint8), np.arange(9))
