"""Minimum noise fraction on mixtures of known spectra with known noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.mnf import fit_mnf
from ingest.processing.source import block_means

BANDS, HEIGHT, WIDTH = 60, 120, 110
NOISE = np.linspace(0.01, 0.04, BANDS)


def truth(height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Mixtures of four smooth spectra."""
    rng = np.random.default_rng(2)
    at = np.linspace(0, 1, BANDS)
    spectra = np.stack([0.3 + 0.1 * at, 0.1 + 0.3 * at**2, 0.2 + 0.1 * np.sin(9 * at), np.exp(-(((at - 0.6) / 0.1) ** 2))])
    shares = ndimage.gaussian_filter(rng.normal(size=(4, height, width)), (0, 8, 8))
    shares = np.exp(2 * shares / shares.std())
    shares /= shares.sum(axis=0)
    return np.einsum("kb,khw->bhw", spectra, shares)


def noisy(values: Any) -> Any:
    rng = np.random.default_rng(4)
    return (values + rng.normal(size=values.shape) * NOISE[:, None, None]).astype(np.float32)


def rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.asarray(values, float) ** 2)))


def test_noise_falls_to_a_third_and_the_spectra_stay() -> None:
    clean = truth()
    image = noisy(clean)
    fitted = fit_mnf(image)
    denoised = fitted.apply(image)
    # Four spectra whose shares add up to one leave three independent components.
    assert fitted.components == 3
    assert rms(denoised - clean) < rms(image - clean) / 3
    # No bias: the mean spectrum is that of the truth.
    np.testing.assert_allclose(denoised.mean(axis=(1, 2)), clean.mean(axis=(1, 2)), atol=0.001)
    assert fitted.as_json()["components"] == 3
    assert fitted.snr[2] > 1 > fitted.snr[3]


def test_all_components_give_the_image_back() -> None:
    image = noisy(truth())
    np.testing.assert_allclose(fit_mnf(image, BANDS).apply(image), image, atol=2e-4)


def test_strips_give_the_same_as_the_whole() -> None:
    image = noisy(truth())
    fitted = fit_mnf(image, 3)
    strips = np.concatenate([fitted.apply(image[:, :50]), fitted.apply(image[:, 50:])], axis=1)
    np.testing.assert_allclose(strips, fitted.apply(image), atol=1e-6)


def test_a_reduced_image_keeps_the_same_components_with_windows_of_the_full_one() -> None:
    clean = truth(240, 240)
    image = noisy(clean)
    fitted = fit_mnf(block_means(image, 3), noise_windows=[image[:, :96, :96], image[:, 120:, 120:]], averaged_px=9)
    assert fitted.components == 3
    np.testing.assert_allclose(fitted.snr[:3], fit_mnf(image).snr[:3], rtol=0.2)
    assert rms(fitted.apply(image) - clean) < rms(image - clean) / 3


def test_missing_pixels_stay_and_dead_bands_pass() -> None:
    image = noisy(truth())
    image[:, 10:20, 10:20] = np.nan
    image[7, 50, 50] = np.nan
    image[30] = np.nan
    image[31] = 0.25
    fitted = fit_mnf(image)
    denoised = fitted.apply(image)
    assert 30 not in fitted.bands
    assert 31 not in fitted.bands
    assert (np.isnan(denoised) == np.isnan(image)).all()
    assert (denoised[31] == 0.25).all()
    np.testing.assert_array_equal(denoised[:, 50, 50], image[:, 50, 50])


def test_an_image_without_noise_is_left_alone() -> None:
    clean = truth().astype(np.float32)
    np.testing.assert_allclose(fit_mnf(clean).apply(clean), clean, atol=1e-3)


@pytest.mark.parametrize("shape", [(60, 10, 10), (60, 1, 1), (1, 100, 100)])
def test_too_few_pixels_or_bands_are_refused(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    with pytest.raises(UsageError, match="too few"):
        fit_mnf(image)


def test_all_nodata_is_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        fit_mnf(np.full((60, 50, 50), np.nan, np.float32))


def test_wrong_arguments_are_refused() -> None:
    image = noisy(truth())
    with pytest.raises(ValueError, match="61 components"):
        fit_mnf(image, 61)
    with pytest.raises(ValueError, match="windows"):
        fit_mnf(image, noise_windows=[image[:5]])
