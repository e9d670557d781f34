"""Calibration against numbers worked by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pytest

from db.errors import UsageError
from ingest.preprocess.calibration import LinearCalibration, reflectance_factors

APHELION = datetime(2020, 7, 4, 11, 35, tzinfo=UTC)  # 1.016694 au
PERIHELION = datetime(2020, 1, 5, 7, 48, tzinfo=UTC)  # 0.983244 au


@dataclass(frozen=True)
class Coefficients:
    """Radiometric coefficients of a band."""

    band: str
    gain: float
    offset: float
    esun: float | None


BLUE = Coefficients("blue", 0.2, 4.0, 1500.0)
NIR = Coefficients("nir", 0.25, -2.0, 1000.0)


def pixels(*numbers: float) -> np.ndarray:
    """Two bands of one row, both with these numbers."""
    return np.array([[numbers], [numbers]])


def test_reflectance_worked_by_hand() -> None:
    """400 counts: blue 0.2 * 400 + 4 = 84, near infrared 0.25 * 400 - 2 = 98 W m-2 sr-1 um-1.

    At 30 degrees (sine 0.5) and 1.016694 au (squared 1.033667): pi * 84 * 1.033667 / 750 = 0.36370 and
    pi * 98 * 1.033667 / 500 = 0.63648.
    """
    calibration = reflectance_factors([BLUE, NIR], APHELION, 30.0)
    reflectance = calibration.apply(pixels(400).astype(np.uint16))
    assert reflectance.dtype == np.float32
    np.testing.assert_allclose(reflectance[:, 0, 0], [0.36370, 0.63648], rtol=3e-4)


def test_distance_and_height_of_the_sun_act_the_right_way() -> None:
    far = reflectance_factors([BLUE], APHELION, 30.0)
    near = reflectance_factors([BLUE], PERIHELION, 30.0)
    # Farther from the sun, the same radiance is more reflectance: (1.016694 / 0.983244)^2 = 1.06920.
    assert far.scale[0] / near.scale[0] == pytest.approx(1.06920, abs=3e-4)
    # A high sun makes the same radiance less: sine 60 over sine 30 degrees = 1.73205.
    high = reflectance_factors([BLUE], APHELION, 60.0)
    assert far.scale[0] / high.scale[0] == pytest.approx(1.73205, abs=1e-5)
    assert far.offset[0] / far.scale[0] == pytest.approx(4.0 / 0.2)


def test_a_perfect_white_surface_has_reflectance_one() -> None:
    """A Lambertian surface under irradiance E sends back E / pi: 1500 * sin 45 / pi / 0.983244^2 = 349.2."""
    calibration = reflectance_factors([BLUE], PERIHELION, 45.0)
    counts = (349.23 - 4.0) / 0.2
    assert calibration.apply(np.full((1, 1, 1), counts))[0, 0, 0] == pytest.approx(1.0, abs=1e-3)


def test_stored_numbers_of_a_product() -> None:
    """Sentinel-2 since baseline 04.00: (stored - 1000) / 10000."""
    calibration = LinearCalibration.of_stored(2, -1000.0, 1e-4)
    np.testing.assert_allclose(calibration.apply(pixels(1000, 3500, 0))[0, 0], [0.0, 0.25, -0.1], atol=1e-6)
    both = calibration.stacked(LinearCalibration(np.array([2.0]), np.array([5.0])))
    np.testing.assert_allclose(both.apply(np.full((3, 1, 1), 1000.0)).ravel(), [0.0, 0.0, 2005.0], atol=1e-5)
    assert both.as_json() == {"scale": [1e-4, 1e-4, 2.0], "offset": [-0.1, -0.1, 5.0]}


def test_no_data_stays_no_data_and_input_stays_as_it_is() -> None:
    calibration = reflectance_factors([BLUE, NIR], APHELION, 30.0)
    stored = pixels(math.nan, 100.0).astype(np.float32)
    kept = stored.copy()
    reflectance = calibration.apply(stored)
    assert np.isnan(reflectance[:, 0, 0]).all()
    assert np.isfinite(reflectance[:, 0, 1]).all()
    np.testing.assert_array_equal(stored, kept)
    assert calibration.apply(np.zeros((2, 0, 5))).shape == (2, 0, 5)


def test_full_range_of_integers_does_not_wrap() -> None:
    calibration = LinearCalibration(np.array([2.0]), np.array([1.0]))
    assert calibration.apply(np.full((1, 1, 1), 65535, np.uint16))[0, 0, 0] == 131071.0


def test_other_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="calibration of 1 bands, pixels of 2"):
        LinearCalibration(np.array([2.0]), np.array([1.0])).apply(pixels(1.0))


@pytest.mark.parametrize(
    ("coefficients", "elevation_deg", "message"),
    [
        (BLUE, 4.9, r"sun stands at 4\.9 degrees.*zenith"),
        (BLUE, -20.0, "no usable reflectance"),
        (BLUE, math.nan, "no usable reflectance"),
        (BLUE, 112.0, "cannot stand at 112"),
        (Coefficients("red", 0.2, 0.0, None), 45.0, "esun.*red is not known"),
        (Coefficients("red", 0.2, 0.0, 0.0), 45.0, "red.*cannot be right"),
        (Coefficients("red", 0.2, 0.0, -1500.0), 45.0, "red.*cannot be right"),
        (Coefficients("red", 0.0, 0.0, 1500.0), 45.0, "red.*no calibration"),
        (Coefficients("red", -0.2, 0.0, 1500.0), 45.0, "red.*no calibration"),
        (Coefficients("red", 0.2, math.inf, 1500.0), 45.0, "red.*no calibration"),
    ],
)
def test_what_cannot_be_right_is_refused(
    coefficients: Coefficients, elevation_deg: float, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        reflectance_factors([coefficients], APHELION, elevation_deg)


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        reflectance_factors([BLUE], datetime(2020, 7, 4), 45.0)
