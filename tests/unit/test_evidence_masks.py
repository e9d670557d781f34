"""Masks of patches, blocks that are held out, and windows that are cut from a ground."""

import numpy as np
import pytest
import torch

from db.errors import UsageError
from inference.evidence.blocks import default_block_px, validation_ground
from inference.evidence.masks import as_cells, complementary_masks, dealt_groups, random_masks
from inference.evidence.networks import layout_of
from inference.evidence.windows import largest_window, padded_ground
from tests.unit.evidence_toys import smooth_field, toy_ground


def grounded(shape, is_judged=None):
    values = {
        ("geochemistry", "Cr"): smooth_field(shape, 2, 1),
        ("geophysics", "magnetics"): smooth_field(shape, 2, 2),
        ("geology", "faults"): smooth_field(shape, 2, 3),
    }
    return toy_ground(values, is_judged=is_judged)


def padded_of(shape, window_px, is_judged=None):
    ground = grounded(shape, is_judged)
    return padded_ground(ground, layout_of(ground.channels), window_px, torch.device("cpu"))


def test_each_window_hides_a_share_between_the_bounds():
    masks = random_masks(np.random.default_rng(1), 400, 8, 0.60, 0.75)
    counts = masks.sum((1, 2))
    # 0.60 of 64 patches is 38.4 and 0.75 is 48
    assert masks.shape == (400, 8, 8)
    assert set(counts) == set(range(39, 49))


def test_every_patch_is_hidden_as_often_as_another():
    masks = random_masks(np.random.default_rng(2), 4000, 4, 0.5, 0.5)
    # a binomial of 4000 at one half strays by 32 from 2000, four times that one in 16,000
    assert np.abs(masks.sum(0) - 2000).max() < 4 * 32


