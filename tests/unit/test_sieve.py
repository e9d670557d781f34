"""Small patches join a neighbour: cases drawn by hand, and any map against the rule spelt out slowly."""

import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from inference.polygonise import NOT_OBSERVED, label_components, sieve


def draw(drawing: str) -> np.ndarray:
    """A class map drawn as text: a digit is a class, a point was not observed."""
    lines = textwrap.dedent(drawing).strip("\n").splitlines()
    return np.array(
        [[NOT_OBSERVED if cell == "." else int(cell) for cell in line] for line in lines], np.uint8
    )


def sieve_step(class_map: np.ndarray, min_patch_px: dict[int, int]) -> bool:
    """Merge the smallest patch that can be merged, in place; False when there is none."""
    components = label_components(class_map)
    labels, sizes = components.labels, components.pixel_count
    padded = np.pad(labels, 1)
    for label in np.lexsort((np.arange(len(sizes)), sizes)) + 1:
        if sizes[label - 1] >= min_patch_px.get(int(components.class_code[label - 1]), 0):
            continue
        inside = padded == label
        shifted = [np.roll(padded, step, axis)[inside] for step in (1, -1) for axis in (0, 1)]
        touched = np.concatenate(shifted)
        touched = touched[(touched != label) & (touched != 0)]
        if len(touched) == 0:
            continue
        neighbours, edges = np.unique(touched, return_counts=True)
        best = max(zip(edges, sizes[neighbours - 1], -neighbours, strict=True))
        class_map[labels == label] = components.class_code[-best[2] - 1]
        return True
    return False


def check_against_the_rule(class_map: np.ndarray, min_patch_px: dict[int, int]) -> None:
    before = class_map.copy()
    sieved = sieve(class_map, min_patch_px)
    np.testing.assert_array_equal(class_map, before)

    expected, steps = class_map.copy(), 0
    while sieve_step(expected, min_patch_px):
        steps += 1
    np.testing.assert_array_equal(sieved.class_map, expected)
    assert sieved.merged_patches == steps
    assert sieved.changed_px == (expected != class_map).sum()
    np.testing.assert_array_equal(sieved.class_map == NOT_OBSERVED, class_map == NOT_OBSERVED)

    after = label_components(sieved.class_map)
    least = np.array([min_patch_px.get(int(code), 0) for code in after.class_code])
    assert (after.pixel_count < least).sum() == sieved.remaining_patches


@settings(deadline=None, max_examples=200)
@given(
    arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2, max_side=10),
        elements=st.sampled_from([0, 1, 2, 3, NOT_OBSERVED]),
    ),
    st.dictionaries(st.sampled_from([0, 1, 2, 3]), st.integers(0, 30)),
)
def test_any_map_comes_out_as_the_rule_says(class_map, min_patch_px):
    check_against_the_rule(class_map, min_patch_px)


@pytest.mark.parametrize("cell_px", [1, 2, 3])
def test_long_chains_of_merging_follow_the_rule(cell_px):
    """Patches grow out of many, on boundaries of many lengths, with ties everywhere."""
    rng = np.random.default_rng(cell_px)
    for _ in range(3):
        cells = rng.integers(0, 4, (24, 24)).astype(np.uint8)
        class_map = np.kron(cells, np.ones((cell_px, cell_px), np.uint8))[: 24 * 2, : 24 * 2]
        class_map[rng.random(class_map.shape) < 0.02] = 4
        class_map[rng.random(class_map.shape) < 0.02] = NOT_OBSERVED
        check_against_the_rule(class_map, {0: 9 * cell_px, 1: 40, 2: 25 * cell_px, 3: 12, 4: 3})


@pytest.mark.parametrize(
    ("before", "after", "min_patch_px"),
    [
        pytest.param("000\n010\n000", "000\n000\n000", {1: 2}, id="swallowed"),
        pytest.param("000\n010\n000", "000\n010\n000", {1: 1}, id="large enough"),
        pytest.param("000\n010\n000", "000\n010\n000", {}, id="class not named"),
        pytest.param(".....\n.111.\n.....", ".....\n.111.\n.....", {1: 9}, id="alone"),
        pytest.param("0000\n0022\n1122", "0000\n0022\n0022", {1: 3}, id="longest boundary"),
        # One edge with each neighbour.
        pytest.param("00122", "00022", {1: 2}, id="equal boundary and size: the first"),
        pytest.param("001222", "002222", {1: 2}, id="equal boundary: the larger"),
        # The 1 between two patches of class 0 joins them; together they are large enough.
        pytest.param("00100", "00000", {0: 4, 1: 2}, id="joins what it separated"),
        # The 3 goes first and joins the five pixels of class 2, which are then large enough to stay.
        pytest.param("11111\n12321\n12221", "11111\n12221\n12221", {2: 6, 3: 2}, id="grows in time"),
        # With it they are six, still too small.
        pytest.param("11111\n12321\n12221", "11111\n11111\n11111", {2: 7, 3: 2}, id="grows too little"),
    ],
)
def test_drawn_cases(before, after, min_patch_px):
    sieved = sieve(draw(before), min_patch_px).class_map
    np.testing.assert_array_equal(sieved, draw(after))


def test_counts_of_a_drawn_case():
    sieved = sieve(
        draw("""
            0001.2
            0300..
            0000..
        """),
        {1: 2, 2: 5, 3: 2},
    )
    assert sieved.merged_patches == 2
    assert sieved.changed_px == 2
    assert sieved.remaining_patches == 1
    np.testing.assert_array_equal(sieved.class_map, draw("0000.2\n0000..\n0000.."))


def test_result_may_replace_the_map():
    class_map = draw("000\n010\n000")
    assert sieve(class_map, {1: 2}, out=class_map).class_map is class_map
    assert not class_map.any()


def test_large_random_map_leaves_no_small_patch():
    class_map = np.random.default_rng(2).integers(0, 5, (300, 300)).astype(np.uint8)
    sieved = sieve(class_map, dict.fromkeys(range(5), 40))
    assert label_components(sieved.class_map).pixel_count.min() >= 40
    assert sieved.remaining_patches == 0


@pytest.mark.parametrize(
    ("min_patch_px", "message"),
    [({NOT_OBSERVED: 3}, "class 255"), ({-1: 3}, "class -1"), ({1: -3}, "-3 px")],
)
def test_wrong_sizes_are_refused(min_patch_px, message):
    with pytest.raises(ValueError, match=message):
        sieve(draw("01"), min_patch_px)


def test_wrong_output_is_refused():
    with pytest.raises(ValueError, match=r"got uint8 of \(2, 1\)"):
        sieve(draw("01"), {}, out=np.zeros((2, 1), np.uint8))
