"""Pan-sharpening against a fine truth of which the inputs are made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.pansharpening import fit_brovey, fit_gram_schmidt

RATIO = 4
SIDE = 240
PAN_WEIGHTS = np.array([0.15, 0.3, 0.35, 0.2], np.float32)
METHODS = pytest.mark.parametrize("fit", [fit_brovey, fit_gram_schmidt])


def block_mean(fine: Any) -> Any:
    """Means over blocks of 4 x 4 pixels of (..., height, width)."""
    height, width = fine.shape[-2:]
    blocks = fine.reshape(*fine.shape[:-2], height // RATIO, RATIO, width // RATIO, RATIO)
    return blocks.mean(axis=(-3, -1))


def upsampled(coarse: Any) -> Any:
    """Bilinear, with the centres of the coarse pixels where they belong."""
    at = (np.arange(coarse.shape[1] * RATIO) + 0.5) / RATIO - 0.5
    across = (np.arange(coarse.shape[2] * RATIO) + 0.5) / RATIO - 0.5
    places = np.meshgrid(at, across, indexing="ij")
    return np.stack([ndimage.map_coordinates(band, places, order=1, mode="nearest") for band in coarse])


def truth() -> Any:
    """Four bands (4, 240, 240): fields, roads and pits of known spectra under changing light."""
    random = np.random.default_rng(3)
    kinds = np.array(
        [
            [0.05, 0.08, 0.06, 0.35],
            [0.12, 0.16, 0.20, 0.26],
            [0.22, 0.25, 0.28, 0.31],
            [0.04, 0.04, 0.03, 0.02],
        ]
    )
    noise = ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), 6)
    kind = np.digitize(noise, np.quantile(noise, [0.3, 0.6, 0.9]))
    kind[100:102] = 2
    kind[:, 57:60] = 2
    light = 1 + 0.4 * np.clip(ndimage.gaussian_filter(random.normal(size=(SIDE, SIDE)), 1.2) * 4, -1, 1)
    return (kinds[kind].transpose(2, 0, 1) * light).astype(np.float32)


TRUTH = truth()
PAN = np.tensordot(PAN_WEIGHTS, TRUTH, axes=1)
COARSE = block_mean(TRUTH)
COARSE_PAN = block_mean(PAN)


def rms(difference: Any) -> float:
    return float(np.sqrt(np.nanmean(np.square(difference))))


@METHODS
def test_detail_comes_back_and_means_stay(fit: Any) -> None:
    fitted = fit(COARSE, COARSE_PAN)
    plain = upsampled(COARSE).astype(np.float32)
    sharp = fitted.apply(plain, PAN)
    assert sharp.dtype == np.float32
    assert sharp.shape == TRUTH.shape
    for band in range(4):
        assert rms(sharp[band] - TRUTH[band]) < 0.7 * rms(plain[band] - TRUTH[band])
        assert sharp[band].mean() == pytest.approx(TRUTH[band].mean(), rel=0.005)
    # The weights of the planted band come out, and the correlation says so.
    np.testing.assert_allclose(fitted.weights, PAN_WEIGHTS, atol=0.01)
    assert fitted.correlation > 0.999
    # Every coarse pixel keeps its energy but for what upsampling itself moved.
    assert rms(block_mean(sharp) - COARSE) < 1.1 * rms(block_mean(plain) - COARSE) + 1e-4


@METHODS
def test_energy_of_coarse_pixels_is_kept_exactly_without_smoothing(fit: Any) -> None:
    """Of an image repeated pixel by pixel, the detail added to a coarse pixel has mean 0."""
    repeated = COARSE.repeat(RATIO, axis=1).repeat(RATIO, axis=2)
    sharp = fit(COARSE, COARSE_PAN).apply(repeated, PAN)
    np.testing.assert_allclose(block_mean(sharp), COARSE, rtol=0, atol=5e-4)


@METHODS
def test_another_calibration_of_the_pan_is_taken_up(fit: Any) -> None:
    """Haze and gain of the panchromatic image change nothing: it is matched to the bands first."""
    plain = upsampled(COARSE).astype(np.float32)
    usual = fit(COARSE, COARSE_PAN).apply(plain, PAN)
    hazy = (1.3 * PAN + 0.05).astype(np.float32)
    fitted = fit(COARSE, block_mean(hazy))
    sharp = fitted.apply(plain, hazy)
    assert sharp.mean() == pytest.approx(usual.mean(), rel=0.005)
    assert rms(sharp - usual) < 0.1 * rms(usual - plain)


@METHODS
def test_strips_equal_the_whole(fit: Any) -> None:
    fitted = fit(COARSE, COARSE_PAN)
    plain = upsampled(COARSE).astype(np.float32)
    whole = fitted.apply(plain, PAN)
    strips = [fitted.apply(plain[:, row : row + 37], PAN[row : row + 37]) for row in range(0, SIDE, 37)]
    np.testing.assert_array_equal(np.concatenate(strips, axis=1), whole)


@METHODS
def test_no_data_stays_and_spreads_nowhere(fit: Any) -> None:
    coarse, coarse_pan = COARSE.copy(), COARSE_PAN.copy()
    coarse[2, :5] = np.nan
    coarse_pan[:, :3] = np.nan
    fitted = fit(coarse, coarse_pan)
    np.testing.assert_allclose(fitted.weights, PAN_WEIGHTS, atol=0.01)
    plain, pan = upsampled(COARSE).astype(np.float32), PAN.copy()
    plain[2, 10, 20] = np.nan
    pan[30, 40] = np.nan
    sharp = fitted.apply(plain, pan)
    assert np.isnan(sharp[:, 10, 20]).all()
    assert np.isnan(sharp[:, 30, 40]).all()
    expected = np.zeros((SIDE, SIDE), bool)
    expected[10, 20] = expected[30, 40] = True
    assert (np.isnan(sharp).any(axis=0) == expected).all()


@METHODS
def test_darkness_stays_dark_and_finite(fit: Any) -> None:
    """Deep shadow after atmospheric correction: intensity at 0, and below."""
    fitted = fit(COARSE, COARSE_PAN)
    dark = np.array([0.0, 1e-6, -0.01, 5e-4], np.float32)[None, None, :].repeat(4, axis=0)
    sharp = fitted.apply(dark, np.array([[0.0, 0.002, 0.001, 0.0]], np.float32))
    assert np.isfinite(sharp).all()
    assert np.abs(sharp).max() < 0.03


@METHODS
def test_parameters_are_plain_numbers(fit: Any) -> None:
    stored = fit(COARSE, COARSE_PAN).as_json()
    assert {type(value) for value in stored["weights"]} == {float}
    assert isinstance(stored["correlation"], float)
    assert isinstance(stored["intensity_offset"], float)


@METHODS
def test_what_cannot_be_fitted_is_refused(fit: Any) -> None:
    with pytest.raises(UsageError, match="same everywhere"):
        fit(COARSE, np.full_like(COARSE_PAN, 0.2))
    with pytest.raises(UsageError, match="49 pixels in common"):
        fit(COARSE[:, :7, :7], COARSE_PAN[:7, :7])
    with pytest.raises(UsageError, match="0 pixels in common"):
        fit(np.full_like(COARSE, np.nan), COARSE_PAN)
    with pytest.raises(UsageError, match="do not lie on the same pixels"):
        fit(COARSE, COARSE_PAN[:-1])
    with pytest.raises(UsageError, match="do not lie on the same pixels"):
        fit(COARSE[0], COARSE_PAN)
    with pytest.raises(UsageError, match="another scene"):
        fit(COARSE, np.random.default_rng(1).normal(0.2, 0.05, COARSE_PAN.shape).astype(np.float32))
    with pytest.raises(UsageError, match="another scene"):
        fit(COARSE, -COARSE_PAN)


@METHODS
def test_a_strip_of_another_shape_is_refused(fit: Any) -> None:
    fitted = fit(COARSE, COARSE_PAN)
    with pytest.raises(ValueError, match="do not lie on the same pixels"):
        fitted.apply(TRUTH, PAN[:-1])
    with pytest.raises(ValueError, match="4 bands"):
        fitted.apply(TRUTH[:3], PAN)


@METHODS
def test_a_constant_band_stays(fit: Any) -> None:
    coarse, plain = COARSE.copy(), upsampled(COARSE).astype(np.float32)
    coarse[0] = plain[0] = 0.1
    sharp = fit(coarse, COARSE_PAN).apply(plain, PAN)
    assert np.isfinite(sharp).all()
    if fit is fit_gram_schmidt:
        np.testing.assert_allclose(sharp[0], 0.1, atol=1e-6)
