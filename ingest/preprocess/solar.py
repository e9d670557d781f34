"""Where the sun stands and how far it is."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def _orbit(moment: datetime) -> tuple[float, float, float]:
    """Days since J2000, mean anomaly and ecliptic longitude of the sun in radians."""
    if moment.tzinfo is None:
        raise ValueError("the moment needs a time zone")
    days = (moment - _J2000).total_seconds() / 86400.0
    anomaly = math.radians((357.529 + 0.98560028 * days) % 360.0)
    mean_longitude = 280.459 + 0.98564736 * days
    longitude = mean_longitude + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    return days, anomaly, math.radians(longitude % 360.0)


def earth_sun_distance_au(moment: datetime) -> float:
    """Distance of Earth and Sun in astronomical units, to about 0.0001.

    Source: The Astronomical Almanac, low-precision formulae for the Sun.

    Args:
        moment: with time zone.

    """
    _, anomaly, _ = _orbit(moment)
    return 1.00014 - 0.01671 * math.cos(anomaly) - 0.00014 * math.cos(2 * anomaly)


def sun_position(moment: datetime, lon: float, lat: float) -> tuple[float, float]:
    """Direction to the sun, to about 0.02 degrees, without refraction.

    Source: The Astronomical Almanac, low-precision formulae for the Sun, and hour angle from Greenwich mean
    sidereal time.

    Args:
        moment: with time zone.
        lon: longitude, degrees east.
        lat: latitude, degrees north.

    Returns:
        Azimuth from north over east and elevation above the horizon, degrees.

    """
    days, _, longitude = _orbit(moment)
    obliquity = math.radians(23.439 - 0.00000036 * days)
    ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(obliquity) * math.sin(longitude))
    sidereal = math.radians((280.46061837 + 360.98564736629 * days + lon) % 360.0)
    turn, phi = sidereal - ascension, math.radians(lat)
    sine = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(turn)
    elevation = math.asin(max(-1.0, min(1.0, sine)))
    azimuth = math.atan2(
        -math.sin(turn) * math.cos(declination),
        math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(turn),
    )
    return math.degrees(azimuth) % 360.0, math.degrees(elevation)
