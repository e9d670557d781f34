"""Normalisation recovers planted gains and offsets from unchanged ground, and leaves real change alone."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.irmad import Normalisation, irmad

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SOIL, FOREST, WATER, ROCK = range(4)
SPECTRA = np.array(
    [[0.10, 0.14, 0.19, 0.26], [0.04, 0.07, 0.05, 0.40], [0.05, 0.05, 0.03, 0.02], [0.20, 0.23, 0.27, 0.30]]
)
"""Reflectance of the four covers in blue, green, red and near infrared."""

GAIN = np.array([1.25, 0.8, 1.1, 0.9])
OFFSET = np.array([0.03, 0.02, -0.01, 0.015])
NOISE = 0.002


class Ground:
    """Patches of four covers with texture, seen on two dates."""

    def __init__(self, size: int = 300, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        shape = (size, size)
        self.cover = np.stack([self.blobs(shape, size / 25) for _ in range(4)]).argmax(axis=0)
        texture = 1 + 0.75 * ndimage.gaussian_filter(self.rng.standard_normal(shape), 1.5)
        grain = 1 + 0.01 * self.rng.standard_normal((*shape, 4))
        self.before = (SPECTRA[self.cover] * texture.clip(0.5, 1.6)[..., None] * grain).transpose(2, 0, 1)
        self.after = self.before.copy()
        self.everywhere = np.ones(shape, np.bool_)

    def blobs(self, shape: tuple[int, int], scale: float) -> npt.NDArray[np.float64]:
        return ndimage.gaussian_filter(self.rng.standard_normal(shape), scale, mode="wrap")

    def turn(self, place: Mask, cover: int) -> None:
        """Give the ground another cover, its texture kept."""
        ratio = (SPECTRA[cover] / SPECTRA[self.cover]).transpose(2, 0, 1)
        self.after = np.where(place, self.before * ratio, self.after)

    def change(self, share: float) -> Mask:
        """Forest to soil and everything else to forest, in blobs."""
        height = self.blobs(self.cover.shape, 10)
        place = height > np.quantile(height, 1 - share)
        self.turn(place & (self.cover == FOREST), SOIL)
        self.turn(place & (self.cover != FOREST), FOREST)
        return np.asarray(place)

    def target(self) -> Image:
        """The second date as its instrument gives it: fitted = GAIN * target + OFFSET is the truth."""
        seen = (self.after - OFFSET[:, None, None]) / GAIN[:, None, None]
        return (seen + self.rng.normal(0, NOISE, seen.shape)).astype(np.float32)

    def reference(self) -> Image:
        return (self.before + self.rng.normal(0, NOISE, self.before.shape)).astype(np.float32)


def assert_truth(found: Normalisation, tolerance: float = 0.01) -> None:
    assert found.gain == pytest.approx(GAIN, rel=tolerance)
    assert found.offset == pytest.approx(OFFSET, abs=0.2 * tolerance)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_gain_and_offset_come_back_and_change_survives(share: float, seed: int) -> None:
    ground = Ground(seed=seed)
    changed = ground.change(share)
    target = ground.target()
    found = irmad(target, ground.reference(), ground.everywhere)
    assert_truth(found)
    assert 0.8 * (1 - share) < found.agreement <= 1 - 0.8 * share
    fitted = found.apply(target)
    for cover in (SOIL, FOREST, WATER, ROCK):
        place = (ground.cover == cover) & ~changed
        wanted = ground.after[:, place].mean(axis=1)
        assert fitted[:, place].mean(axis=1) == pytest.approx(wanted, rel=0.01)
    if share:
        for place in (changed & (ground.cover == FOREST), changed & (ground.cover == SOIL)):
            true_change = (ground.after - ground.before)[:, place].mean(axis=1)
            change = (fitted - ground.before)[:, place].mean(axis=1)
            assert change == pytest.approx(true_change, rel=0.05)


@pytest.mark.parametrize("band", [2, 3])
def test_a_season_that_brightens_vegetation_in_one_band_is_not_followed(band: int) -> None:
    """Four covers in four bands: a linear mixture of bands explains this change, so MAD is blind to it."""
    ground = Ground(seed=3)
    order = np.argsort(ground.blobs(ground.cover.shape, 12), axis=None)
    forest = np.zeros(order.size, np.bool_)
    forest[order[: int(0.4 * order.size)]] = True
    forest = forest.reshape(ground.cover.shape)
    # Water is dark on both dates and fits the line of the season as well as the true one: none here.
    covers = np.where(forest, FOREST, np.where(np.isin(ground.cover, (SOIL, WATER)), SOIL, ROCK))
    ground.before *= (SPECTRA[covers] / SPECTRA[ground.cover]).transpose(2, 0, 1)
    ground.cover = covers
    ground.after = ground.before.copy()
    ground.after[band][forest] *= 1.6
    assert forest.mean() == pytest.approx(0.4, abs=0.001)
    target = ground.target()
    found = irmad(target, ground.reference(), ground.everywhere)
    assert_truth(found)
    soil = covers == SOIL
    assert found.apply(target)[:, soil].mean(axis=1) == pytest.approx(
        ground.before[:, soil].mean(axis=1), rel=0.01
    )


def test_pure_noise_between_dates_does_not_leave_a_chance_few() -> None:
    """P(no change) is uniform on unchanged ground, so a twentieth of it lies above 0.95."""
    ground = Ground()
    found = irmad(ground.target(), ground.reference(), ground.everywhere)
    assert found.unchanged_px / found.compared_px == pytest.approx(0.05, abs=0.01)
    assert found.iterations < 20


def test_a_dull_forest_does_not_choose_the_slope() -> None:
    ground = Ground(seed=5)
    dull = ground.blobs(ground.cover.shape, 15)
    dull = dull < np.quantile(dull, 0.85)
    even = SPECTRA[FOREST][:, None, None] * (1 + 0.02 * ground.rng.standard_normal(ground.before.shape))
    ground.before = np.where(dull, even, ground.before)
    ground.after = ground.before.copy()
    found = irmad(ground.target(), ground.reference(), ground.everywhere)
    assert_truth(found, 0.02)


def test_the_same_image_stays_itself() -> None:
    reference = Ground(150).reference()
    found = irmad(reference, reference, np.ones((150, 150), np.bool_))
    assert found.gain == pytest.approx(np.ones(4), abs=1e-5)
    assert found.offset == pytest.approx(np.zeros(4), abs=1e-6)


def test_a_small_scene_and_clouds_left_out() -> None:
    ground = Ground(150)
    ground.change(0.25)
    target = ground.target()
    target[:, :40] = 0.8
    valid = ground.everywhere.copy()
    valid[:40] = False
    found = irmad(target, ground.reference(), valid)
    assert_truth(found, 0.02)
    assert found.compared_px == 110 * 150


def test_clouds_that_nobody_saw_do_not_matter() -> None:
    ground = Ground(seed=2)
    target = ground.target()
    target[:, :40] = 0.8
    assert_truth(irmad(target, ground.reference(), ground.everywhere))


def test_dead_constant_and_repeated_bands() -> None:
    ground = Ground()
    ground.change(0.25)
    target, reference = ground.target(), ground.reference()
    dead, constant = np.full_like(target[0], np.nan), np.full_like(target[0], 0.2)
    found = irmad(
        np.stack([target[0], dead, target[1], constant, target[2], target[3], target[3]]),
        np.stack([reference[0], reference[0], reference[1], reference[1], *reference[2:], reference[3]]),
        ground.everywhere,
    )
    alive = [0, 2, 4, 5]
    assert found.gain[alive] == pytest.approx(GAIN, rel=0.01)
    assert found.offset[alive] == pytest.approx(OFFSET, abs=0.002)
    assert (found.gain[6], found.offset[6]) == (found.gain[5], found.offset[5])
    assert found.gain[[1, 3]].tolist() == [1.0, 1.0]
    assert found.offset[[1, 3]].tolist() == [0.0, 0.0]
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert said["bands_not_fitted"] == [2, 4]
    assert said["correlation"][1] is None
    assert said["gain"][0] == found.gain[0]


def test_many_narrow_bands() -> None:
    ground = Ground(200, seed=1)
    ground.change(0.25)
    place = np.linspace(0, 3, 120)
    low = np.minimum(place.astype(int), 2)
    share = (place - low)[:, None, None]
    before, after = (
        image[low] * (1 - share) + image[low + 1] * share for image in (ground.before, ground.after)
    )
    gain, offset = 1 + 0.3 * np.sin(place), 0.02 * np.cos(place)
    target = (after - offset[:, None, None]) / gain[:, None, None]
    target = (target + ground.rng.normal(0, NOISE, target.shape)).astype(np.float32)
    reference = (before + ground.rng.normal(0, NOISE, before.shape)).astype(np.float32)
    target[[7, 8]] = np.nan
    target[50] = ground.rng.normal(0.2, 0.05, target[50].shape)
    found = irmad(target, reference, ground.everywhere)
    good = np.setdiff1d(np.arange(120), [7, 8, 50])
    assert found.gain[good] == pytest.approx(gain[good], rel=0.01)
    assert found.offset[good] == pytest.approx(offset[good], abs=0.002)
    assert found.as_json()["bands_not_fitted"] == [8, 9, 51]


def test_missing_data_stays_and_strips_agree_with_the_whole() -> None:
    ground = Ground(150)
    target = ground.target()
    target[1, 2, 3] = np.nan
    found = irmad(target, ground.reference(), ground.everywhere)
    fitted = found.apply(target)
    assert fitted.dtype == np.float32
    assert np.argwhere(np.isnan(fitted)).tolist() == [[1, 2, 3]]
    strips = [found.apply(target[:, row : row + 64]) for row in range(0, 150, 64)]
    assert np.array_equal(np.concatenate(strips, axis=1), fitted, equal_nan=True)
    assert fitted[0, 0, 0] == pytest.approx(found.gain[0] * target[0, 0, 0] + found.offset[0], abs=1e-6)


@pytest.mark.parametrize("seed", [1, 3, 5, 7])
def test_other_ground_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match=r"hardly agree|do not show the same ground"):
        irmad(Ground(seed=seed).target(), Ground(seed=seed + 1).reference(), np.ones((300, 300), np.bool_))


def test_a_negative_is_refused() -> None:
    ground = Ground()
    with pytest.raises(UsageError, match="correlation"):
        irmad(0.5 - ground.target(), ground.reference(), ground.everywhere)


def test_too_little_ground_is_refused() -> None:
    ground = Ground(150)
    target, reference = ground.target(), ground.reference()
    one = np.zeros_like(ground.everywhere)
    one[0, 0] = True
    for valid in (one, np.zeros_like(one)):
        with pytest.raises(UsageError, match="at least 1000 pixels"):
            irmad(target, reference, valid)
    for band in (np.nan, 0.3):
        with pytest.raises(UsageError, match="0 of 4 bands"):
            irmad(np.full_like(target, band), reference, ground.everywhere)


def test_unlike_shapes_are_refused() -> None:
    target = Ground(150).target()
    everywhere = np.ones((150, 150), np.bool_)
    for one, other, valid in (
        (target[:3], target, everywhere),
        (target, target, everywhere[:9]),
        (target[0], target[0], everywhere),
    ):
        with pytest.raises(ValueError, match="must be alike"):
            irmad(one, other, valid)
    with pytest.raises(ValueError, match="4 bands, pixels of 2"):
        irmad(target, target, everywhere).apply(target[:2])
