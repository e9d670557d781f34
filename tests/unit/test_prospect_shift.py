"""How far new features lie from those of training: near one at home, told and warned of elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.prospect.normalise import ChannelScales, training_scales
from inference.prospect.shift import Shift, shift_of

NAMES = ("a", "b", "c")
EDGE = 100


def ground(seed: int, shift: float = 0.0, scale: float = 1.0, turned: bool = False) -> NDArray[np.float32]:
    """Three channels, the second close to the first; ``turned``: close to its opposite."""
    rng = np.random.default_rng(seed)
    first = rng.normal(0, 1, (EDGE, EDGE))
    second = (-first if turned else first) + rng.normal(0, 0.3, (EDGE, EDGE))
    third = rng.normal(0, 1, (EDGE, EDGE))
    made = np.stack([50 + 5 * (scale * first + shift), 2 * second, 1000 + 100 * third])
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def scales() -> ChannelScales:
    rows, cols = (each.ravel() for each in np.meshgrid(np.arange(0, EDGE, 10), np.arange(0, EDGE, 10)))
    return training_scales(ground(1), rows, cols, 10, NAMES)


def shifted(scales: ChannelScales, values: NDArray[np.float32], is_valid: object = None) -> Shift:
    valid = np.ones((EDGE, EDGE), bool) if is_valid is None else np.asarray(is_valid, bool)
    return shift_of(scales, scales.standardise(values), valid)


def test_ground_like_that_of_training_is_at_home(scales: ChannelScales) -> None:
    shift = shifted(scales, ground(2))
    assert shift.distance == pytest.approx(1, abs=0.05)
    assert np.abs(shift.differences).max() < 0.05
    assert shift.outside_shares == pytest.approx([0.02] * 3, abs=0.006)
    assert shift.warnings == ()
    assert not shift.is_large


def test_a_mean_that_moved_is_told_in_standard_deviations_of_training(scales: ChannelScales) -> None:
    shift = shifted(scales, ground(2, shift=3.0))
    assert shift.differences == pytest.approx([3.0, 0, 0], abs=0.1)
    assert shift.outside_shares[0] == pytest.approx(0.75, abs=0.05)  # above 2.33 of a normal at 3
    assert shift.is_large
    moved, outside, far = shift.warnings
    assert moved.endswith("more than 1 standard deviation: a +3.0")
    assert outside.startswith("more than 20% of the cells outside of training: a 7")
    assert "times as far off as those of training" in far


def test_combinations_that_training_did_not_have_are_seen_by_the_distance_alone(
    scales: ChannelScales,
) -> None:
    shift = shifted(scales, ground(2, turned=True))
    assert np.abs(shift.differences).max() < 0.05
    assert shift.outside_shares.max() < 0.03
    assert shift.distance > 2
    assert len(shift.warnings) == 1


def test_only_valid_cells_count(scales: ChannelScales) -> None:
    values = ground(2)
    is_valid = np.ones((EDGE, EDGE), bool)
    is_valid[:50] = False
    values[:, :50] = 1e6
    shift = shifted(scales, values, is_valid)
    assert shift.cells == EDGE * EDGE // 2
    assert shift.warnings == ()


def test_large_ground_is_sampled_evenly(scales: ChannelScales, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.prospect.shift.MOST_CELLS", 3000)
    shift = shifted(scales, ground(2))
    assert shift.cells == 2500  # every fourth
    assert shift.distance == pytest.approx(1, abs=0.08)


def test_figures_are_json_with_the_warnings(scales: ChannelScales) -> None:
    stored = json.loads(json.dumps(shifted(scales, ground(2, shift=3.0)).as_json()))
    assert [channel["name"] for channel in stored["channels"]] == list(NAMES)
    assert stored["channels"][0]["mean_difference"] == pytest.approx(3, abs=0.1)
    assert len(stored["warnings"]) == 3


def test_long_lists_name_the_worst(scales: ChannelScales) -> None:
    differences = np.array([2.0, -9, 3, 4, 5, 6, 0.5])
    names = tuple("abcdefg")
    shift = Shift(names, differences, np.zeros(7), 1.0, 10)
    named = "b -9.0, f +6.0, e +5.0, d +4.0, c +3.0 and 1 more"
    assert shift.warnings == (f"means that moved by more than 1 standard deviation: {named}",)
