"""Minimum noise fraction on mixtures of known spectra with known noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from db.errors import UsageError
from db.raster.grid import Grid
from db.scenes import Acquisition
from ingest.preprocess.calibration import LinearCalibration
from ingest.preprocess.mnf import fit_mnf
from ingest.processing.denoising import find_denoising
from ingest.processing.material import Material
from ingest.processing.source import FloatArray, WindowSource, block_means
from ingest.products.product import Band

BANDS, HEIGHT, WIDTH = 60, 120, 110
NOISE = np.linspace(0.01, 0.04, BANDS)


def truth(height: int = HEIGHT, width: int = WIDTH) -> Any:
    """Mixtures of four smooth spectra."""
    rng = np.random.default_rng(2)
    at = np.linspace(0, 1, BANDS)
    spectra = np.stack(
        [0.3 + 0.1 * at, 0.1 + 0.3 * at**2, 0.2 + 0.1 * np.sin(9 * at), np.exp(-(((at - 0.6) / 0.1) ** 2))]
    )
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
    fitted = fit_mnf(
        block_means(image, 3), noise_windows=[image[:, :96, :96], image[:, 120:, 120:]], averaged_px=9
    )
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


class ArraySource(WindowSource):
    """Pixels in memory."""

    def __init__(self, pixels: FloatArray) -> None:
        self.pixels = pixels

    @property
    def grid(self) -> Grid:
        return Grid(32645, 500_000.0, 4_000_000.0, 30.0, 30.0, self.pixels.shape[2], self.pixels.shape[1])

    @property
    def band_count(self) -> int:
        return len(self.pixels)

    def read_window(self, row: int, col: int, height: int, width: int) -> FloatArray:
        return self.pixels[:, row : row + height, col : col + width].copy()


def material_of(pixels: FloatArray, fault: dict[int, str] | None = None) -> Material:
    """A material whose stored values are a hundred times the reflectance."""
    source = ArraySource(pixels * np.float32(100))
    bands = [
        Band(str(i), center_nm=400.0 + 10 * i, width_nm=10.0, fault=(fault or {}).get(i))
        for i in range(len(pixels))
    ]
    return Material(
        name="scene",
        bands=bands,
        source=source,
        moved=lambda _row, _col: (source, None),
        calibration=LinearCalibration(np.full(len(pixels), 0.01), np.zeros(len(pixels))),
        level="toa_reflectance",
        masks=(),
        acquisition=Acquisition(),
        as_delivered=None,
        panchromatic=None,
        steps=(),
        block_rows=64,
    )


@pytest.mark.parametrize("factor", [1, 3])
def test_a_scene_is_denoised_alike_whether_it_was_reduced_or_not(factor: int) -> None:
    clean = truth(250, 245)
    image = noisy(clean)
    image[12] = np.random.default_rng(1).normal(0, 1, image[12].shape)
    material = material_of(image, {12: "noisy"})
    # Since calibration, an atmosphere was taken off; a cloud hides a corner.
    slope, offset = np.linspace(1.5, 1.1, BANDS)[:, None, None], np.linspace(0.1, 0.0, BANDS)[:, None, None]
    corrected = ((image - offset) * slope).astype(np.float32)
    clear = block_means(corrected, factor).copy()
    clear[:, :10, :10] = np.nan
    function, step = find_denoising(material, "mnf", clear)
    assert step["step"] == "denoised"
    assert step["components"] == 3
    denoised = function(corrected)
    np.testing.assert_array_equal(denoised[12], corrected[12])
    wanted = np.delete((clean - offset) * slope, 12, axis=0)
    assert rms(np.delete(denoised, 12, axis=0) - wanted) < rms(np.delete(corrected, 12, axis=0) - wanted) / 3


def test_savitzky_golay_leaves_faulty_bands_out_of_a_scene() -> None:
    image = noisy(truth())
    image[12] = 50.0
    function, step = find_denoising(material_of(image, {12: "dead"}), "savitzky-golay", image)
    smooth = function(image)
    assert (smooth[12] == 50.0).all()
    assert rms(smooth[20:] - truth()[20:]) < 0.8 * rms(image[20:] - truth()[20:])
    assert step["runs"] == [59]


def test_scenes_of_few_bands_are_not_denoised() -> None:
    image = noisy(truth())[:29]
    with pytest.raises(UsageError, match="scene: --denoise mnf is for hyperspectral"):
        find_denoising(material_of(image), "mnf", image)
    with pytest.raises(UsageError, match="not known"):
        find_denoising(material_of(image), "median", image)
