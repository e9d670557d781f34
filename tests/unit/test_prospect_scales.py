"""Scales of channels: from training ground alone, there and back through JSON, and what they are used for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prospect.normalise import ChannelScales, covered_cells, training_scales

NAMES = ("a", "b", "c")


def ground(seed: int = 0) -> NDArray[np.float32]:
    """(3, 12, 12): the first 6 columns are training ground; beyond, values are a thousand times as high."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((3, 12, 12)).astype(np.float32) * [[[1]], [[10]], [[100]]] + 5
    values[:, :, 6:] *= 1000
    return values.astype(np.float32)


def scales(values: NDArray[np.float32]) -> ChannelScales:
    rows, cols = np.array([0, 2, 4, 6, 8, 8]), np.array([0, 0, 2, 2, 0, 2])
    return training_scales(values, rows, cols, 4, NAMES)


def test_only_training_ground_counts_and_each_cell_once() -> None:
    values = ground()
    found = scales(values)
    covered = np.zeros((12, 12), bool)
    for row, col in ((0, 0), (2, 0), (4, 2), (6, 2), (8, 0), (8, 2)):
        covered[row : row + 4, col : col + 4] = True
    assert found.cells == covered.sum()
    cells = values[:, covered]
    np.testing.assert_allclose(found.means, cells.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.stds, cells.std(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.lows, np.percentile(cells, 1, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.highs, np.percentile(cells, 99, axis=1), rtol=1e-5)
    elsewhere = values.copy()
    elsewhere[:, ~covered] = 1e9
    assert scales(elsewhere).as_json() == found.as_json()


def test_cells_below_patches() -> None:
    covered = covered_cells((5, 6), np.array([0, 1]), np.array([0, 3]), 2)
    drawn = ["##....", "##.##.", "...##.", "......", "......"]
    assert covered.tolist() == [[cell == "#" for cell in row] for row in drawn]


def test_standardised_values_have_mean_0_and_deviation_1_and_nan_becomes_the_mean() -> None:
    values = ground()
    found = scales(values)
    values[1, 3, 3] = np.nan
    values[2, 0, 11] = np.inf
    flat = found.standardise(values)
    assert flat.dtype == np.float32
    assert flat[1, 3, 3] == flat[2, 0, 11] == 0.0
    cells = flat[:, :4, :4].reshape(3, -1)
    assert np.abs(cells.mean(axis=1)).max() < 1
    np.testing.assert_allclose(
        found.standardise(np.moveaxis(values, 0, -1), axis=-1), np.moveaxis(flat, 0, -1), rtol=1e-6
    )
    assert np.isnan(values[1, 3, 3])
    with pytest.raises(UsageError, match="there are 2 channels, the model was trained on 3: a, b, c"):
        found.standardise(values[:2])


def test_a_hole_in_a_channel_leaves_the_others_their_cells() -> None:
    values = ground()
    expected = scales(values)
    values[0, 0, 0] = np.nan
    found = scales(values)
    np.testing.assert_array_equal(found.means[1:], expected.means[1:])
    assert found.means[0] != expected.means[0]
    assert np.isfinite(found.correlation).all()


@pytest.mark.parametrize(
    ("fill", "message"), [(np.nan, "b: no value"), (7.25, "b: one value"), (1e7, "b: one value")]
)
def test_channels_that_tell_nothing_are_refused(fill: float, message: str) -> None:
    values = ground()
    values[1] = fill
    with pytest.raises(UsageError, match=message):
        scales(values)


def test_no_training_patches_are_refused() -> None:
    with pytest.raises(UsageError, match="no training patches"):
        training_scales(ground(), np.zeros(0, np.int64), np.zeros(0, np.int64), 4, NAMES)


def test_json_and_back_is_the_same() -> None:
    found = scales(ground())
    stored = json.loads(json.dumps(found.as_json(), allow_nan=False))
    again = ChannelScales.from_json(stored, NAMES)
    assert again.as_json() == found.as_json()
    np.testing.assert_array_equal(again.standardise(ground()), found.standardise(ground()))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("names", ["a", "c", "b"], "those of the model are a, b, c"),
        ("means", [1.0, 2.0], "no numbers to divide by"),
        ("means", [1.0, 2.0, float("nan")], "no numbers to divide by"),
        ("stds", [1.0, 0.0, 1.0], "no numbers to divide by"),
        ("stds", "abc", "cannot be read"),
        ("correlation", [[1.0, 0.0], [0.0, 1.0]], "no numbers to divide by"),
        ("correlation", [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "no numbers to divide by"),
        ("correlation", [[1.0, 0.9, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], "no numbers to divide by"),
        ("cells", None, "cannot be read"),
    ],
)
def test_stored_scales_that_are_none_are_refused(key: str, value: object, message: str) -> None:
    stored = scales(ground()).as_json() | {key: value}
    with pytest.raises(UsageError, match=message):
        ChannelScales.from_json(stored, NAMES)
    del stored[key]
    with pytest.raises(UsageError, match="cannot be read"):
        ChannelScales.from_json(stored, NAMES)


def test_distance_is_1_at_home_and_sees_combinations_that_training_did_not_have() -> None:
    """Two channels that go together: each value is common, but not high with low."""
    rng = np.random.default_rng(3)
    common = rng.standard_normal((100, 100))
    values = np.stack([common + 0.1 * rng.standard_normal((100, 100)) for _ in range(2)]).astype(np.float32)
    found = training_scales(values, np.arange(0, 100, 10), np.arange(0, 100, 10), 10, ("a", "b"))
    home = found.standardise(values)[:, np.eye(10, dtype=bool).repeat(10, 0).repeat(10, 1)].T
    assert np.sqrt((found.distances(home) ** 2).mean()) == pytest.approx(1, abs=0.1)
    apart = np.array([[1.5, 1.5], [1.5, -1.5]], np.float32)
    near, far = found.distances(apart)
    assert near < 2
    assert far > 8


def test_equal_channels_still_have_a_correlation_that_can_be_inverted() -> None:
    values = ground()
    values[1] = values[0]
    found = scales(values)
    assert np.linalg.eigvalsh(found.correlation)[0] > 0
    assert np.isfinite(found.distances(found.standardise(values).reshape(3, -1).T)).all()
