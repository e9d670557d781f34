"""Times and angles of Gaofen and Ziyuan side files, which do not always mean what they are called.

``StartTime``, ``CenterTime`` and ``EndTime`` are Beijing's (UTC+8) in every real file seen, ``ReceiveTime``
is UTC; ``SatelliteZenith`` is the elevation of the satellite above the ground's horizon; ``SolarZenith`` is
the zenith angle it says. None of it is documented, so every file is checked against where the sun really
stood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from db.errors import UsageError
from ingest.preprocess.solar import sun_position
from ingest.products.side_files import optional_number

BEIJING = timezone(timedelta(hours=8))
LARGEST_SUN_ERROR_DEG = 5.0
"""Side files agree with the sun to about 0.3 degrees; hours and mixed-up angles are tens of degrees."""

LONGEST_SCENE = timedelta(minutes=10)

_FORMATS = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class Geometry:
    """Moment and directions of an acquisition.

    Attributes:
        acquired_at: centre of the acquisition, UTC.
        times_in: time zone that the file's times turned out to be in.
        sun_azimuth_deg, sun_elevation_deg: direction to the sun; None when not stated.
        view_zenith_deg, view_azimuth_deg: direction to the sensor; None when not stated.

    """

    acquired_at: datetime
    times_in: str
    sun_azimuth_deg: float | None
    sun_elevation_deg: float | None
    view_zenith_deg: float | None
    view_azimuth_deg: float | None


def geometry_of(values: Mapping[str, str], name: str) -> Geometry:
    """Read moment and directions of a side file.

    Args:
        values: text of the XML's elements.
        name: of the file, for messages.

    Raises:
        UsageError: there is no time of acquisition, or a value is no number.

    """

    def stated(key: str) -> float | None:
        return optional_number(values.get(key), key, name)

    local = _center(values, name)
    azimuth, zenith = stated("SolarAzimuth"), stated("SolarZenith")
    place = _middle(values, name)
    if azimuth is not None:
        azimuth = _within(azimuth, -360.0, 360.0, "SolarAzimuth", name) % 360.0
    if zenith is not None:
        zenith = _within(zenith, 0.0, 180.0, "SolarZenith", name)
    at, times_in, elevation = local.replace(tzinfo=BEIJING).astimezone(UTC), "Beijing time", None
    if azimuth is not None and zenith is not None:
        elevation = 90.0 - zenith
        if place is not None:
            at, times_in, elevation, error = _as_the_sun_stood(local, azimuth, zenith, place)
            if error > LARGEST_SUN_ERROR_DEG:
                raise UsageError(
                    f"{name}: at its time and place the sun stood {error:.0f} degrees beside the "
                    "direction that "
                    "it states: time, corners or the sun's angles are wrong, and with them every reflectance"
                )
    elif zenith is not None:
        elevation = 90.0 - zenith
    satellite, view_azimuth = stated("SatelliteZenith"), stated("SatelliteAzimuth")
    if satellite is not None:
        satellite = _within(satellite, 0.0, 90.0, "SatelliteZenith", name)
    if view_azimuth is not None:
        view_azimuth = _within(view_azimuth, -360.0, 360.0, "SatelliteAzimuth", name) % 360.0
    # No satellite of the family looks further aside than 45 degrees: a larger angle is the elevation.
    view_zenith = None if satellite is None else (90.0 - satellite if satellite > 45.0 else satellite)
    return Geometry(at, times_in, azimuth, elevation, view_zenith, view_azimuth)


def _within(value: float, low: float, high: float, key: str, name: str) -> float:
    if not low <= value <= high:
        raise UsageError(f"{name}: {key} is {value:g} degrees, which cannot be")
    return value


def _center(values: Mapping[str, str], name: str) -> datetime:
    """The file's own clock at the centre of the acquisition, without a time zone."""
    found = {key: _clock(values.get(key), key, name) for key in ("CenterTime", "StartTime", "EndTime")}
    start, end, center = found["StartTime"], found["EndTime"], found["CenterTime"]
    known = [each for each in (start, center, end) if each is not None]
    if known and max(known) - min(known) > LONGEST_SCENE:
        raise UsageError(f"{name}: StartTime, CenterTime and EndTime lie {max(known) - min(known)} apart")
    if center is not None:
        return center
    if start is not None and end is not None:
        return start + (end - start) / 2
    if start is None:
        raise UsageError(f"{name}: does not state CenterTime or StartTime; get the file anew")
    return start


def _clock(text: str | None, key: str, name: str) -> datetime | None:
    if text is None or not text.strip():
        return None
    for form in _FORMATS:
        try:
            clock = datetime.strptime(text.strip(), form)
        except ValueError:
            continue
        if not 1970 <= clock.year <= 2100:
            raise UsageError(f"{name}: {key} is {text.strip()}, which cannot be")
        return clock
    raise UsageError(f"{name}: {key} is {text!r}, not a date and time")


def _middle(values: Mapping[str, str], name: str) -> tuple[float, float] | None:
    """Longitude and latitude of the middle of the corners."""
    corners = ("TopLeft", "TopRight", "BottomRight", "BottomLeft")
    lon = [optional_number(values.get(f"{each}Longitude"), "a corner's longitude", name) for each in corners]
    lat = [optional_number(values.get(f"{each}Latitude"), "a corner's latitude", name) for each in corners]
    known = [(x, y) for x, y in zip(lon, lat, strict=True) if x is not None and y is not None]
    if len(known) < len(corners):
        return None
    # Corners on both sides of the date line are averaged on one side of it.
    first = known[0][0]
    return (
        first + sum((x - first + 180.0) % 360.0 - 180.0 for x, _ in known) / len(known),
        sum(y for _, y in known) / len(known),
    )


def _as_the_sun_stood(
    local: datetime, azimuth: float, zenith: float, place: tuple[float, float]
) -> tuple[datetime, str, float, float]:
    """The reading of time and angle under which the sun stood where the file says."""
    readings = []
    for zone, named in ((BEIJING, "Beijing time"), (UTC, "UTC")):
        at = local.replace(tzinfo=zone).astimezone(UTC)
        true = sun_position(at, *place)
        readings += [
            (_angle((azimuth, elevation), true), at, named, elevation)
            for elevation in (90.0 - zenith, zenith)
        ]
    error, at, named, elevation = min(readings, key=lambda reading: reading[0])
    if error > LARGEST_SUN_ERROR_DEG:
        error, at, named, elevation = readings[0]
    return at, named, elevation, error


def _angle(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Angle between two directions (azimuth, elevation), degrees."""
    (a, b), (c, d) = ((math.radians(each[0]), math.radians(each[1])) for each in (one, other))
    cosine = math.sin(b) * math.sin(d) + math.cos(b) * math.cos(d) * math.cos(a - c)
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
