"""Scales of evidence: log ratios that sum to nothing, and robust z that divides by no such thing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.evidence.scaling import (
    CLIP,
    MAD_TO_DEVIATION,
    Scale,
    centred_log_ratios,
    is_constant,
    positive_contents,
    ranks,
    robust_scale,
)

logarithms = arrays(np.float64, (3, 4, 5), elements=st.one_of(st.floats(-20, 20), st.just(math.nan)))
columns = arrays(np.float64, st.integers(2, 40), elements=st.floats(-1e6, 1e6, width=32))


@given(logarithms)
def test_log_ratios_sum_to_0_at_each_cell(logs: np.ndarray) -> None:
    ratios = centred_log_ratios(logs)
    known = np.isfinite(logs).sum(axis=0)
    assert np.array_equal(np.isfinite(ratios), np.isfinite(logs) & (known >= 2))
    np.testing.assert_allclose(np.nansum(ratios, axis=0), 0, atol=1e-9)


@given(logarithms, st.floats(-10, 10), arrays(np.float64, (4, 5), elements=st.floats(-5, 5)))
def test_units_and_dilution_make_no_difference(logs: np.ndarray, factor: float, dilution: np.ndarray) -> None:
    before = centred_log_ratios(logs)
    moved = logs.copy()
    moved[1] += factor
    np.testing.assert_allclose(centred_log_ratios(moved), before, atol=1e-9)
    # with all known at every cell, what all are diluted by is gone but for a constant of each channel
    full = np.nan_to_num(logs)
    difference = centred_log_ratios(full + dilution) - centred_log_ratios(full)
    np.testing.assert_allclose(difference, difference[:, :1, :1] * np.ones_like(difference), atol=1e-9)


def test_log_ratios_of_a_cell_known_by_fewer_are_on_the_level_of_the_others() -> None:
    logs = np.random.default_rng(1).normal([[[0]], [[7]], [[-3]]], 0.1, (3, 30, 30))
    partly = logs.copy()
    partly[1, :, 15:] = np.nan
    ratios = centred_log_ratios(partly)
    assert abs(ratios[0, :, 15:].mean() - ratios[0, :, :15].mean()) < 0.05


@given(columns)
def test_scaled_values_are_finite_and_have_their_median_at_0(values: np.ndarray) -> None:
    scale = robust_scale(values)
    if scale is None:
        assert is_constant(values)
        return
    assert scale.scale > 0
    scaled = scale.apply(values)
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= CLIP
    assert abs(float(np.median(scaled.astype(np.float64)))) < 1e-3
    assert (np.diff(scaled[np.argsort(values)]) >= 0).all()


@given(columns, st.floats(1e-2, 1e2), st.floats(-100, 100))
def test_scaling_does_not_depend_on_unit_or_zero(values: np.ndarray, factor: float, offset: float) -> None:
    moved = values * factor + offset
    first, second = robust_scale(values), robust_scale(moved)
    if is_constant(values):
        assert first is None
        return
    steps = np.diff(np.unique(values))
    if steps.min() * factor < 1e-3 * np.abs(moved).max() or steps.min() < 1e-3 * np.abs(values).max():
        return  # next to equal: rounding decides
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(second.scale, first.scale * factor, rtol=1e-6)


def test_the_scale_is_the_median_and_its_absolute_deviation() -> None:
    assert robust_scale(np.array([1.0, 2.0, 4.0, 8.0, 1000.0])) == Scale(4.0, MAD_TO_DEVIATION * 3.0)
    values = np.random.default_rng(1).normal(50, 3, 20_000)
    scale = robust_scale(values)
    assert scale is not None
    assert scale.scale == pytest.approx(3, rel=0.03)
    absurd = np.concatenate([values, np.full(100, 1e12)])
    again = robust_scale(absurd)
    assert again is not None
    assert again.scale == pytest.approx(scale.scale, rel=0.05)


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-4])
def test_a_nearly_constant_surface_is_scaled_by_its_standard_deviation(noise: float) -> None:
    values = np.zeros(1000)
    values[:60] = 1.0
    values += np.random.default_rng(1).normal(0, noise, 1000)
    scale = robust_scale(values)
    assert scale is not None
    assert scale.scale == pytest.approx(values.std())
    assert 3 < scale.apply(np.ones(1))[0] < CLIP


def test_where_absurd_values_blow_up_that_too_the_bulk_is_taken() -> None:
    values = np.zeros(1000)
    values[:60] = 1.0
    values[-1] = 1e9
    scale = robust_scale(values)
    assert scale is not None
    assert scale.apply(np.ones(1))[0] > 1


@pytest.mark.parametrize(
    "values",
    [np.array([]), np.zeros(5), np.full(9, 3.25), np.float32(1e6) + np.float32([0, 0.0625, 0.125])],
)
def test_what_has_one_value_has_no_scale(values: np.ndarray) -> None:
    assert robust_scale(values) is None


def test_contents_of_0_or_less_are_half_the_smallest_judged() -> None:
    values = np.array([[0, -2, 4], [8, np.nan, 1]], np.float32)
    judged = np.array([[True, True, True], [True, True, False]])
    contents, raised, least = positive_contents(values, judged)
    np.testing.assert_array_equal(contents, [[2, 2, 4], [8, np.nan, np.nan]])
    assert (raised, least) == (2, 2.0)
    contents, raised, least = positive_contents(-np.abs(values), judged)
    assert np.isnan(contents).all()
    assert (raised, least) == (4, None)


def test_ranks_run_from_0_to_1_and_equal_values_share() -> None:
    np.testing.assert_allclose(ranks(np.array([3.0, 1.0, 2.0])), [1, 0, 0.5])
    np.testing.assert_allclose(ranks(np.array([5.0, 1.0, 1.0, 9.0, 1.0])), [0.75, 0.25, 0.25, 1, 0.25])
    np.testing.assert_allclose(ranks(np.array([4.0, 4.0])), [0.5, 0.5])
    np.testing.assert_allclose(ranks(np.array([4.0])), [0.5])
