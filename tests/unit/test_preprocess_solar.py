"""Sun and its distance, against figures that observatories publish."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ingest.preprocess.solar import earth_sun_distance_au, sun_position


def test_the_worked_example_of_nrel() -> None:
    """Reda and Andreas (2008), NREL/TP-560-34302, table A5.1: elevation before refraction 39.872."""
    moment = datetime(2003, 10, 17, 12, 30, 30, tzinfo=timezone(timedelta(hours=-7)))
    azimuth, elevation = sun_position(moment, lon=-105.1786, lat=39.742476)
    assert azimuth == pytest.approx(194.340, abs=0.02)
    assert elevation == pytest.approx(39.872, abs=0.02)
    assert sun_position(moment.astimezone(UTC), -105.1786, 39.742476) == (azimuth, elevation)


@pytest.mark.parametrize(
    ("moment", "distance_au"),
    [
        (datetime(2020, 1, 5, 7, 48, tzinfo=UTC), 0.983244),  # perihelion
        (datetime(2020, 7, 4, 11, 35, tzinfo=UTC), 1.016694),  # aphelion
        (datetime(2023, 1, 4, 16, 17, tzinfo=UTC), 0.983296),
        (datetime(2023, 7, 6, 20, 6, tzinfo=UTC), 1.016681),
    ],
)
def test_distance_at_the_apsides(moment: datetime, distance_au: float) -> None:
    assert earth_sun_distance_au(moment) == pytest.approx(distance_au, abs=1e-4)


def test_distance_grows_from_january_to_july() -> None:
    days = [datetime(2021, month, 4, tzinfo=UTC) for month in range(1, 13)]
    distances = [earth_sun_distance_au(day) for day in days]
    assert distances[:7] == sorted(distances[:7])
    assert distances[6:] == sorted(distances[6:], reverse=True)


def test_solstice_and_equinox() -> None:
    """At the June solstice of 2024 (20:51 UTC) the sun's declination is 23.44, at the March equinox 0."""
    solstice = datetime(2024, 6, 20, 20, 51, tzinfo=UTC)
    highest = max(sun_position(solstice, lon / 4, 23.44)[1] for lon in range(-720, 720))
    assert highest > 89.8
    # At the north pole the elevation is the declination, whatever the hour.
    assert sun_position(solstice, 0.0, 90.0)[1] == pytest.approx(23.437, abs=0.02)
    assert sun_position(solstice, 120.0, -90.0)[1] == pytest.approx(-23.437, abs=0.02)
    equinox = datetime(2024, 3, 20, 3, 6, tzinfo=UTC)
    assert sun_position(equinox, 50.0, 90.0)[1] == pytest.approx(0.0, abs=0.02)


def test_quadrants() -> None:
    """Azimuth runs from north over east."""
    morning = datetime(2022, 7, 19, 2, 0, tzinfo=UTC)  # 07:50 by the sun at 87 E
    azimuth, elevation = sun_position(morning, 87.0, 44.0)
    assert 70 < azimuth < 110
    assert 25 < elevation < 45
    evening, _ = sun_position(morning + timedelta(hours=9), 87.0, 44.0)
    assert 250 < evening < 290
    noon = datetime(2022, 7, 19, 6, 18, tzinfo=UTC)
    north_of_it, _ = sun_position(noon, 87.0, 44.0)
    assert north_of_it == pytest.approx(180.0, abs=2.0)
    south_of_it, _ = sun_position(noon, 87.0, -30.0)
    assert min(south_of_it, 360.0 - south_of_it) < 2.0
    _, night = sun_position(noon + timedelta(hours=12), 87.0, 44.0)
    assert night < -20


def test_an_hour_without_zone_is_refused() -> None:
    naive = datetime(2022, 7, 19, 2, 0)
    with pytest.raises(ValueError, match="time zone"):
        earth_sun_distance_au(naive)
    with pytest.raises(ValueError, match="time zone"):
        sun_position(naive, 87.0, 44.0)
