"""Planted gains and offsets are found again, and seams go."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from db.errors import UsageError
from ingest.preprocess.mosaicking import balance, blend, feather_weights

HEIGHT, WIDTH = 90, 200


def ground(bands: int = 2, *, seed: int = 1) -> np.ndarray:
    """Smooth ground between about 0.05 and 0.45."""
    random = np.random.default_rng(seed)
    fields = [gaussian_filter(random.normal(0, 1, (HEIGHT, WIDTH)), 3) for _ in range(bands)]
    return np.stack([0.25 + 0.07 * field / field.std() for field in fields]).astype(np.float32)


def piece(truth: np.ndarray, columns: slice, gain: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """An image that sees some columns, with a gain and an offset of its own (half as strong in band 2)."""
    image = np.full(truth.shape, np.nan, np.float32)
    image[0, :, columns] = truth[0, :, columns] * gain + offset
    image[1:, :, columns] = truth[1:, :, columns] * (1 + (gain - 1) / 2) + offset / 2
    return image


def valid_of(images: list[np.ndarray]) -> list[np.ndarray]:
    return [np.isfinite(image).all(axis=0) for image in images]


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    return image + np.random.default_rng(seed).normal(0, 0.004, image.shape).astype(np.float32)


def three(truth: np.ndarray) -> list[np.ndarray]:
    return [
        noisy(piece(truth, slice(0, 90)), 2),
        noisy(piece(truth, slice(60, 150), 1.2, 0.03), 3),
        noisy(piece(truth, slice(120, 200), 0.85, -0.02), 4),
    ]


def test_planted_gains_and_offsets_are_taken_out() -> None:
    images = three(ground())
    found = balance(images, valid_of(images), reference=0)
    # value = gain * truth + offset, so that truth = value / gain - offset / gain.
    assert found.gains[:, 0] == pytest.approx([1, 1 / 1.2, 1 / 0.85], rel=0.01)
    assert found.gains[:, 1] == pytest.approx([1, 1 / 1.1, 1 / 0.925], rel=0.01)
    assert found.offsets[:, 0] == pytest.approx([0, -0.03 / 1.2, 0.02 / 0.85], abs=0.003)
    assert [(overlap.first, overlap.second) for overlap in found.overlaps] == [(0, 1), (1, 2)]
    assert all(overlap.difference_before > 0.015 for overlap in found.overlaps)
    assert all(overlap.difference_after < 0.005 for overlap in found.overlaps)
    assert found.notes == ()


def test_change_in_the_overlap_does_not_move_the_balance() -> None:
    images = three(ground())
    images[1][:, :22, 60:90] = 0.9
    images[2][:, 70:, 120:150] -= 0.2
    found = balance(images, valid_of(images), reference=0)
    assert found.gains[:, 0] == pytest.approx([1, 1 / 1.2, 1 / 0.85], rel=0.02)
    assert found.offsets[:, 0] == pytest.approx([0, -0.03 / 1.2, 0.02 / 0.85], abs=0.006)


def test_without_a_reference_the_mean_stays() -> None:
    images = three(ground())
    found = balance(images, valid_of(images))
    assert np.prod(found.gains, axis=0) == pytest.approx([1, 1], rel=0.01)
    assert found.gains[1, 0] / found.gains[0, 0] == pytest.approx(1 / 1.2, rel=0.01)


def test_no_seam_is_left() -> None:
    truth = ground()
    images = [piece(truth, slice(0, 120)), piece(truth, slice(80, 200), 1.25, 0.04)]
    plain = np.where(np.isfinite(images[0]), images[0], images[1])

    def step(mosaic: np.ndarray) -> float:
        """Largest mean step between neighbouring columns, beyond the ground's own, relative to brightness."""
        own = np.diff(truth.astype(float), axis=2).mean(axis=1)
        return float(np.abs(np.diff(mosaic.astype(float), axis=2).mean(axis=1) - own).max() / truth.mean())

    assert step(plain) > 0.2
    found = balance(images, valid_of(images), reference=0)
    balanced = [found.apply(place, image) for place, image in enumerate(images)]
    mosaic = blend(balanced, [feather_weights(valid) for valid in valid_of(images)])
    assert step(mosaic) < 0.01
    assert np.abs(mosaic - truth).max() < 0.005
    # Feathering alone spreads the step over the overlap, and does not take it out.
    feathered = blend(images, [feather_weights(valid) for valid in valid_of(images)])
    assert step(feathered) < step(plain) / 5
    assert np.abs(feathered[:, :, 150:] - truth[:, :, 150:]).max() > 0.04


def test_identical_images_stay_as_they_are() -> None:
    truth = ground()
    images = [piece(truth, slice(0, 120)), piece(truth, slice(80, 200))]
    found = balance(images, valid_of(images))
    assert found.gains == pytest.approx(np.ones((2, 2)), abs=1e-9)
    assert found.offsets == pytest.approx(np.zeros((2, 2)), abs=1e-9)
    mosaic = blend(images, [feather_weights(valid) for valid in valid_of(images)])
    assert np.array_equal(mosaic, truth)


