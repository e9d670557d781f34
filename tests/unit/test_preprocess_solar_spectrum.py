"""The solar spectrum against integrals of ASTM G173-03 that were computed from the standard's own table."""

from __future__ import annotations

import pytest

from db.errors import UsageError
from ingest.preprocess.solar_spectrum import FIRST_NM, LAST_NM, solar_irradiance


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        # Means of the extraterrestrial column of ASTMG173 between the limits, W m-2 um-1.
        (400.0, 700.0, 1766.549),
        (700.0, 1000.0, 1037.735),
        (1000.0, 2500.0, 247.1657),
        (480.0, 490.0, 1931.97),
        (1995.0, 2005.0, 116.3275),
    ],
)
def test_means_are_those_of_the_standard(low: float, high: float, expected: float) -> None:
    assert solar_irradiance((low + high) / 2, high - low) == pytest.approx(expected, rel=0.006)


def test_bands_that_end_where_the_tables_steps_do_are_exact() -> None:
    assert solar_irradiance(552.5, 300.0) == pytest.approx(1763.6263, rel=5e-5)
    assert solar_irradiance(1755.0, 1500.0) == pytest.approx(244.8847, rel=5e-5)


def test_bands_of_a_known_instrument_agree_with_what_others_publish() -> None:
    # Sentinel-2A's own metadata: B3 1823.24, B4 1512.06, B11 245.59, from Thuillier's spectrum.
    for center, width, published in ((559.8, 36.0, 1823.24), (664.6, 31.0, 1512.06), (1613.7, 91.0, 245.59)):
        assert solar_irradiance(center, width) == pytest.approx(published, rel=0.02)


def test_two_halves_make_the_whole() -> None:
    # Across the seam of the fine and the coarse table.
    whole = solar_irradiance(1000.0, 40.0)
    halves = (solar_irradiance(990.0, 20.0) + solar_irradiance(1010.0, 20.0)) / 2
    assert whole == pytest.approx(halves, rel=1e-9)


@pytest.mark.parametrize(
    ("center", "width"), [(340.0, 10.0), (2650.0, 20.0), (500.0, 0.0), (500.0, -5.0), (float("nan"), 10.0)]
)
def test_bands_beyond_the_table_are_refused(center: float, width: float) -> None:
    with pytest.raises(UsageError, match="state the band's solar irradiance"):
        solar_irradiance(center, width)


def test_the_whole_table_may_be_used() -> None:
    assert solar_irradiance((FIRST_NM + LAST_NM) / 2, LAST_NM - FIRST_NM) > 0
