"""Offsets between dates by the darkest ground, with offsets planted under a changed season."""

from __future__ import annotations

import numpy as np
import pytest

from db.errors import UsageError
from ingest.preprocess.dark_matching import match_dark_ground

SHAPE = (200, 220)
OFFSETS = np.array([0.1, -0.02, 0.004, 0.05])


def two_seasons(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Winter and summer of the same ground, and where water lies; fields and forests follow the season."""
    random = np.random.default_rng(seed)
    water = np.zeros(SHAPE, bool)
    water[20:60, 30:90] = True
    summer = np.empty((4, *SHAPE), np.float32)
    winter = np.empty_like(summer)
    for band in range(4):
        fields = 0.08 + 0.05 * band + 0.1 * random.random(SHAPE)
        summer[band] = np.where(water, 0.02, fields) + 0.001 * random.standard_normal(SHAPE)
        change = random.uniform(0.4, 1.9, SHAPE)
        winter[band] = np.where(water, 0.02, fields * change) + 0.001 * random.standard_normal(SHAPE)
    return summer, winter, water


def test_planted_offsets_are_found_whatever_the_season() -> None:
    summer, winter, water = two_seasons()
    shifted = winter - OFFSETS[:, None, None].astype(np.float32)
    found = match_dark_ground(shifted, summer, np.ones(SHAPE, bool))
    assert found.offset == pytest.approx(OFFSETS, abs=0.001)
    fitted = found.apply(shifted)
    assert np.abs(np.median((fitted - summer)[:, water], axis=1)).max() < 0.001
    # What the season did is still there.
    assert np.allclose(fitted - winter, 0, atol=0.002)
    assert found.as_json()["dark_px"] == found.dark_px > 100


def test_pixels_without_data_take_no_part() -> None:
    summer, winter, _ = two_seasons()
    winter = winter - OFFSETS[:, None, None].astype(np.float32)
    winter[:, :30] = np.nan
    winter[2] = np.nan
    valid = np.isfinite(winter).any(axis=0)
    found = match_dark_ground(winter, summer, valid)
    assert found.offset[[0, 1, 3]] == pytest.approx(OFFSETS[[0, 1, 3]], abs=0.001)
    assert found.offset[2] == 0
    assert np.isnan(found.apply(winter)[2]).all()


def test_dates_without_dark_ground_in_common_are_refused() -> None:
    random = np.random.default_rng(0)
    one, other = random.random((2, 4, 40, 40)).astype(np.float32)
    with pytest.raises(UsageError, match="dark"):
        match_dark_ground(one, other, np.ones((40, 40), bool))
    with pytest.raises(UsageError, match="0 clear pixels"):
        match_dark_ground(one, other, np.zeros((40, 40), bool))
    with pytest.raises(ValueError, match="valid pixels of"):
        match_dark_ground(one, other, np.ones((40, 41), bool))