def test_images_without_an_overlap_are_named_and_kept() -> None:
    truth = ground()
    images = [piece(truth, slice(0, 60)), piece(truth, slice(60, 120), 1.5), piece(truth, slice(100, 200))]
    found = balance(images, valid_of(images), reference=2)
    assert "0; 1 and 2 were balanced apart" in found.notes[0]
    assert found.gains[0] == pytest.approx([1, 1])
    assert found.gains[1, 0] == pytest.approx(1 / 1.5, rel=0.01)
    assert balance(images[:1], valid_of(images[:1])).notes == ()


def test_a_flat_overlap_gives_an_offset_and_no_gain() -> None:
    images = [np.full((1, 20, 20), value, np.float32) for value in (0.2, 0.3)]
    found = balance(images, valid_of(images), reference=0)
    assert found.gains == pytest.approx(np.ones((2, 1)))
    assert found.offsets[:, 0] == pytest.approx([0, -0.1], abs=1e-4)


def test_unrelated_images_get_no_gain() -> None:
    random = np.random.default_rng(5)
    images = [random.normal(0.3, 0.05, (1, 40, 40)).astype(np.float32) for _ in range(2)]
    found = balance(images, valid_of(images), reference=0)
    assert found.gains == pytest.approx(np.ones((2, 1)))
    assert abs(found.offsets[1, 0]) < 0.01


def test_strips_are_balanced_as_the_whole_and_nan_stays() -> None:
    images = three(ground())
    found = balance(images, valid_of(images))
    whole = found.apply(1, images[1])
    strips = [found.apply(1, images[1][:, row : row + 32]) for row in range(0, HEIGHT, 32)]
    assert np.array_equal(np.concatenate(strips, axis=1), whole, equal_nan=True)
    assert np.array_equal(np.isnan(whole), np.isnan(images[1]))
    assert whole.dtype == np.float32
    said = found.as_json()
    assert said["gains"][1][0] == found.gains[1, 0]
    assert said["overlaps"][0]["compared_px"] == HEIGHT * 30


def test_weights_are_distances_to_the_edge() -> None:
    valid = np.ones((5, 7), bool)
    assert feather_weights(valid)[2].tolist() == [1, 2, 3, 3, 3, 2, 1]
    valid[2, 3] = False
    weights = feather_weights(valid)
    assert weights.dtype == np.float32
    assert weights[2].tolist() == [1, 2, 1, 0, 1, 2, 1]
    assert feather_weights(np.ones((5, 7), bool), ramp_px=2)[2].tolist() == [0.5, 1, 1, 1, 1, 1, 0.5]
    assert not feather_weights(np.zeros((3, 3), bool)).any()
    assert feather_weights(np.ones((1, 1), bool)).tolist() == [[1]]


def test_blending_is_a_weighted_mean_by_band_without_nodata() -> None:
    one, other = np.full((2, 1, 3), 1.0, np.float32), np.full((2, 1, 3), 3.0, np.float32)
    one[0, 0, 1] = np.nan
    other[:, 0, 2] = np.nan
    weights = [np.array([[3.0, 1.0, 0.0]], np.float32), np.array([[1.0, 1.0, 1.0]], np.float32)]
    mosaic = blend([one, other], weights)
    expected = [[[1.5, 3.0, np.nan]], [[1.5, 2.0, np.nan]]]
    assert np.array_equal(mosaic, np.array(expected, np.float32), equal_nan=True)


def test_what_does_not_fit_is_refused() -> None:
    image, valid = np.zeros((1, 4, 4), np.float32), np.ones((4, 4), bool)
    with pytest.raises(UsageError, match="image 1 has the shape \\(1, 5, 4\\)"):
        balance([image, np.zeros((1, 5, 4), np.float32)], [valid, valid])
    with pytest.raises(UsageError, match="at least one"):
        balance([], [])
    with pytest.raises(UsageError, match="2 images and 1 masks"):
        balance([image, image], [valid])
    with pytest.raises(UsageError, match="mask of image 0"):
        blend([image], [np.ones((4, 3), np.float32)])
    with pytest.raises(UsageError, match="no image 2"):
        balance([image, image], [valid, valid], reference=2)
    with pytest.raises(UsageError, match="ramp"):
        feather_weights(valid, ramp_px=0)
    with pytest.raises(ValueError, match="not below 0"):
        blend([image], [np.full((4, 4), -1.0, np.float32)])
    with pytest.raises(ValueError, match="not \\(1, 4, 4\\)"):
        feather_weights(np.ones((1, 4, 4), bool))
    with pytest.raises(ValueError, match="does not fit"):
        balance([image], [valid]).apply(0, np.zeros((2, 4, 4), np.float32))