def test_same_seed_draws_the_same_masks_and_another_does_not():
    first, again, other = (random_masks(np.random.default_rng(seed), 9, 8, 0.6, 0.75) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(("least", "most"), [(0.0, 0.5), (0.7, 0.6), (0.5, 1.0), (float("nan"), 0.5)])
def test_bounds_that_are_no_shares_are_refused(least, most):
    with pytest.raises(UsageError, match="give shares between 0 and 1"):
        random_masks(np.random.default_rng(1), 1, 8, least, most)


@pytest.mark.parametrize(("edge", "groups"), [(8, 4), (4, 3), (5, 4), (2, 2)])
def test_complementary_masks_hide_each_patch_in_all_passes_but_one(edge, groups):
    masks = complementary_masks(16, -16, edge, groups)
    assert (masks.sum(0) == groups - 1).all()
    in_sight = (~masks).sum((1, 2))
    assert in_sight.sum() == edge * edge
    assert in_sight.max() - in_sight.min() <= 1


def test_windows_are_dealt_by_their_place_alone():
    assert (dealt_groups(16, -16, 8, 4) == dealt_groups(16, -16, 8, 4)).all()
    assert (dealt_groups(16, -16, 8, 4) != dealt_groups(-16, 16, 8, 4)).any()
    assert (dealt_groups(16, 0, 8, 4) != dealt_groups(32, 0, 8, 4)).any()


@pytest.mark.parametrize("groups", [0, 1, 5])
def test_groups_that_leave_nothing_in_sight_are_refused(groups):
    with pytest.raises(UsageError, match="choose 2 to 4"):
        dealt_groups(0, 0, 2, groups)


def test_a_mask_of_patches_covers_their_cells():
    cells = as_cells(torch.tensor([[[True, False], [False, False]]]), 3)
    assert cells.shape == (1, 6, 6)
    assert cells[0, :3, :3].all()
    assert cells.sum() == 9


def test_held_out_blocks_are_whole_and_hold_the_share():
    is_scored = np.ones((80, 80), dtype=bool)
    held = validation_ground(is_scored, 10, 0.2, seed=3)
    shares = held.reshape(8, 10, 8, 10).mean((1, 3))
    assert set(np.unique(shares)) == {0.0, 1.0}
    # 13 of 64 blocks are the first that hold a fifth
    assert shares.sum() == 13


def test_blocks_are_drawn_by_the_seed():
    is_scored = np.ones((80, 80), dtype=bool)
    first, again, other = (validation_ground(is_scored, 10, 0.2, seed) for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_only_blocks_with_something_to_guess_are_held_out():
    is_scored = np.zeros((40, 40), dtype=bool)
    is_scored[:10, :10] = is_scored[30:, 30:] = True
    held = validation_ground(is_scored, 10, 0.9, seed=1)
    # of two blocks one is held out, however much is asked for
    assert (held & is_scored).sum() == 100


@pytest.mark.parametrize(
    ("block_px", "share", "message"),
    [
        (40, 0.2, "blocks of 40 cells leave 1"),
        (10, 0.0, "share is 0"),
        (10, 1.0, "share is 1"),
        (0, 0.2, "at least 1"),
    ],
)
def test_blocks_that_hold_nothing_or_all_out_are_refused(block_px, share, message):
    with pytest.raises(UsageError, match=message):
        validation_ground(np.ones((40, 40), dtype=bool), block_px, share, seed=1)


def test_default_blocks_are_half_a_window_at_least_and_five_at_least():
    assert default_block_px(np.ones((480, 480), dtype=bool), 32) == 62
    assert default_block_px(np.ones((64, 64), dtype=bool), 32) == 16
    # 32 x 32 cells in blocks of 16 would be four
    assert default_block_px(np.ones((32, 32), dtype=bool), 32) == 8


@pytest.mark.parametrize("shape", [(16, 16), (17, 40), (31, 33), (48, 32)])
def test_sliding_windows_lie_over_each_judged_cell_four_times(shape):
    padded = padded_of(shape, 16)
    seen = np.zeros_like(padded.is_judged, dtype=int)
    for row, col in padded.sliding(padded.is_judged, 8) + padded.margin_px:
        seen[row : row + 16, col : col + 16] += 1
    assert (seen[padded.is_judged] == 4).all()


def test_windows_without_judged_ground_are_left_out():
    is_judged = np.zeros((64, 64), dtype=bool)
    is_judged[20:24, 40:44] = True
    places = padded_of((64, 64), 16, is_judged).sliding(np.pad(is_judged, ((8, 16), (8, 16))), 8)
    # rows 20..23 lie in the windows that begin at 8 and 16, columns 40..43 in those at 32 and 40
    assert sorted(map(tuple, places)) == [(8, 32), (8, 40), (16, 32), (16, 40)]


def test_windows_to_learn_from_hold_a_quarter_of_judged_ground():
    padded = padded_of((32, 32), 16)
    starts = padded.starts(padded.is_judged, 0.25)
    # a corner may hang out by half a window both ways, a side by three quarters
    assert (-8, -8) in set(map(tuple, starts))
    assert (-8, 24) in set(map(tuple, starts))
    assert (-8, 25) not in set(map(tuple, starts))
    assert (0, 28) in set(map(tuple, starts))
    assert (0, 29) not in set(map(tuple, starts))


def test_cut_windows_are_the_ground_and_nothing_beyond_it():
    ground = grounded((20, 24))
    padded = padded_ground(ground, layout_of(ground.channels), 16, torch.device("cpu"))
    inner, corner = padded.cut(padded.values, [2, -8], [5, -8])
    assert (inner.numpy() == ground.values[:, 2:18, 5:21]).all()
    assert (corner[:, 8:, 8:].numpy() == ground.values[:, :8, :8]).all()
    assert (corner[:, :8] == 0).all()
    assert (corner[:, :, :8] == 0).all()


def test_known_shares_are_those_of_each_source():
    values = {("geochemistry", name): smooth_field((16, 16), 2, 1) for name in ("Cr", "Ni")}
    values["geophysics", "magnetics"] = smooth_field((16, 16), 2, 2)
    is_known = np.ones((3, 16, 16), dtype=bool)
    is_known[0, 3, 4] = is_known[2, 5, 6] = False
    ground = toy_ground(values, is_known)
    padded = padded_ground(ground, layout_of(ground.channels), 16, torch.device("cpu"))
    known = padded.cut(padded.known, [0], [0])[0]
    assert known[0, 3, 4] == 0.5
    assert known[1, 5, 6] == 0
    assert known.sum() == 2 * 256 - 1.5


def test_an_area_smaller_than_a_window_is_refused_with_a_window_that_fits():
    with pytest.raises(UsageError, match=r"20 x 40 cells, the windows 32 x 32: .*--window 16"):
        padded_of((20, 40), 32)
    assert [largest_window(40, side) for side in (1, 16, 31, 32)] == [1, 16, 16, 32]
