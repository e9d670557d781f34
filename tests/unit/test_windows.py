"""Sliding windows: every pixel once, no seams, the same answer however the work is cut."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from db.errors import UsageError
from inference.windows import StripBlender, Window, WindowPlan, pad_by_reflection, taper_weights


@st.composite
def plans(draw: st.DrawFn) -> WindowPlan:
    tile_px = draw(st.integers(1, 24))
    return WindowPlan(
        draw(st.integers(1, 70)), draw(st.integers(1, 70)), tile_px, draw(st.integers(0, tile_px - 1))
    )


def blended(
    plan: WindowPlan, scene: NDArray[np.float32], order: list[int] | None = None
) -> NDArray[np.float32]:
    """What an identity predictor gives, put together from the strips."""
    padded = torch.from_numpy(pad_by_reflection(scene, plan.tile_px, plan.tile_px))
    blender = StripBlender(plan, scene.shape[0])
    windows = list(plan)
    strips, rows = [], 0
    for number in order or range(len(windows)):
        window = windows[number]
        tile = padded[:, window.row : window.row + plan.tile_px, window.col : window.col + plan.tile_px]
        blender.add(window, tile)
        taken = blender.take()
        if taken is not None:
            assert taken[0] == rows
            rows += taken[1].shape[1]
            strips.append(taken[1].numpy())
    assert rows == plan.height_px
    return np.concatenate(strips, axis=1)


@given(plans())
def test_windows_cover_every_pixel_and_stay_inside(plan: WindowPlan) -> None:
    seen = np.zeros((max(plan.height_px, plan.tile_px), plan.padded_width_px), int)
    for window in plan:
        area = seen[window.row : window.row + plan.tile_px, window.col : window.col + plan.tile_px]
        assert area.shape == (plan.tile_px, plan.tile_px)
        area += 1
    assert seen.min() >= 1
    assert len(list(plan)) == len(plan)


@given(plans())
def test_neighbours_share_the_overlap_or_more(plan: WindowPlan) -> None:
    for positions in (plan.rows, plan.cols):
        steps = np.diff(positions)
        assert (steps > 0).all()
        assert (steps <= plan.tile_px - plan.overlap_px).all()


@given(plans())
def test_an_identity_predictor_gives_the_input_back(plan: WindowPlan) -> None:
    scene = np.random.default_rng(1).normal(size=(2, plan.height_px, plan.width_px)).astype(np.float32)
    assert np.abs(blended(plan, scene) - scene).max() <= 1e-5


@given(plans())
def test_a_constant_predictor_gives_a_constant_map(plan: WindowPlan) -> None:
    scene = np.full((1, plan.height_px, plan.width_px), 0.7, np.float32)
    assert np.ptp(blended(plan, scene)) <= 1e-5


@given(plans(), st.randoms(use_true_random=False))
def test_the_order_of_the_windows_does_not_matter(plan: WindowPlan, chance: random.Random) -> None:
    scene = np.random.default_rng(2).normal(size=(1, plan.height_px, plan.width_px)).astype(np.float32)
    order = list(range(len(plan)))
    chance.shuffle(order)
    assert np.abs(blended(plan, scene, order) - blended(plan, scene)).max() <= 1e-5


@st.composite
def cut_plans(draw: st.DrawFn) -> tuple[WindowPlan, list[tuple[int, int]]]:
    """A plan and its rows in some pieces, from the top."""
    plan = draw(plans())
    cuts = sorted(draw(st.sets(st.integers(1, max(plan.height_px - 1, 1)), max_size=4)) - {plan.height_px})
    return plan, list(zip([0, *cuts], [*cuts, plan.height_px], strict=True))


@given(cut_plans())
def test_the_bands_of_some_rows_are_those_with_a_window_there(
    drawn: tuple[WindowPlan, list[tuple[int, int]]],
) -> None:
    plan, pieces = drawn
    for first, end in pieces:
        there = {
            band
            for band, row in enumerate(plan.rows)
            if set(range(row, row + plan.tile_px)) & set(range(first, end))
        }
        assert set(plan.bands_touching(first, end)) == there


@given(cut_plans(), st.randoms(use_true_random=False))
def test_rows_alone_get_the_very_sums_they_have_in_the_whole_scene(
    drawn: tuple[WindowPlan, list[tuple[int, int]]], chance: random.Random
) -> None:
    plan, pieces = drawn
    generator = torch.Generator().manual_seed(chance.randrange(1000))
    answers = {window: torch.randn(2, plan.tile_px, plan.tile_px, generator=generator) for window in plan}
    whole = strips_of(plan, answers, (0, plan.height_px))
    apart = torch.cat([strips_of(plan, answers, piece) for piece in pieces], dim=1)
    assert torch.equal(apart, whole)


def strips_of(plan: WindowPlan, answers: dict[Window, Tensor], rows: tuple[int, int]) -> Tensor:
    """Sums (channels, rows, width) of some rows, put together; strips must follow each other."""
    blender = StripBlender(plan, 2, rows=rows)
    strips, next_row = [], rows[0]
    for window in plan:
        if window.band in plan.bands_touching(*rows):
            blender.add(window, answers[window])
            taken = blender.take()
            if taken is not None:
                assert taken[0] == next_row
                next_row += taken[1].shape[1]
                strips.append(taken[1])
    assert next_row == rows[1]
    assert blender.take() is None
    assert blender.held_rows == 0
    return torch.cat(strips, dim=1)


@pytest.mark.parametrize("rows", [(0, 0), (3, 2), (-1, 4), (0, 11), (10, 11)])
def test_rows_that_are_not_there_are_refused(rows: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=rf"rows {rows[0]} to {rows[1]} of a scene of 10 rows"):
        StripBlender(WindowPlan(10, 10, 4, 1), 1, rows=rows)


def test_neighbours_are_faded_into_each_other() -> None:
    """Two windows of other opinions: no step larger than the ramp's own steepest."""
    plan = WindowPlan(16, 24, 16, 8)
    blender = StripBlender(plan, 1)
    for value, window in zip((0.0, 1.0), plan, strict=True):
        blender.add(window, torch.full((1, 16, 16), value))
    taken = blender.take()
    assert taken is not None
    row = taken[1][0, 0].numpy()
    assert row[0] == 0
    assert row[-1] == 1
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() < 0.25


