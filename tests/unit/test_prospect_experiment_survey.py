"""The real part of `lode experiment geology`, and another district: how known deposits are ranked."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from db.raster import Grid
from inference.prospect.cells import Cells
from inference.prospect.experiment.survey import (
    Survey,
    _is_side,
    _Side,
    corner_cells,
    mahalanobis,
    overlap_groups,
    placements,
)
from inference.prospect.experiment.transfer import shares_found

GRID = Grid(32650, 500_000.0, 3_000_000.0, 1000.0, 1000.0, 6, 5)


def test_placements_average_to_the_area_under_the_curve() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 20, (30, 40)).astype(float)
    is_rest = rng.random((30, 40)) < 0.7
    at = rng.integers(5, 25, 9).astype(float)
    truth = np.repeat([True, False], [9, int(is_rest.sum())])
    expected = roc_auc_score(truth, np.concatenate([at, scores[is_rest]]))
    assert placements(scores, is_rest, at).mean() == pytest.approx(expected, abs=1e-12)


def test_a_deposit_on_a_corner_has_the_four_cells_around_it() -> None:
    rows, cols = corner_cells(GRID, np.array([502_000.0]), np.array([2_997_000.0]))
    assert sorted(zip(rows[0].tolist(), cols[0].tolist(), strict=True)) == [(2, 1), (2, 2), (3, 1), (3, 2)]
    rows, cols = corner_cells(GRID, np.array([500_100.0]), np.array([2_999_900.0]))
    assert set(zip(rows[0].tolist(), cols[0].tolist(), strict=True)) == {(0, 0)}


def test_mahalanobis_is_the_distance_in_deviations_of_the_fitted_cells() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal((3, 20, 20)) * np.array([1, 10, 100])[:, None, None]
    is_fitted = np.ones((20, 20), bool)
    is_fitted[0] = False
    values[:, 0, 0] = np.nan
    found = mahalanobis(values, is_fitted)
    known = values[:, is_fitted]
    apart = values[:, 7, 7] - known.mean(axis=1)
    assert found[7, 7] == pytest.approx(apart @ np.linalg.solve(np.cov(known), apart))
    # each cell's values count as many deviations as the layers are many
    assert found[is_fitted].mean() == pytest.approx(3, rel=0.01)
    assert np.isfinite(found).all()


def test_deposits_that_share_ground_are_one_group() -> None:
    # the first three overlap in a chain; 10 km apart patches of 10 km do not overlap
    x = np.array([0.0, 9_000.0, 18_000.0, 28_000.0, 18_000.0])
    y = np.array([0.0, 9_000.0, 0.0, 0.0, 30_000.0])
    groups = overlap_groups(x, y, 10_000.0)
    assert groups[0] == groups[1] == groups[2]
    assert len({int(groups[0]), int(groups[3]), int(groups[4])}) == 3
    assert overlap_groups(x[:1], y[:1], 10_000.0).tolist() == [0]
    assert overlap_groups(x[:0], y[:0], 10_000.0).tolist() == []


def test_shares_of_all_deposits_in_the_best_ground_and_none_for_a_constant_answer() -> None:
    grid = Grid(32645, 0.0, 1000.0, 100.0, 100.0, 10, 10)
    probability = np.linspace(1, 0, 100, dtype=np.float32).reshape(10, 10)
    # the fourth lies off the grid: a network that says nothing of it has not found it
    x, y = np.array([50.0, 450.0, 950.0, -50.0]), np.array([950.0, 950.0, 50.0, 950.0])
    found = shares_found(Cells(grid, 5, probability), x, y, np.array([1, 1, 2, 3]))
    assert (found["deposits"], found["unscored"]) == (4, 1)
    shares = {share: each["value"] for share, each in found["top"].items()}
    assert shares == pytest.approx({"0.01": 1 / 4, "0.05": 2 / 4, "0.1": 2 / 4, "0.2": 2 / 4})
    hidden = probability.copy()
    hidden[0, 0] = np.nan
    found = shares_found(Cells(grid, 5, hidden), x, y, np.array([1, 1, 2, 3]))
    assert (found["unscored"], found["top"]["0.2"]["value"]) == (2, 1 / 4)
    flat = shares_found(Cells(grid, 5, np.full((10, 10), 0.5, np.float32)), x, y, np.array([1, 1, 2, 3]))
    assert all(each["value"] == 0 for each in flat["top"].values())


def test_deposits_are_ranked_by_the_cells_around_them_that_count() -> None:
    """Cells round a deposit that are not judged say nothing of it; the others do not rank beside it."""
    is_used = np.ones((5, 6), bool)
    is_used[2, 1] = is_used[0, 5] = False
    # on the corner of four cells of which one is not judged; by the lower edge; where nothing is judged
    survey = Survey(
        "area",
        (),
        (),
        np.array([502_000.0, 504_400.0, 505_900.0]),
        np.array([2_997_000.0, 2_995_100.0, 2_999_900.0]),
        "deposit",
        27.0,
    )
    side = _Side.of(GRID, survey, is_used, 1)
    assert len(side.rows) == 2
    assert len(set(side.groups.tolist())) == 2
    around = {(2, 2), (3, 1), (3, 2), (4, 3), (4, 4)}
    expected = is_used.copy()
    for place in around:
        expected[place] = False
    np.testing.assert_array_equal(side.is_rest, expected)
    scores = np.arange(30, dtype=np.float64).reshape(5, 6)
    scores[2, 1] = scores[0, 5] = np.nan
    rest = scores[expected]
    own = np.array([scores[[2, 3, 3], [2, 1, 2]].mean(), scores[4, 3:5].mean()])
    assert side.placed(scores) == pytest.approx([(rest < each).mean() for each in own])


def test_the_judged_side_of_a_parallel_is_told_by_the_centres_of_cells() -> None:
    north, south = (_is_side(GRID, 27.1, side) for side in ("north", "south"))
    assert not (north & south).any()
    assert (north | south).all()
    latitudes = [27.10 + 0.02, 27.10 - 0.02]
    for latitude, expected in zip(latitudes, (False, True), strict=True):
        assert _is_side(GRID, latitude, "north")[0].all() == expected
