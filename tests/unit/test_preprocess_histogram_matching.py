"""Histogram matching undoes a planted rising curve, and stays tame where there is nothing to go by."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from db.errors import UsageError
from ingest.preprocess.histogram_matching import STEEPEST, match_histograms

Image = npt.NDArray[np.float32]
EVERYWHERE = np.ones((200, 200), np.bool_)


@pytest.fixture
def ground() -> Image:
    rng = np.random.default_rng(4)
    low, high = rng.normal(0.08, 0.015, (2, 200, 200)), rng.normal(0.3, 0.05, (2, 200, 200))
    return np.where(rng.random((2, 200, 200)) < 0.6, low, high).clip(0.01, 0.6).astype(np.float32)


def test_a_curve_is_undone_for_every_pixel(ground: Image) -> None:
    target = np.stack([np.sqrt(ground[0]), 0.5 * ground[1] + 0.1 * ground[1] ** 2 + 0.05])
    shuffled = np.random.default_rng(1).permutation(ground.reshape(2, -1), axis=1).reshape(ground.shape)
    fitted = match_histograms(target, shuffled, EVERYWHERE).apply(target)
    assert fitted.dtype == np.float32
    low, high = (np.quantile(ground, share, axis=(1, 2))[:, None, None] for share in (0.002, 0.998))
    inside = (ground > low) & (ground < high)
    assert np.abs(fitted - ground)[inside].max() < 0.006
    assert np.median(np.abs(fitted - ground)) < 0.0005


def test_only_valid_pixels_count(ground: Image) -> None:
    valid = EVERYWHERE.copy()
    valid[:, 100:] = False
    target = ground * 0.5
    target[:, :, 100:] = 0.9  # cloud
    fitted = match_histograms(target, ground, valid).apply(target)
    assert np.median(np.abs(fitted - ground)[:, :, :100]) < 0.0005


def test_order_is_kept_and_the_ends_go_on_straight(ground: Image) -> None:
    matching = match_histograms(ground * 0.5 + 0.1, ground, EVERYWHERE)
    ramp = np.linspace(-0.5, 1.5, 2001, dtype=np.float32)
    bent = matching.apply(np.broadcast_to(ramp, (2, 1, 2001)))
    assert np.isfinite(bent).all()
    assert (np.diff(bent, axis=2) > 0).all()
    assert bent[0, 0, -1] > 1.2
    assert bent[0, 0, 0] < -0.2


def test_a_narrow_band_is_not_blown_up(ground: Image) -> None:
    target = np.full_like(ground, 0.2)
    target[:, :2] = np.linspace(0.1, 0.9, 200)
    target[:, 2:] += np.random.default_rng(2).normal(0, 1e-5, (2, 198, 200)).astype(np.float32)
    matching = match_histograms(target, ground, EVERYWHERE)
    ramp = np.linspace(0.0, 1.0, 100_001)[None, None].repeat(2, axis=0).astype(np.float32)
    slopes = np.diff(matching.apply(ramp).astype(np.float64), axis=2) / 1e-5
    ranges = np.ptp(np.quantile(ground, (0.001, 0.999), axis=(1, 2)), axis=0) / np.ptp(
        np.quantile(target, (0.001, 0.999), axis=(1, 2)), axis=0
    )
    assert (slopes.max(axis=(1, 2)) < 1.05 * STEEPEST * ranges + 0.02).all()


def test_eight_bit_values_keep_their_mean(ground: Image) -> None:
    target = np.round(ground * 100) / 100 * 0.8
    fitted = match_histograms(target, ground, EVERYWHERE).apply(target)
    assert np.abs(fitted - ground).max() < 0.02
    assert fitted.mean() == pytest.approx(ground.mean(), rel=0.005)


def test_missing_data_stays_missing_and_dead_bands_stay_as_they_are(ground: Image) -> None:
    target = np.stack([ground[0] * 0.5, np.full_like(ground[0], np.nan), np.full_like(ground[0], 0.3)])
    target[0, 3, 4] = np.nan
    reference = np.stack([ground[0], ground[1], ground[1]])
    matching = match_histograms(target, reference, EVERYWHERE)
    fitted = matching.apply(target)
    assert np.array_equal(np.isnan(fitted), np.isnan(target))
    assert (fitted[2] == target[2]).all()
    said = json.loads(json.dumps(matching.as_json(), allow_nan=False))
    assert said["bands_not_fitted"] == [2, 3]
    assert said["quantiles_2_50_98"][0][1] == pytest.approx(np.nanmedian(target[0]), abs=1e-4)
    assert said["reference_quantiles_2_50_98"][0][1] == pytest.approx(np.median(ground[0]), abs=1e-4)
    assert len(json.dumps(said)) < 1000


def test_strips_and_the_whole_are_fitted_alike(ground: Image) -> None:
    matching = match_histograms(ground * 0.7, ground, EVERYWHERE)
    strips = [matching.apply(ground[:, row : row + 70]) for row in range(0, 200, 70)]
    assert np.array_equal(np.concatenate(strips, axis=1), matching.apply(ground))


def test_too_little_to_go_by_is_refused(ground: Image) -> None:
    few = np.zeros_like(EVERYWHERE)
    few[0, :10] = True
    with pytest.raises(UsageError, match="have 10 clear pixels"):
        match_histograms(ground, ground, few)
    with pytest.raises(UsageError, match="none of the 2 bands"):
        match_histograms(np.full_like(ground, np.nan), ground, EVERYWHERE)


def test_unlike_shapes_are_refused(ground: Image) -> None:
    with pytest.raises(ValueError, match="must be alike"):
        match_histograms(ground[:1], ground, EVERYWHERE)
    with pytest.raises(ValueError, match="2 bands, pixels of 1"):
        match_histograms(ground, ground, EVERYWHERE).apply(ground[:1])