@given(st.integers(1, 300), st.floats(0, 1, exclude_max=True))
def test_taper_is_positive_symmetric_and_adds_up_in_the_overlap(tile_px: int, share: float) -> None:
    overlap_px = int(share * tile_px)
    weights = taper_weights(tile_px, overlap_px)
    assert weights.min() > 0
    np.testing.assert_allclose(weights, weights[::-1])
    if 0 < overlap_px <= tile_px // 2:
        np.testing.assert_allclose(weights[:overlap_px] + weights[-overlap_px:], 1)


@settings(max_examples=20)
@given(st.integers(200, 1500))
def test_only_a_band_of_rows_is_held(height_px: int) -> None:
    plan = WindowPlan(height_px, 60, 20, 5)
    blender = StripBlender(plan, 1)
    held = 0
    for window in plan:
        blender.add(window, torch.ones(1, 20, 20))
        held = max(held, blender.held_rows)
        blender.take()
    assert held <= 20
    assert blender.held_rows == 0


def test_padding_mirrors_as_often_as_needed() -> None:
    padded = pad_by_reflection(np.array([[[1, 2]]]), 2, 7)
    np.testing.assert_array_equal(padded, [[[1, 2, 2, 1, 1, 2, 2]] * 2])
    whole = np.zeros((1, 4, 4))
    assert pad_by_reflection(whole, 4, 3) is whole


@pytest.mark.parametrize(("tile_px", "overlap_px"), [(16, 16), (16, -1), (0, 0)])
def test_a_plan_without_stride_or_window_is_refused(tile_px: int, overlap_px: int) -> None:
    with pytest.raises(UsageError, match=r"overlap|at least 1"):
        WindowPlan(10, 10, tile_px, overlap_px)
