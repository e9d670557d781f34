"""Parts of groups: few groups fill all three parts, and folds take turns."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db.errors import UsageError
from inference.samples.parts import best_split, deal, imbalance, parts_of_fold, parts_of_groups
from inference.samples.pieces import Pieces
from inference.samples.settings import Fold
from inference.training.blocks import TEST, TRAIN, VALIDATION


def pieces_of(counts: np.ndarray, prefix: str = "scenes ") -> Pieces:
    """One piece a group and class; counts (groups, 2) of the classes 0 and 7."""
    groups, columns = np.nonzero(counts)
    size = groups.size
    return Pieces(
        scenes=groups,
        labels=np.arange(size),
        codes=np.array([0, 7])[columns],
        groups=groups,
        boxes=np.zeros((size, 4), np.int64),
        pixels=counts[groups, columns],
        places=np.zeros((size, 4)),
        keys=tuple(f"{prefix}{number}" for number in range(len(counts))),
    )


def test_three_groups_are_a_part_each_and_the_largest_is_trained_on() -> None:
    counts = np.array([[100, 10], [700, 70], [90, 9]])
    assert sorted(best_split(counts).tolist()) == [TRAIN, VALIDATION, TEST]
    assert best_split(counts)[1] == TRAIN
    # even where no two groups share a class
    assert sorted(best_split(np.diag([50, 60, 70])).tolist()) == [TRAIN, VALIDATION, TEST]


def test_five_groups_are_split_as_by_hand() -> None:
    counts = np.array([[20, 20], [60, 1], [10, 40], [5, 30], [5, 9]])
    # 6:2:2 exactly is out of reach; every other split of five groups costs more, counted one by one
    parts = best_split(counts)
    costs = {}
    for split in itertools.product(range(3), repeat=5):
        if set(split) != {0, 1, 2}:
            continue
        held = np.array([counts[np.array(split) == part].sum(axis=0) for part in range(3)], float)
        shares = np.column_stack((held / [100, 100], held.sum(axis=1) / 200))
        absent = float(((held == 0).sum(axis=1) * [100, 8, 10]).sum())
        costs[split] = float(((shares - np.array([[0.6], [0.2], [0.2]])) ** 2).sum()) + absent
    assert costs[tuple(parts.tolist())] == pytest.approx(min(costs.values()))


def test_a_class_of_two_groups_is_trained_on_and_tested() -> None:
    counts = np.array([[100, 10], [100, 0], [100, 10], [100, 0], [100, 0]])
    parts = best_split(counts)
    assert sorted(parts[[0, 2]].tolist()) == [TRAIN, TEST]
    alone = best_split(counts * [1, 0] + np.array([[0, 0]] * 4 + [[0, 5]]))
    assert alone[4] == TRAIN


def test_imbalance_is_the_distance_to_6_2_2() -> None:
    assert imbalance(np.array([[6.0], [2], [2]])) == pytest.approx(0)
    assert imbalance(np.array([[8.0, 0], [1, 0], [1, 0]])) == pytest.approx(0.04 + 0.01 + 0.01)
    assert imbalance(np.array([[5.0], [0], [5]])) == pytest.approx(0.01 + 0.04 + 0.09 + 8)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_folds_take_turns(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 100, (groups, 3))
    counts[:, 0] += 1
    folds = int(rng.integers(3, groups + 1))
    dealt = deal(counts, folds)
    assert set(dealt.tolist()) == set(range(folds))
    assert list(dict.fromkeys(dealt.tolist())) == list(range(folds))  # numbered by their first groups
    if folds == groups:
        assert dealt.tolist() == list(range(groups))
    tests, validations = [], []
    for number in range(1, folds + 1):
        parts = parts_of_fold(counts, Fold(number, folds))
        assert set(parts.tolist()) == {TRAIN, VALIDATION, TEST}
        tests.append(parts == TEST)
        validations.append(parts == VALIDATION)
    np.testing.assert_array_equal(np.sum(tests, axis=0), 1)
    np.testing.assert_array_equal(validations, tests[1:] + tests[:1])


def test_folds_hold_about_the_same() -> None:
    counts = np.column_stack((np.arange(1, 31), np.where(np.arange(30) % 5 == 0, 10, 0)))
    dealt = deal(counts, 3)
    held = np.array([counts[dealt == fold].sum(axis=0) for fold in range(3)])
    np.testing.assert_allclose(held / held.sum(axis=0), 1 / 3, atol=0.04)


def test_the_parts_of_few_groups_do_not_hang_on_the_seed() -> None:
    few = pieces_of(np.array([[100, 10]] * 8))
    np.testing.assert_array_equal(parts_of_groups(few, 1), parts_of_groups(few, 2))
    many = pieces_of(np.array([[100, 10]] * 30))
    assert (parts_of_groups(many, 1) != parts_of_groups(many, 2)).any()
    np.testing.assert_array_equal(parts_of_groups(many, 1, Fold(2, 5)), parts_of_groups(many, 2, Fold(2, 5)))


def test_groups_that_joined_others_play_no_part() -> None:
    counts = np.array([[100, 10], [0, 0], [100, 10], [100, 10]])
    parts = parts_of_groups(pieces_of(counts), 0)
    assert sorted(parts[[0, 2, 3]].tolist()) == [TRAIN, VALIDATION, TEST]
    assert parts_of_groups(pieces_of(counts), 0, Fold(1, 3)).tolist() == [TEST, TRAIN, VALIDATION, TRAIN]


def test_too_few_groups_and_too_many_folds_are_refused() -> None:
    two = np.array([[100, 10], [100, 10]])
    with pytest.raises(UsageError, match="2 groups of scenes, at least three"):
        parts_of_groups(pieces_of(two), 0)
    with pytest.raises(UsageError, match=r"2 mines or blocks, at least three .* --tile-px"):
        parts_of_groups(pieces_of(two, "mine "), 0)
    with pytest.raises(UsageError, match="fold is 2/4, but the labels lie in 3 groups of scenes"):
        parts_of_groups(pieces_of(np.array([[100, 10]] * 3)), 0, Fold(2, 4))


@pytest.mark.parametrize(
    ("text", "message"),
    [("2", "like 2/5"), ("a/5", "like 2/5"), ("-1/5", "like 2/5"), ("1/2", "at least 3"), ("0/5", "1 to 5"),
     ("6/5", "1 to 5"), ("1/5/6", "like 2/5"), ("²/5", "like 2/5"), ("", "like 2/5")],
)  # fmt: skip
def test_what_is_no_fold_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Fold.from_text(text)


def test_a_fold_is_read_as_it_is_written() -> None:
    assert Fold.from_text(" 2 / 5 ") == Fold(2, 5)
    assert str(Fold(2, 5)) == "2/5"
