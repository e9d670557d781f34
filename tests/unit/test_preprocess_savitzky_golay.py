"""Smoothing of spectra: polynomials survive, noise falls as theory says, gaps are not crossed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.signal import savgol_coeffs, savgol_filter

from ingest.preprocess.savitzky_golay import ORDER, WINDOW_BANDS, fit_smoothing

EVEN_NM = np.arange(400.0, 1000.0, 10.0)


def smooth_spectra(
    image: np.ndarray, center_nm: np.ndarray, window: int = WINDOW_BANDS, order: int = ORDER
) -> np.ndarray:
    """The smoothed image; bands without any data are gaps."""
    usable = np.array([bool(np.isfinite(band).any()) for band in image])
    return fit_smoothing(center_nm, usable, window, order).apply(image)


def cube(spectrum: Any, height: int = 3, width: int = 4) -> Any:
    return np.tile(np.asarray(spectrum, np.float32)[:, None, None], (1, height, width))


def test_a_parabola_over_uneven_wavelengths_stays_to_the_ends() -> None:
    rng = np.random.default_rng(1)
    center = EVEN_NM + rng.uniform(-3, 3, len(EVEN_NM))
    spectrum = 0.2 + 0.3 * ((center - 700) / 300) ** 2
    np.testing.assert_allclose(smooth_spectra(cube(spectrum), center), cube(spectrum), atol=2e-6)


def test_it_is_the_published_filter_where_bands_are_even() -> None:
    image = np.random.default_rng(2).normal(0.3, 0.05, (len(EVEN_NM), 5, 6)).astype(np.float32)
    expected = savgol_filter(image, 9, 3, axis=0, mode="interp")
    np.testing.assert_allclose(smooth_spectra(image, EVEN_NM, 9, 3), expected, atol=1e-5)


def test_noise_falls_as_the_weights_say() -> None:
    noise = np.random.default_rng(3).normal(0, 0.02, (len(EVEN_NM), 80, 80)).astype(np.float32)
    smooth = smooth_spectra(noise + np.float32(0.3), EVEN_NM) - 0.3
    expected = 0.02 * np.sqrt((savgol_coeffs(7, 2) ** 2).sum())
    assert smooth[10:-10].std() == pytest.approx(expected, rel=0.03)


def test_a_step_at_a_gap_stays_sharp() -> None:
    center = np.concatenate([np.arange(400, 1000, 10.0), np.arange(1035, 1500, 10.0)])
    spectrum = np.where(center < 1010, 0.1, 0.5)
    np.testing.assert_allclose(smooth_spectra(cube(spectrum), center), cube(spectrum), atol=1e-6)
    # Without the gap the same step is smeared.
    touching = np.arange(len(center)) * 10.0 + 400
    assert abs(smooth_spectra(cube(spectrum), touching) - cube(spectrum)).max() > 0.05


def test_a_second_detector_is_smoothed_for_itself() -> None:
    center = np.concatenate([np.arange(900, 1041, 10.0), np.arange(1005, 1300, 17.0)])
    spectrum = np.concatenate([np.full(15, 0.2), np.full(len(center) - 15, 0.4)])
    smoothing = fit_smoothing(center, np.ones(len(center), bool))
    assert [len(run) for run in smoothing.runs] == [15, len(center) - 15]
    np.testing.assert_allclose(smoothing.apply(cube(spectrum)), cube(spectrum), atol=1e-6)


def test_bad_bands_are_neither_changed_nor_used() -> None:
    image = cube(np.full(len(EVEN_NM), 0.3))
    image[20] = 9.0
    image[40] = np.nan
    usable = np.ones(len(EVEN_NM), bool)
    usable[[20, 40]] = False
    smooth = fit_smoothing(EVEN_NM, usable).apply(image)
    assert (smooth[20] == 9.0).all()
    assert np.isnan(smooth[40]).all()
    others = np.delete(np.arange(len(EVEN_NM)), [20, 40])
    np.testing.assert_allclose(smooth[others], 0.3, atol=1e-6)
    np.testing.assert_array_equal(np.isnan(smooth_spectra(image, EVEN_NM)), np.isnan(image))


def test_a_missing_value_spoils_its_own_pixel_only() -> None:
    image = np.random.default_rng(4).normal(0.3, 0.05, (len(EVEN_NM), 3, 3)).astype(np.float32)
    expected = smooth_spectra(image, EVEN_NM)
    image[2, 1, 1] = np.nan
    smooth = smooth_spectra(image, EVEN_NM)
    np.testing.assert_array_equal(smooth[:, 1, 1], image[:, 1, 1])
    others = np.ones((3, 3), bool)
    others[1, 1] = False
    np.testing.assert_allclose(smooth[:, others], expected[:, others], atol=1e-6)


def test_runs_shorter_than_the_window_stay() -> None:
    image = np.random.default_rng(5).normal(size=(5, 1, 1)).astype(np.float32)
    np.testing.assert_array_equal(smooth_spectra(image, EVEN_NM[:5]), image)
    empty = np.full((20, 2, 2), np.nan, np.float32)
    assert np.isnan(smooth_spectra(empty, EVEN_NM[:20])).all()


@pytest.mark.parametrize(("window", "order"), [(6, 2), (3, 3), (7, -1)])
def test_windows_that_do_not_suit_are_refused(window: int, order: int) -> None:
    with pytest.raises(ValueError, match="does not suit"):
        smooth_spectra(cube(np.ones(60)), EVEN_NM, window, order)


def test_other_wavelengths_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="59 wavelengths"):
        smooth_spectra(cube(np.ones(60)), EVEN_NM[:59])
