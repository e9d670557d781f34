"""Where the sun stands: to tell what the angles and times of a product's side file mean."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def sun_position(at: datetime, lon: float, lat: float) -> tuple[float, float]:
    """Direction to the sun, without refraction.

    Low-precision formulae of the Astronomical Almanac (Michalsky 1988, Solar Energy 40(3)): within 0.01
    degrees from 1950 to 2050.

    Args:
        at: moment, with its time zone.
        lon: longitude, degrees east.
        lat: latitude, degrees north.

    Returns:
        Azimuth from north over east (0..360) and elevation above the horizon (-90..90), degrees.

    """
    days = (at - _J2000).total_seconds() / 86400
    anomaly = math.radians(357.528 + 0.9856003 * days)
    ecliptic = math.radians(
        280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439 - 0.0000004 * days)
    ascension = math.atan2(math.cos(obliquity) * math.sin(ecliptic), math.cos(ecliptic))
    declination = math.asin(math.sin(obliquity) * math.sin(ecliptic))
    sidereal = math.radians(15 * (18.697374558 + 24.06570982441908 * days) + lon)
    hour_angle = sidereal - ascension
    phi = math.radians(lat)
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.sin(declination) * math.cos(phi) - math.cos(declination) * math.cos(hour_angle) * math.sin(phi)
    up = math.sin(declination) * math.sin(phi) + math.cos(declination) * math.cos(hour_angle) * math.cos(phi)
    return math.degrees(math.atan2(east, north)) % 360, math.degrees(math.asin(max(-1.0, min(1.0, up))))


def angle_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Angle between two directions, each azimuth and elevation, degrees."""
    (a, b), (c, d) = ((math.radians(each[0]), math.radians(each[1])) for each in (one, other))
    cosine = math.sin(b) * math.sin(d) + math.cos(b) * math.cos(d) * math.cos(a - c)
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
