"""Figures of scores against deposits, by hand and by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, stats
from sklearn.metrics import roc_auc_score

from db.errors import UsageError
from db.raster import Grid
from inference.evidence.evaluation.figures import CHANCE, FIGURES, Answers, Ranks, drawn_figures, figures_of
from inference.evidence.evaluation.judging import (
    ABOVE,
    NOT_ABOVE,
    NOT_SHOWN,
    Difference,
    Evaluation,
    EvaluationSettings,
    Figure,
    evaluate,
)
from inference.evidence.evaluation.placed import PlacedDeposits, place_deposits
from inference.evidence.evaluation.plain import filled
from inference.evidence.evaluation.toroidal import null_figures, null_p, toroidal_shifts

Floats = NDArray[np.float64]


def grid_of(scores: Floats) -> Grid:
    """Cells of 100 m, the lower left corner at 0, 0."""
    height, width = scores.shape
    return Grid(32645, 0, 100.0 * height, 100, 100, width, height)


def at_cells(scores: Floats, cells: Sequence[tuple[float, float]]) -> PlacedDeposits:
    """Deposits by row and column, at the centres of cells where these are whole numbers."""
    rows, cols = np.array(cells, float).T
    grid = grid_of(scores)
    return place_deposits(grid, (cols + 0.5) * 100, grid.origin_y - (rows + 0.5) * 100)


def answers_of(
    scores: Floats, deposits: PlacedDeposits, is_judged: NDArray[np.bool_] | None = None
) -> Answers:
    judged = np.ones(scores.shape, bool) if is_judged is None else is_judged
    kept = deposits.judged(judged)
    return Answers.of(Ranks.of(scores, judged), kept.rows, kept.cols, kept.shares)


def judge(scores: Floats, deposits: PlacedDeposits, **settings: int) -> Evaluation:
    chosen = EvaluationSettings(150.0, **settings)
    return evaluate({"score": scores}, np.ones(scores.shape, bool), deposits, chosen)


def width_of(figure: Figure | Difference) -> float:
    assert figure.low is not None
    assert figure.high is not None
    return figure.high - figure.low


def test_ten_cells_by_hand() -> None:
    """Scores 0 to 9; deposits on 8 and 3, so that the rest are 0 1 2 4 5 6 7 9."""
    scores = np.arange(10.0)[None]
    answers = answers_of(scores, at_cells(scores, [(0, 8), (0, 3)]))
    assert answers.placements.tolist() == [7 / 8, 3 / 8]
    figures = figures_of(answers)
    assert figures["roc_auc"] == pytest.approx(5 / 8)
    # the best 10 % is the 9, the best 20 % the 9 and the 8
    assert (figures["capture_10"], figures["capture_20"]) == pytest.approx((0, 0.5))
    assert answers.captured(np.array([0.15, 0.65, 0.7, 1])).mean(axis=0).tolist() == pytest.approx(
        [0.25, 0.75, 1, 1]
    )
    # half of the deposits are found at 0.2, and nothing more until 0.6: the other curve is there at 0.5
    assert figures["pa_capture"] == pytest.approx(0.5)
    assert figures["density"] == pytest.approx(1.0)


def test_equal_scores_share_their_ground() -> None:
    """Deposit among the best four of ten, which are equal: three of the rest tie and six are lower."""
    scores = np.array([[5.0, 5, 5, 5, 1, 1, 1, 1, 1, 0]])
    answers = answers_of(scores, at_cells(scores, [(0, 2)]))
    figures = figures_of(answers)
    assert figures["roc_auc"] == pytest.approx((6 + 1.5) / 9)
    assert figures["capture_10"] == pytest.approx(0.25)
    assert figures["capture_20"] == pytest.approx(0.5)
    # 2.5 a = 1 - a
    assert figures["density"] == pytest.approx(2.5)
    assert figures["pa_capture"] == pytest.approx(1 - 1 / 3.5)


def test_a_constant_score_knows_nothing() -> None:
    scores = np.zeros((6, 7))
    figures = figures_of(answers_of(scores, at_cells(scores, [(1, 1), (3.5, 4.25)])))
    assert figures == pytest.approx(CHANCE)


def test_a_perfect_score() -> None:
    scores = np.zeros((20, 20))
    cells = [(2, 3), (11, 5), (17, 18)]
    for row, col in cells:
        scores[row, col] = 1
    scores -= np.linspace(0, 0.1, 400).reshape(20, 20)
    figures = figures_of(answers_of(scores, at_cells(scores, cells)))
    assert figures["roc_auc"] == 1
    assert figures["capture_1"] == pytest.approx(1)
    assert figures["density"] > 100
    worst = figures_of(answers_of(-scores, at_cells(scores, cells)))
    assert worst["roc_auc"] == 0


def test_a_deposit_on_the_corner_of_four_cells_counts_a_quarter_in_each() -> None:
    """Cells of 9, 0, 0, 0 would have a mean of 2.25, above all the rest; three quarters of it lie below."""
    scores = np.ones((4, 4))
    scores[1:3, 1:3] = [[9, 0], [0, 0]]
    deposits = at_cells(scores, [(1.5, 1.5)])
    assert deposits.shares.tolist() == [[0.25] * 4]
    assert figures_of(answers_of(scores, deposits))["roc_auc"] == pytest.approx(0.25)


def test_shares_follow_the_distance_and_stay_on_the_grid() -> None:
    scores = np.zeros((3, 3))
    deposits = at_cells(scores, [(0.25, 1.5), (-0.4, 0.0), (2.5, 2.5)])
    assert deposits.shares[0].tolist() == pytest.approx([0.375, 0.375, 0.125, 0.125])
    # beside the outermost centres, what would lie outside falls to the cells inside
    assert deposits.shares[1].tolist() == pytest.approx([0, 0, 1, 0])
    assert deposits.shares[2].tolist() == pytest.approx([1, 0, 0, 0])
    # beyond the extent there is no deposit, nor where the CRS does not reach
    assert len(at_cells(scores, [(-0.51, 0), (0, 2.51), (np.nan, np.inf)])) == 0


def test_deposits_on_ground_that_is_not_judged_do_not_count() -> None:
    scores = np.arange(16.0).reshape(4, 4)
    is_judged = np.ones((4, 4), bool)
    is_judged[:, 2:] = False
    deposits = at_cells(scores, [(1, 1), (1, 2), (1, 1.4), (1, 1.6)])
    assert deposits.judged(is_judged).ids == (0, 2)
    assert deposits.judged(is_judged).shares.sum(axis=1).tolist() == pytest.approx([1, 1])
    found = evaluate({"score": scores}, is_judged, deposits, EvaluationSettings(0.0, resamples=10))
    assert (len(found.deposits), found.unjudged, found.cells) == (2, 2, 8)
    with pytest.raises(UsageError, match="none of the 1 deposits within the grid lies on judged ground"):
        evaluate({"score": scores}, is_judged, deposits.chosen(np.arange(4) == 1), EvaluationSettings(0.0))


def test_methods_are_ranked_on_the_cells_that_all_of_them_score() -> None:
    scores = np.arange(16.0).reshape(4, 4)
    other = scores.copy()
    other[0] = np.nan
    judged = np.ones((4, 4), bool)
    deposits = at_cells(scores, [(0, 0), (3, 3)])
    found = evaluate({"a": scores, "b": other}, judged, deposits, EvaluationSettings(0.0, resamples=10))
    assert (found.cells, len(found.deposits), found.unjudged) == (12, 1, 1)
    with pytest.raises(UsageError, match="no judged cell has a score of all of a, b"):
        evaluate({"a": scores, "b": scores * np.nan}, judged, deposits, EvaluationSettings(0.0))
    whole = at_cells(scores, [(row, col) for row in range(4) for col in range(4)])
    with pytest.raises(UsageError, match="16 deposits lie on all 16 judged cells"):
        evaluate({"a": scores}, judged, whole, EvaluationSettings(0.0))


@given(seed=st.integers(0, 10_000), deposits=st.integers(1, 12), levels=st.sampled_from([2, 5, 1000]))
def test_the_area_is_that_of_scikit_learn(seed: int, deposits: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(7, 8)).astype(float)
    cells = rng.choice(56, deposits, replace=False)
    places = [(float(cell // 8), float(cell % 8)) for cell in cells]
    is_ore = np.zeros(56, bool)
    is_ore[cells] = True
    figures = figures_of(answers_of(scores, at_cells(scores, places)))
    assert figures["roc_auc"] == pytest.approx(roc_auc_score(is_ore, scores.ravel()))


@given(seed=st.integers(0, 10_000), deposits=st.integers(1, 12), levels=st.sampled_from([2, 5, 1000]))
def test_figures_are_shares_that_agree(seed: int, deposits: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(levels, size=(9, 8)).astype(float)
    places = [(row, col) for row, col in rng.uniform(0, 7, (deposits, 2))]
    answers = answers_of(scores, at_cells(scores, places))
    figures = figures_of(answers)
    captures = [figures[name] for name in ("capture_1", "capture_5", "capture_10", "capture_20")]
    assert captures == sorted(captures)
    assert 0 <= figures["roc_auc"] <= 1
    # the intersection is where both curves say the same, looked for on a fine scale
    area = np.linspace(0, 1, 20_001)
    over = answers.captured(area).mean(axis=0) + area - 1
    assert 1 - figures["pa_capture"] == pytest.approx(area[np.argmax(over >= 0)], abs=1e-4)
    assert figures["density"] == pytest.approx(figures["pa_capture"] / (1 - figures["pa_capture"]))
    # another order of the same order
    again = figures_of(answers_of(np.exp(scores / levels), at_cells(scores, [(0, 0)])))
    assert again == pytest.approx(figures_of(answers_of(scores, at_cells(scores, [(0, 0)]))))


def test_random_scores_have_half_of_the_area() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        # skewed on purpose: means of four cells would lie above the middle
        scores = rng.exponential(size=(20, 20)) ** 3
        places = [(row + 0.5, col + 0.5) for row, col in rng.integers(19, size=(8, 2))]
        found.append(figures_of(answers_of(scores, at_cells(scores, places))))
    for name in ("roc_auc", "capture_1", "capture_5", "capture_10", "capture_20"):
        values = np.array([each[name] for each in found])
        assert abs(values.mean() - CHANCE[name]) < 4 * values.std() / np.sqrt(len(values)), name


def test_drawing_a_deposit_twice_is_having_it_twice() -> None:
    scores = np.random.default_rng(1).normal(size=(12, 12))
    answers = answers_of(scores, at_cells(scores, [(2, 2), (5.3, 7.1), (10, 4.6)]))
    drawn = drawn_figures(answers, np.array([[1.0, 1, 1], [2, 0, 1]]))
    assert {name: values[0] for name, values in drawn.items()} == pytest.approx(figures_of(answers))
    twice = Answers(*(array[[0, 0, 2]] for array in vars(answers).values()))
    assert {name: values[1] for name, values in drawn.items()} == pytest.approx(figures_of(twice))


def test_the_curve_encloses_the_area_that_is_told() -> None:
    scores = np.random.default_rng(2).normal(size=(15, 15))
    method = judge(scores, at_cells(scores, [(2, 2), (5.3, 7.1), (10, 4.6)]), resamples=10, shifts=0).methods[
        "score"
    ]
    false, true = np.array(method.curves.false), np.array(method.curves.true)
    assert np.trapezoid(true, false) == pytest.approx(method.figures["roc_auc"].value, abs=1e-5)
    assert (true[0], true[-1], false[0], false[-1]) == (0, 1, 0, 1)
    assert method.figures["roc_auc"].null_p is None


def test_deposits_beside_each_other_are_drawn_together() -> None:
    """Two tight clusters and four single ones: six places, and far wider intervals than of 14 deposits."""
    scores = np.random.default_rng(3).normal(size=(40, 40))
    scores = ndimage.gaussian_filter(scores, 2)
    cells = [(5.0, 5.0 + step) for step in range(5)] + [(30.0, 30.0 + step) for step in range(5)]
    cells += [(5, 30), (30, 5), (18, 18), (12, 37)]
    deposits = at_cells(scores, cells)
    grouped = judge(scores, deposits, shifts=0)
    alone = evaluate({"score": scores}, np.ones((40, 40), bool), deposits, EvaluationSettings(0.0, shifts=0))
    assert (grouped.places, alone.places) == (6, 14)
    wide, narrow = (each.methods["score"].figures["roc_auc"] for each in (grouped, alone))
    assert wide.value == narrow.value
    assert width_of(wide) > 1.3 * width_of(narrow)


def test_few_places_have_no_interval() -> None:
    scores = np.random.default_rng(3).normal(size=(40, 40))
    few = judge(scores, at_cells(scores, [(1, 1), (9, 9), (20, 20), (30, 30)]), shifts=0)
    enough = judge(scores, at_cells(scores, [(1, 1), (9, 9), (20, 20), (30, 30), (38, 2)]), shifts=0)
    assert few.methods["score"].figures["roc_auc"].low is None
    assert enough.methods["score"].figures["roc_auc"].low is not None
    assert few.difference("score", "score")["roc_auc"].high is None


def test_differences_are_paired() -> None:
    """A score beside nearly the same one: each interval is wide, that of their difference is narrow."""
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(40, 40))
    cells = [(float(row), float(col)) for row, col in rng.choice(40, (25, 2))]
    for row, col in cells:
        scores[int(row), int(col)] += 1
    rival = scores - 0.2 * np.isin(np.arange(1600), [40 * r + c for r, c in cells]).reshape(40, 40)
    methods = {"main": scores, "rival": rival, "noise": rng.normal(size=(40, 40))}
    found = evaluate(
        methods, np.ones((40, 40), bool), at_cells(scores, cells), EvaluationSettings(0, shifts=9)
    )
    apart = found.difference("main", "rival")["roc_auc"]
    own = found.methods["main"].figures["roc_auc"]
    assert width_of(apart) < 0.5 * width_of(own)
    assert found.verdict("main", "rival") == ABOVE
    assert found.verdict("rival", "main") == NOT_ABOVE
    assert found.verdict("main", "noise") == ABOVE
    assert found.difference("main", "main")["density"].value == 0


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.1, 0.02, 0.2, ABOVE),
        (0.1, -0.02, 0.2, NOT_SHOWN),
        (0.1, 0.0, 0.2, NOT_SHOWN),
        (0.1, None, None, NOT_SHOWN),
        (0.0, -0.1, 0.1, NOT_ABOVE),
        (-0.1, -0.2, -0.01, NOT_ABOVE),
        (-0.1, None, None, NOT_ABOVE),
    ],
)
def test_verdicts(value: float, low: float | None, high: float | None, verdict: str) -> None:
    assert Difference(value, low, high).verdict == verdict


def test_a_shift_moves_all_deposits_alike_round_the_judged_ground() -> None:
    """Judged are rows 1 to 4 and columns 2 to 6; all shifts there are, each once, and none back home."""
    is_judged = np.zeros((6, 9), bool)
    is_judged[1:5, 2:7] = True
    scores = np.zeros((6, 9))
    deposits = at_cells(scores, [(1, 2), (4, 6)]).judged(is_judged)
    shifted = toroidal_shifts(deposits, is_judged, shifts=999)
    first = [(int(each.rows[0, 0]), int(each.cols[0, 0])) for each in shifted]
    second = [(int(each.rows[1, 0]), int(each.cols[1, 0])) for each in shifted]
    assert len(set(first)) == len(first) == 19
    assert (1, 2) not in first
    assert {(row, col) for row, col in first} <= {(r, c) for r in range(1, 5) for c in range(2, 7)}
    for (row, col), (other_row, other_col) in zip(first, second, strict=True):
        assert (other_row - row) % 4 == 3
        assert (other_col - col) % 5 == 4
    assert len(toroidal_shifts(deposits, is_judged, shifts=7)) == 7


def test_deposits_shifted_off_the_ground_are_dropped_and_such_shifts_drawn_anew() -> None:
    """Half of the rectangle is not judged: no shift leaves fewer than half of the deposits."""
    is_judged = np.ones((20, 20), bool)
    is_judged[:10, :10] = is_judged[10:, 10:] = False
    scores = np.zeros((20, 20))
    rng = np.random.default_rng(5)
    places = [(float(row), float(col)) for row, col in rng.integers(20, size=(60, 2)) if is_judged[row, col]]
    deposits = at_cells(scores, places).judged(is_judged)
    shifted = toroidal_shifts(deposits, is_judged, shifts=999)
    assert 20 < len(shifted) < 399
    for each in shifted:
        assert 2 * len(each.rows) >= len(deposits)
        assert is_judged[each.rows, each.cols][each.shares > 0].all()


def test_p_values_are_uniform_where_there_is_nothing_to_find() -> None:
    """Smooth scores and clustered deposits that have nothing to do with each other."""
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        scores = ndimage.gaussian_filter(rng.normal(size=(24, 24)), 2, mode="wrap")
        middle = rng.uniform(4, 20, (3, 2)).repeat(4, axis=0)
        places = [(row, col) for row, col in np.clip(middle + rng.normal(size=(12, 2)), 0, 23)]
        deposits = at_cells(scores, places)
        ranks = Ranks.of(scores, np.ones((24, 24), bool))
        null = null_figures(ranks, toroidal_shifts(deposits, np.ones((24, 24), bool), shifts=39, seed=seed))
        own = figures_of(Answers.of(ranks, deposits.rows, deposits.cols, deposits.shares))
        found.append(null_p(own["roc_auc"], null["roc_auc"]))
    values = np.array(found, float)
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert 0.01 < (values <= 0.1).mean() < 0.2


def test_p_counts_the_deposits_themselves() -> None:
    drawn = np.array([0.1, 0.5, 0.7, 0.9])
    assert null_p(0.7, drawn) == pytest.approx(3 / 5)
    assert null_p(1.0, drawn) == pytest.approx(1 / 5)
    assert null_p(0.7, np.array([])) is None


def test_a_score_that_finds_the_deposits_is_beyond_chance() -> None:
    rng = np.random.default_rng(6)
    scores = ndimage.gaussian_filter(rng.normal(size=(40, 40)), 2, mode="wrap")
    best = np.argsort(scores.ravel())[::-1][:320:16]
    deposits = at_cells(scores, [(float(cell // 40), float(cell % 40)) for cell in best])
    found = judge(scores, deposits, resamples=200, shifts=99)
    for name in FIGURES:
        figure = found.methods["score"].figures[name]
        assert figure.null_p is not None
        assert figure.null_p <= 0.03 if name != "capture_1" else figure.null_p < 0.5
    assert found.shifted == 99


def test_the_same_seed_gives_the_same_figures() -> None:
    scores = np.random.default_rng(7).normal(size=(20, 20))
    deposits = at_cells(scores, [(float(at), float(at)) for at in range(0, 20, 3)])
    one, two, other = (judge(scores, deposits, resamples=50, shifts=19, seed=seed) for seed in (1, 1, 2))
    assert one.methods["score"].figures == two.methods["score"].figures
    assert one.methods["score"].figures != other.methods["score"].figures


def test_gaps_of_a_layer_are_neither_high_nor_low() -> None:
    layer = np.array([[1.0, np.nan, 3.0, 100.0]])
    assert filled(layer, np.array([[True, True, True, False]])).tolist() == [[1, 2, 3, 100]]
