"""Figures of a model of ore: known values, what must always hold, and intervals that say what they claim."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from inference.prospect.figures import (
    FIGURES,
    Judged,
    ProspectFigures,
    figure_differences,
    plain_figures,
    prospect_figures,
    resampled_figures,
)
from inference.prospect.ore_blocks import OreBlocks, ends_of, ore_interval


def judged(truth: list[int], probabilities: list[float], blocks: list[int] | None = None) -> Judged:
    return Judged(
        is_positive=np.array(truth, bool),
        probabilities=np.array(probabilities, np.float64),
        blocks=np.arange(len(truth)) if blocks is None else np.array(blocks, np.int64),
        threshold=0.5,
    )


def drawn(patches: int, blocks: int, skill: float, seed: int = 0) -> Judged:
    rng = np.random.default_rng(seed)
    truth = rng.random(patches) < 0.3
    block = rng.integers(blocks, size=patches)
    score = skill * truth + rng.standard_normal(patches) + 0.7 * rng.standard_normal(blocks)[block]
    return Judged(truth, 1 / (1 + np.exp(-score)), block.astype(np.int64), 0.5)


def ore_in(ore_blocks: int, *, barren_blocks: int) -> Judged:
    """Blocks of ten patches, all ore or all barren; every second patch of ore is found, else all is right."""
    truth = np.repeat(np.arange(ore_blocks + barren_blocks) < ore_blocks, 10)
    probabilities = np.where(truth & (np.arange(len(truth)) % 2 == 0), 0.9, 0.1)
    return Judged(truth, probabilities, np.repeat(np.arange(ore_blocks + barren_blocks), 10), 0.5)


def ends(figures: ProspectFigures, name: str) -> tuple[float, float]:
    low, high = figures.low[name], figures.high[name]
    assert low is not None
    assert high is not None
    return low, high


def test_figures_of_a_case_computed_by_hand() -> None:
    """Ten patches: of 4 with ore 3 are found, of 6 without 2 are taken for ore."""
    found = plain_figures(
        judged([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [0.9, 0.8, 0.6, 0.2, 0.7, 0.55, 0.4, 0.3, 0.1, 0.0])
    )
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert found["precision"] == pytest.approx(3 / 5)
    assert found["recall"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 8 / 11) / 2)
    # pairs in order: the four with ore stand before 6, 6, 5 and 2 of the others
    assert found["roc_auc"] == pytest.approx((6 + 6 + 5 + 2) / 24)
    assert found["pr_auc"] == pytest.approx((1 + 1 + 3 / 4 + 4 / 8) / 4)
    matrix = prospect_figures(
        judged([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [0.9, 0.8, 0.6, 0.2, 0.7, 0.55, 0.4, 0.3, 0.1, 0.0]),
        resamples=10,
    ).confusion
    assert matrix.tolist() == [[4, 2], [1, 3]]


def test_the_commonest_answer_has_no_skill_and_no_precision() -> None:
    found = plain_figures(judged([1, 0, 0, 0], [0.25] * 4))
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == found["roc_auc"] == 0.5
    assert found["recall"] == found["f1"] == 0.0
    assert math.isnan(found["precision"])
    assert found["pr_auc"] == 0.25


@pytest.mark.parametrize(
    ("truth", "unknown"),
    [
        ([0, 0, 0], {"balanced_accuracy", "recall", "roc_auc", "pr_auc"}),
        ([1, 1, 1], {"balanced_accuracy", "roc_auc"}),
    ],
)
def test_of_one_class_what_has_no_meaning_is_null(truth: list[int], unknown: set[str]) -> None:
    figures = prospect_figures(judged(truth, [0.9, 0.2, 0.1]), resamples=20).as_json()
    json.dumps(figures, allow_nan=False)
    for name in unknown:
        assert figures[name] is None
        assert figures["intervals"][name] == {"value": None, "low": None, "high": None, "known": 0.0}
    assert figures["accuracy"] == pytest.approx(1 / 3 if truth[0] else 2 / 3)


def test_nothing_judged_is_no_error() -> None:
    figures = prospect_figures(judged([], []), resamples=5).as_json()
    assert figures["patches"] == 0
    assert all(figures[name] is None for name in FIGURES)


def test_a_probability_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        judged([1, 0], [0.5, math.nan])


ANSWERS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.50001, 0.8, 1.0]), st.integers(0, 3)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40)
@given(ANSWERS)
def test_what_holds_for_any_answers(rows: list[tuple[bool, float, int]]) -> None:
    case = judged([int(row[0]) for row in rows], [row[1] for row in rows])
    found = plain_figures(case)
    for name, value in found.items():
        assert math.isnan(value) or 0 <= value <= 1, name
    precision, recall, f1 = found["precision"], found["recall"], found["f1"]
    if not math.isnan(precision) and not math.isnan(recall):
        assert min(precision, recall) - 1e-12 <= f1 <= max(precision, recall) + 1e-12
    if not math.isnan(found["roc_auc"]):
        mirrored = Judged(case.is_positive, 1 - case.probabilities, case.blocks, 0.5)
        assert plain_figures(mirrored)["roc_auc"] == pytest.approx(1 - found["roc_auc"])
    share = case.is_positive.mean()
    if 0 < share < 1:
        # 4 numbers, 3 relations: accuracy is the mean of both recalls, weighted by the classes
        other = 2 * found["balanced_accuracy"] - recall
        assert found["accuracy"] == pytest.approx(share * recall + (1 - share) * other)


@settings(max_examples=25)
@given(ANSWERS, st.integers(0, 1000))
def test_a_draw_has_the_figures_that_scikit_learn_gives_it(
    rows: list[tuple[bool, float, int]], seed: int
) -> None:
    """The fast resampling against scikit-learn on the patches drawn, one by one; of one class: nothing."""
    case = judged([int(row[0]) for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    found = resampled_figures(case, resamples=3, seed=seed)
    keys = np.unique(case.blocks)
    draws = np.random.default_rng(seed).integers(len(keys), size=(3, len(keys)))
    for number, draw in enumerate(draws):
        places = np.concatenate([np.flatnonzero(case.blocks == keys[place]) for place in draw])
        expected = plain_figures(
            Judged(case.is_positive[places], case.probabilities[places], case.blocks[places], 0.5)
        )
        has_both = len(set(case.is_positive[places].tolist())) == 2
        for name in FIGURES:
            value = expected[name] if has_both else math.nan
            assert found[name][number] == pytest.approx(value, nan_ok=True), name


def test_intervals_hold_the_value_and_narrow_with_more_blocks() -> None:
    few, many = (prospect_figures(drawn(blocks * 20, blocks, 1.0)) for blocks in (8, 200))
    for name in FIGURES:
        low, high = ends(few, name)
        assert low < few.value[name] < high
        assert np.diff(ends(many, name)) < 0.5 * (high - low)


def test_intervals_are_of_blocks_and_not_of_patches() -> None:
    """Each patch ten times over in its block is no more ground."""
    once = drawn(300, 30, 1.0)
    often = Judged(
        *(np.repeat(each, 10) for each in (once.is_positive, once.probabilities, once.blocks)),
        threshold=once.threshold,
    )
    first, second = (prospect_figures(each, resamples=300) for each in (once, often))
    for name in FIGURES:
        assert ends(second, name) == pytest.approx(ends(first, name))


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Of 40 grounds of 40 blocks each, the area on very large ground must lie in most intervals."""
    truth = plain_figures(drawn(100_000, 5_000, 1.0, seed=99))["roc_auc"]
    held = 0
    for seed in range(40):
        figures = prospect_figures(drawn(400, 40, 1.0, seed=seed), resamples=300)
        low, high = ends(figures, "roc_auc")
        held += low <= truth <= high
    assert 33 <= held <= 40


