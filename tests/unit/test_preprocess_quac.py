"""The quick correction undoes a gain and an offset that were planted on ground of many materials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from db.errors import UsageError
from ingest.preprocess.quac import fit_quac

CENTER_NM = np.arange(420.0, 2400.0, 20.0)
# Half the blue light is lost; windows without gases let about 93 % pass, which sets the level.
TRANSMITTANCE = 0.96 - 0.45 * (CENTER_NM / 420) ** -2.0
PATH = 0.09 * (CENTER_NM / 420) ** -2.5


def materials(seed: int) -> Any:
    """60 spectra with bumps and slopes anywhere, none of them from the method's own table."""
    rng = np.random.default_rng(seed)
    at = (CENTER_NM - 400) / 2000
    spectra = []
    for _ in range(60):
        bumps = sum(
            rng.normal(0, 0.12) * np.exp(-(((at - rng.uniform(-0.2, 1.2)) / rng.uniform(0.15, 0.4)) ** 2))
            for _ in range(5)
        )
        spectra.append(np.clip(0.3 + bumps + rng.normal(0, 0.05), 0.03, 0.9))
    return np.array(spectra)


def surface(height: int = 90, width: int = 100, seed: int = 8) -> Any:
    rng = np.random.default_rng(9)
    kinds = rng.integers(0, 60, (height, width))
    image = materials(seed)[kinds].transpose(2, 0, 1) * rng.uniform(0.85, 1.15, (height, width))
    # Deep water.
    image[:, :10, :10] = 0.0
    return image


def seen(ground: Any) -> Any:
    return (PATH[:, None, None] + TRANSMITTANCE[:, None, None] * ground).astype(np.float32)


def test_planted_gain_and_offset_are_recovered() -> None:
    errors, short_errors = [], []
    short = CENTER_NM < 700
    # How well depends on the materials, so that twelve sets of them are judged together.
    for seed in range(8, 20):
        ground = surface(seed=seed)
        quick = fit_quac(seen(ground), CENTER_NM)
        np.testing.assert_allclose(quick.dark, PATH, atol=0.004)
        relative = quick.gain * TRANSMITTANCE
        corrected = quick.apply(seen(ground))
        np.testing.assert_allclose(corrected, ground * relative[:, None, None], atol=0.006)
        errors.append(np.sqrt(np.mean((relative - 1) ** 2)))
        short_errors.append(np.abs(relative - 1)[short].mean())
    assert np.median(errors) < 0.13
    # Far better than only taking off the dark level, where the air takes most.
    assert np.median(short_errors) < 0.5 * (1 - TRANSMITTANCE)[short].mean()


def test_twice_the_air_is_twice_the_gain() -> None:
    image = seen(surface())
    once = fit_quac(image, CENTER_NM)
    dimmed = image.copy()
    dimmed[:40] *= 0.5
    twice = fit_quac(dimmed, CENTER_NM)
    ratio = twice.gain / once.gain
    np.testing.assert_allclose(ratio[:40] / ratio[40:].mean(), 2.0, rtol=0.15)


def test_fields_of_vegetation_change_little() -> None:
    ground = surface()
    plain = fit_quac(seen(ground), CENTER_NM)
    leaf = np.where(CENTER_NM < 700, 0.05, np.where(CENTER_NM < 1300, 0.5, 0.2))
    ground[:, 50:, :] = leaf[:, None, None] * np.random.default_rng(1).uniform(
        0.8, 1.2, ground[:, 50:, :].shape[1:]
    )
    green = fit_quac(seen(ground), CENTER_NM)
    np.testing.assert_allclose(green.gain, plain.gain, rtol=0.12)


def test_missing_pixels_stay_and_bands_without_data_or_wavelength_pass() -> None:
    image = seen(surface())
    image[30] = np.nan
    image[31] = 0.2
    image[:, 40:50] = np.nan
    center = CENTER_NM.copy()
    center[50] = np.nan
    quick = fit_quac(image, center)
    corrected = quick.apply(image)
    assert np.isnan(corrected[:, 40:50]).all()
    assert quick.gain[[30, 31, 50]].tolist() == [1.0, 1.0, 1.0]
    np.testing.assert_array_equal(corrected[50], image[50])
    assert quick.as_json()["materials"] == quick.materials == 40


def test_four_bands_are_enough_and_three_are_not() -> None:
    places = [3, 7, 12, 20]
    quick = fit_quac(seen(surface())[places], CENTER_NM[places])
    assert quick.gain[0] > quick.gain[3]
    with pytest.raises(UsageError, match="at least 4 bands"):
        fit_quac(seen(surface())[places[:3]], CENTER_NM[places[:3]])


def test_ground_too_much_alike_is_refused() -> None:
    image = np.full((5, 50, 50), 0.2) + np.random.default_rng(0).normal(0, 5e-6, (5, 50, 50))
    with pytest.raises(UsageError, match="too much alike"):
        fit_quac(image, CENTER_NM[:5])


def test_too_few_pixels_and_no_data_are_refused() -> None:
    with pytest.raises(UsageError, match="clear pixels"):
        fit_quac(seen(surface(20, 20)), CENTER_NM)
    with pytest.raises(UsageError, match="bands with data"):
        fit_quac(np.full((99, 50, 50), np.nan, np.float32), CENTER_NM)
    with pytest.raises(ValueError, match="does not fit"):
        fit_quac(seen(surface()), CENTER_NM[:5])
