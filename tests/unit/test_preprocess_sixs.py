"""The adapter for 6S: its input, its output, its arithmetic; and the program itself where it is installed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from db.errors import UsageError
from ingest.preprocess.sixs import AirColumn, SixsCorrection, find_program, fit_sixs, input_deck, parse_output

AIR = AirColumn(
    acquired_at=datetime(2020, 11, 27, 5, 30, tzinfo=UTC),
    sun_zenith_deg=58.25,
    sun_azimuth_deg=165.5,
    view_zenith_deg=2.0,
    view_azimuth_deg=280.0,
    latitude_deg=35.9,
    aerosol_optical_depth=0.12,
    height_m=4500.0,
)

# Format statements of the program's main.f; the numbers are made up.
EARLIER = """\
*                        atmospheric correction result                        *
*                        -----------------------------                        *
*       input apparent reflectance            :    0.200                      *
*       measured radiance [w/m2/sr/mic]       :   77.058                      *
*       atmospherically corrected reflectance                                 *
*       Lambertian case :      0.22187                                        *
*       coefficients xa xb xc                 :  0.00685  0.03870  0.06820    *
*       y=xa*(measured radiance)-xb;  acr=y/(1.+xc*y)                         *
*******************************************************************************
"""
LATER = EARLIER.replace(
    "*       y=xa",
    "*       coefficients xap xb xc                :  1.37159  0.03871  0.06820    *\n*       y=xa",
)


def installed() -> bool:
    try:
        find_program()
    except UsageError:
        return False
    return True


def test_the_deck_has_the_manuals_lines() -> None:
    assert input_deck(AIR, 830.0, 120.0).splitlines() == [
        "0",
        "58.250 165.500 2.000 280.000 11 27",
        "3",
        "1",
        "0",
        "0.1200",
        "-4.500",
        "-1000",
        "0",
        "0.7700 0.8900",
        "0",
        "0",
        "0",
        "0.2",
        "0",
        "-0.2",
        "5",
    ]


def test_own_water_and_ozone_replace_the_standard_atmosphere() -> None:
    deck = input_deck(replace(AIR, water_g_cm2=1.5, ozone_cm_atm=0.3), 830.0, 120.0).splitlines()
    assert deck[2:5] == ["8", "1.500 0.300", "1"]


@pytest.mark.parametrize(
    ("latitude", "month", "number"),
    [(10, 7, "1"), (-20, 1, "1"), (40, 7, "2"), (40, 1, "3"), (-40, 1, "2"), (60, 7, "4"), (-60, 7, "5")],
)
def test_the_standard_atmosphere_is_that_of_latitude_and_season(
    latitude: float, month: int, number: str
) -> None:
    air = replace(AIR, latitude_deg=latitude, acquired_at=datetime(2021, month, 5, tzinfo=UTC))
    assert input_deck(air, 660.0, 60.0).splitlines()[2] == number


@pytest.mark.parametrize(("center", "width"), [(200.0, 10.0), (3990.0, 100.0), (660.0, 0.0)])
def test_bands_beyond_the_program_are_refused(center: float, width: float) -> None:
    with pytest.raises(UsageError, match="6S computes"):
        input_deck(AIR, center, width)


def test_coefficients_are_read_from_both_layouts() -> None:
    earlier, later = parse_output(EARLIER), parse_output(LATER)
    assert (earlier.xa, earlier.xb, earlier.xc, earlier.xap) == (0.00685, 0.0387, 0.0682, None)
    assert (later.xa, later.xb, later.xc, later.xap) == (0.00685, 0.0387, 0.0682, 1.37159)


@pytest.mark.parametrize("text", ["", "*  error on month *\n", EARLIER.replace("0.00685", "*******")])
def test_output_without_coefficients_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no coefficients"):
        parse_output(text)


def test_the_printed_result_follows_from_the_printed_coefficients() -> None:
    # The example in Py6S's documentation: with these coefficients radiance 38.529 becomes 0.22187.
    found = parse_output(EARLIER)
    correction = SixsCorrection(np.array([found.xa]), np.array([found.xb]), np.array([found.xc]))
    corrected = correction.apply(np.array([[[38.529, np.nan]]], np.float32))
    assert corrected[0, 0, 0] == pytest.approx(0.22187, abs=2e-4)
    assert np.isnan(corrected[0, 0, 1])
    assert correction.as_json() == {"slope": [0.00685], "xb": [0.0387], "xc": [0.0682]}


def test_air_that_was_planted_is_taken_off_band_by_band() -> None:
    surface = np.random.default_rng(0).uniform(0.02, 0.6, (2, 8, 9)).astype(np.float32)
    path, transmittance, albedo = (
        np.array(v)[:, None, None] for v in ([0.08, 0.02], [0.8, 0.9], [0.15, 0.05])
    )
    seen = path + transmittance * surface / (1 - albedo * surface)
    correction = SixsCorrection((1 / transmittance).ravel(), (path / transmittance).ravel(), albedo.ravel())
    np.testing.assert_allclose(correction.apply(seen.astype(np.float32)), surface, atol=1e-5)


def test_without_the_program_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SIXS_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="SIXS_PATH"):
        fit_sixs(AIR, np.array([660.0]), np.array([60.0]), np.array([200.0]))
    monkeypatch.setenv("SIXS_PATH", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="no program"):
        find_program()


def test_a_program_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIXS_PATH", "/bin/false")
    with pytest.raises(UsageError, match="6S failed"):
        fit_sixs(AIR, np.array([660.0]), np.array([60.0]), np.array([200.0]))


@pytest.mark.skipif(not installed(), reason="the program 6S is not installed (SIXS_PATH or PATH)")
def test_the_program_finds_more_air_in_the_blue() -> None:
    correction = fit_sixs(AIR, np.array([485.0, 830.0]), np.array([70.0, 120.0]), np.array([330.0, 180.0]))
    path = correction.xb / correction.slope
    assert 0.02 < path[0] < 0.15
    assert path[1] < path[0]
    assert (correction.slope > 1.0).all()