def test_one_block_has_no_interval() -> None:
    figures = prospect_figures(judged([1, 0, 1], [0.9, 0.2, 0.4], [7, 7, 7]), resamples=20)
    assert figures.blocks == OreBlocks(1, 1, 1)
    assert all(figures.low[name] is None for name in FIGURES)
    assert figures.value["recall"] == 0.5


def test_a_block_counts_for_what_it_holds() -> None:
    case = judged([1, 0, 1, 0, 0], [0.5] * 5, [7, 7, 8, 9, 4])
    assert OreBlocks.of(case.blocks, case.is_positive) == OreBlocks(blocks=4, with_ore=2, with_barren=3)


@pytest.mark.parametrize("ore_blocks", [1, 2, 4, 5, 12])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_intervals_want_ore_and_barren_ground_in_five_blocks(ore_blocks: int, is_mirrored: bool) -> None:
    """Half of each block's ore is found: drawn blocks tell nothing of how it would be in others."""
    case = ore_in(ore_blocks, barren_blocks=12)
    if is_mirrored:
        case = replace(case, is_positive=~case.is_positive)
    figures = prospect_figures(case, resamples=200)
    apart = figure_differences(case, replace(case, probabilities=1 - case.probabilities), resamples=200)
    has_interval = ore_blocks >= 5
    assert figures.blocks == (OreBlocks(12 + ore_blocks, *sorted((ore_blocks, 12), reverse=is_mirrored)))
    assert figures.value["balanced_accuracy"] == pytest.approx(0.75 if not is_mirrored else 0.25)
    for name in FIGURES:
        told = (figures.low[name], figures.high[name], apart[name]["low"], apart[name]["high"])
        assert all(each is None for each in told) != has_interval, name
        assert apart[name]["value"] is not None
    stored = figures.as_json()
    found = OreBlocks.from_metrics(stored)
    assert found == figures.blocks
    assert (ore_interval(stored, "roc_auc") is not None) == has_interval
    what = "barren ground" if is_mirrored else "ore"
    s = "" if ore_blocks == 1 else "s"
    expected = f"too few places for an interval ({what} in {ore_blocks} test block{s})"
    assert found.too_few == (None if has_interval else expected)


