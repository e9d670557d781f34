"""Filling of clouds: the planted line between two dates is found, blends are exact, gaps stay gaps."""

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.cloud_filling import Filling, feather_weights, fit_filling

GAIN = np.array([1.15, 0.9, 1.05, 0.8])
OFFSET = np.array([0.02, -0.01, 0.005, 0.03])


def two_dates(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Scene = gain * clear date + offset with noise, 15 % changed ground, and a white cloud in its middle."""
    rng = np.random.default_rng(seed)
    rough = ndimage.gaussian_filter(rng.standard_normal((4, 160, 200)), (0, 4, 4))
    reference = np.clip(0.16 + 0.6 * rough, 0.01, 0.6)
    target = GAIN[:, None, None] * reference + OFFSET[:, None, None]
    target += rng.normal(0, 0.002, target.shape)
    target[:, :24, :] += 0.15
    rows, columns = np.ogrid[:160, :200]
    hidden = np.hypot(rows - 90, columns - 100) < 30
    target[:, hidden] = 0.7
    return target.astype(np.float32), reference.astype(np.float32), hidden


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_line_is_found_although_ground_changed(seed: int) -> None:
    target, reference, hidden = two_dates(seed)
    filling = fit_filling(target, reference, hidden)
    np.testing.assert_allclose(filling.gain, GAIN, atol=0.01)
    np.testing.assert_allclose(filling.offset, OFFSET, atol=0.002)
    assert (filling.residual < 0.003).all()
    assert filling.compared_px > 10_000


def test_ground_under_the_cloud_comes_back() -> None:
    target, reference, hidden = two_dates(4)
    truth = GAIN[:, None, None] * reference + OFFSET[:, None, None]
    filled = fit_filling(target, reference, hidden).apply(target, reference, hidden.astype(np.float32))
    assert np.abs(filled - truth)[:, hidden].max() < 0.005
    np.testing.assert_array_equal(filled[:, ~hidden], target[:, ~hidden])


def line(gain: float = 2.0, offset: float = 0.1) -> Filling:
    return Filling(np.array([gain]), np.array([offset]), np.zeros(1), 500)


def test_blend_and_gaps_by_hand() -> None:
    nan = np.nan
    strip = np.array([[[0.4, 0.4, 0.4, nan, nan, nan, 0.4]]], np.float32)
    reference = np.array([[[0.2, 0.2, 0.2, 0.2, 0.2, nan, nan]]], np.float32)
    weights = np.array([[0.0, 0.25, 1.0, 1.0, 0.5, 1.0, 1.0]], np.float32)
    blended = line().apply(strip, reference, weights)
    expected = np.array([[[0.4, 0.425, 0.5, 0.5, nan, nan, 0.4]]], np.float32)
    np.testing.assert_allclose(blended, expected, atol=1e-6)
    assert blended.dtype == np.float32


def test_strips_give_what_the_whole_gives() -> None:
    target, reference, hidden = two_dates(5)
    filling = fit_filling(target, reference, hidden)
    weights = feather_weights(hidden, 2.0, 20.0)
    whole = filling.apply(target, reference, weights)
    strips = [
        filling.apply(target[:, top : top + 37], reference[:, top : top + 37], weights[top : top + 37])
        for top in range(0, 160, 37)
    ]
    np.testing.assert_array_equal(np.concatenate(strips, axis=1), whole)


def test_band_without_data_is_not_filled_and_is_null_in_json() -> None:
    target, reference, hidden = two_dates(6)
    reference[1] = np.nan
    filling = fit_filling(target, reference, hidden)
    filled = filling.apply(target, reference, hidden.astype(np.float32))
    np.testing.assert_array_equal(filled[1], target[1])
    assert (filled[0, hidden] < 0.65).all()
    stored = json.loads(json.dumps(filling.as_json(), allow_nan=False))
    assert stored["gain"][1] is None
    assert stored["gain"][0] == pytest.approx(GAIN[0], abs=0.01)
    assert stored["compared_px"] == filling.compared_px


def test_constant_clear_date_gives_a_shift() -> None:
    reference = np.full((1, 40, 40), 0.2, np.float32)
    target = np.full((1, 40, 40), 0.3, np.float32)
    hidden = np.zeros((40, 40), bool)
    hidden[10:20, 10:20] = True
    filling = fit_filling(target, reference, hidden)
    filled = filling.apply(target, reference, hidden.astype(np.float32))
    np.testing.assert_allclose(filled, 0.3, atol=1e-6)


def test_too_little_clear_ground_is_refused_with_the_number() -> None:
    target, reference, hidden = two_dates(7)
    hidden[:] = True
    hidden[0, :31] = False
    with pytest.raises(UsageError, match=r"only 31 clear pixels.*--reference"):
        fit_filling(target, reference, hidden)
    with pytest.raises(UsageError, match="only 0 clear pixels"):
        fit_filling(np.full_like(target, np.nan), reference, ~hidden)


def test_wrong_shapes_are_refused() -> None:
    target, reference, hidden = two_dates(8)
    with pytest.raises(UsageError, match="one grid"):
        fit_filling(target, reference[:, :-1], hidden)
    with pytest.raises(UsageError, match="one grid"):
        fit_filling(target, reference, hidden.T)
    with pytest.raises(UsageError, match="same pixels"):
        line().apply(target[:1], reference[:1], hidden[:-1].astype(np.float32))


def test_weights_fall_as_a_cosine_in_metres() -> None:
    hidden = np.zeros((9, 41), bool)
    hidden[:, :11] = True
    weights = feather_weights(hidden, 2.0, 20.0)
    assert weights.dtype == np.float32
    assert (weights[:, :11] == 1).all()
    expected = [0.5 * (1 + math.cos(math.pi * 2 * px / 20)) for px in range(11)]
    np.testing.assert_allclose(weights[4, 10:21], expected, atol=1e-6)
    assert (weights[:, 20:] < 1e-6).all()


def test_weights_without_cloud_or_seam() -> None:
    nothing = np.zeros((5, 7), bool)
    assert not feather_weights(nothing, 2.0, 60.0).any()
    some = nothing.copy()
    some[2, 3] = True
    np.testing.assert_array_equal(feather_weights(some, 2.0, 0.0), some.astype(np.float32))
    assert (feather_weights(~nothing, 2.0, 60.0) == 1).all()
