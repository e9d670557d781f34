"""What a model goes by: channels that carry the truth, channels that are noise, groups of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prospect.channels import Channel
from inference.prospect.importance import channel_groups, permutation_importance
from tests.unit.prospect_patches import GEOLOGY, SPECTRAL

CHANNELS = (*SPECTRAL, *GEOLOGY)


def by_mean_of(*places: int) -> object:
    """A model that goes by the mean of some channels over the patch."""

    def probabilities(values: NDArray[np.float32]) -> NDArray[np.float32]:
        score = values[:, :, list(places)].mean(axis=(1, 2))
        return (1 / (1 + np.exp(-4 * score))).astype(np.float32)

    return probabilities


def patches(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """400 patches; ore lies higher in channels 1 and 4, which say the same."""
    rng = np.random.default_rng(seed)
    is_positive = rng.random(400) < 0.4
    values = rng.standard_normal((400, 9, 5)).astype(np.float32)
    signal = np.where(is_positive, 1.0, -1.0) + 0.3 * rng.standard_normal(400)
    values[:, :, [1, 4]] += signal[:, None, None].astype(np.float32)
    return values, is_positive


def test_groups_are_each_channel_and_all_of_a_kind() -> None:
    assert channel_groups(CHANNELS) == {
        "b0": (0,),
        "b1": (1,),
        "b2": (2,),
        "fault_distance_m": (3,),
        "pluton_distance_m": (4,),
        "all spectral": (0, 1, 2),
        "all geology": (3, 4),
    }
    assert channel_groups(GEOLOGY[:1]) == {"fault_distance_m": (0,)}
    granite = Channel("granite", "evidence", is_geology=True)
    mapped = channel_groups((Channel("Li", "evidence"), granite, Channel("Be", "evidence"), *GEOLOGY[:1]))
    assert (mapped["all evidence"], mapped["all geology"]) == ((0, 2), (1, 3))


def test_what_a_model_goes_by_matters_and_nothing_else() -> None:
    values, is_positive = patches()
    before = values.copy()
    found = {
        each.name: each
        for each in permutation_importance(by_mean_of(1), values, is_positive, CHANNELS, 0.5)  # type: ignore[arg-type]
    }
    np.testing.assert_array_equal(values, before)
    # without its only channel it guesses: from nearly 1 to about a half
    for name in ("b1", "all spectral"):
        assert found[name].balanced_accuracy_drop == pytest.approx(0.5, abs=0.06)
        assert found[name].roc_auc_drop == pytest.approx(0.5, abs=0.06)
        assert 0 < found[name].balanced_accuracy_spread < 0.1
    for name in ("b0", "b2", "fault_distance_m", "pluton_distance_m", "all geology"):
        assert found[name].balanced_accuracy_drop == found[name].roc_auc_drop == 0.0
    assert found["b1"].balanced_accuracy_drop == found["all spectral"].balanced_accuracy_drop
    assert found["all geology"].channels == ("fault_distance_m", "pluton_distance_m")


def test_channels_that_say_the_same_share_their_importance() -> None:
    values, is_positive = patches()
    model = by_mean_of(1, 4)
    found = {
        each.name: each.balanced_accuracy_drop
        for each in permutation_importance(
            model,  # type: ignore[arg-type]
            values,
            is_positive,
            CHANNELS,
            0.5,
            groups={"one": (1,), "other": (4,), "both": (1, 4)},
        )
    }
    assert found["both"] == pytest.approx(0.5, abs=0.06)
    assert 0.1 < found["one"] < 0.4
    assert 0.1 < found["other"] < 0.4


def test_the_same_seed_shuffles_alike() -> None:
    values, is_positive = patches()
    first, again, other = (
        permutation_importance(by_mean_of(1), values, is_positive, CHANNELS, 0.5, repeats=2, seed=seed)  # type: ignore[arg-type]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_one_class_has_no_importance() -> None:
    values, is_positive = patches()
    with pytest.raises(UsageError, match="with and without ore"):
        permutation_importance(by_mean_of(1), values, np.ones_like(is_positive), CHANNELS, 0.5)  # type: ignore[arg-type]