def test_an_interval_of_an_older_version_over_too_few_blocks_is_not_told() -> None:
    case = ore_in(2, barren_blocks=6)
    ends_of_old = {"value": 0.75, "low": 0.75, "high": 0.75, "known": 0.9}
    old = {"intervals": {"blocks": 8, "balanced_accuracy": ends_of_old}}
    assert ore_interval(old, "balanced_accuracy") == (0.75, 0.75)
    old["test"] = case.as_json()
    assert OreBlocks.from_metrics(old) == OreBlocks(8, 2, 6)
    assert ore_interval(old, "balanced_accuracy") is None


def test_the_warning_is_of_what_lies_in_fewer_blocks() -> None:
    assert OreBlocks(40, 9, 40).warning == (
        "With ore in 9 test blocks only, the intervals are narrower than the truth."
    )
    assert OreBlocks(40, 40, 6).warning == (
        "With barren ground in 6 test blocks only, the intervals are narrower than the truth."
    )
    assert OreBlocks(40, 2, 38).warning == (
        "No intervals: too few places for an interval (ore in 2 test blocks)."
    )
    assert OreBlocks(40, 10, 38).warning is None


def test_draws_without_ore_pull_no_figure_down() -> None:
    """All ore in 5 of 25 blocks is found, and in each barren block one patch of ten is taken for ore."""
    case = ore_in(5, barren_blocks=20)
    probabilities = np.where(case.is_positive, 0.9, 0.1)
    probabilities[np.flatnonzero(~case.is_positive)[::10]] = 0.8
    case = replace(case, probabilities=probabilities)
    drawn_figures = resampled_figures(case, resamples=3000)
    is_silent = {name: np.isnan(values) for name, values in drawn_figures.items()}
    assert 0 < is_silent["recall"].mean() < 0.02
    for name in FIGURES:
        assert np.array_equal(is_silent[name], is_silent["recall"]), name
        # with ore in the draw all of it is found: no figure is 0
        assert np.nanmin(drawn_figures[name]) > 0.25, name


def test_a_figure_that_most_draws_do_not_tell_has_no_interval() -> None:
    drawn_values = np.array([0.5] * 49 + [math.nan] * 51)
    assert ends_of(drawn_values, 40) == (None, None)
    assert ends_of(drawn_values[1:-2], 40) == (None, None)
    assert ends_of(drawn_values[:-2], 40) == (0.5, 0.5)
    assert ends_of(np.full(9, math.nan), 40) == (None, None)
    with pytest.raises(ValueError, match="between 0 and 1"):
        ends_of(drawn_values, 40, 1.0)


def test_two_models_on_the_same_blocks_are_told_apart_where_their_own_intervals_overlap() -> None:
    case = drawn(600, 30, 1.0)
    rng = np.random.default_rng(1)
    worse = Judged(
        case.is_positive,
        np.clip(case.probabilities + 0.12 * rng.standard_normal(600), 0, 1),
        case.blocks,
        0.5,
    )
    found = figure_differences(case, worse, resamples=500)["roc_auc"]
    own = [prospect_figures(each, resamples=500) for each in (case, worse)]
    assert own[1].high["roc_auc"] > own[0].low["roc_auc"]
    assert found["value"] == pytest.approx(own[1].value["roc_auc"] - own[0].value["roc_auc"])
    assert found["high"] is not None
    assert found["high"] < 0
    same = figure_differences(case, case, resamples=50)
    assert all(each == {"value": 0.0, "low": 0.0, "high": 0.0} for each in same.values())


def test_models_judged_elsewhere_are_not_compared() -> None:
    first, second = drawn(60, 5, 1.0), drawn(60, 5, 1.0, seed=3)
    with pytest.raises(ValueError, match="not judged on the same patches"):
        figure_differences(first, second)


def test_two_thousand_resamples_take_about_a_second() -> None:
    case = drawn(3000, 60, 1.0)
    begun = time.process_time()
    figures = prospect_figures(case)
    # five times what it takes, for other tests beside it
    assert time.process_time() - begun < 5
    assert figures.resamples == 2000
    assert figures.value["roc_auc"] == metrics.roc_auc_score(case.is_positive, case.probabilities)
