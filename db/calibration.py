"""Radiometric coefficients by instrument, camera and year: all SQL about ``lode.calibration``.

The table belongs to the user too: what is edited there, in SQL or in QGIS, holds from the next ingest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.sensors import sensor_by_key

_SELECT = """
select band_name, gain, "offset", esun, year, source from lode.calibration
where sensor_id = %s and camera = %s
"""

_INSERT = """
insert into lode.calibration (sensor_id, camera, band_name, year, gain, "offset", esun, source)
values (%s, %s, %s, %s, %s, %s, %s, %s)
on conflict (sensor_id, camera, band_name, year)
do update set gain = excluded.gain, "offset" = excluded."offset", esun = excluded.esun,
  source = excluded.source
"""

_HOW = "--calibration-year YEAR takes another year's, lode ingest calibration FILE.csv brings coefficients in"


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of one band: radiance = gain * number + offset.

    Attributes:
        band: name, as in ``lode.sensor_band``.
        gain: W m-2 sr-1 um-1 per digital number.
        offset: radiance at digital number 0, W m-2 sr-1 um-1.
        esun: solar irradiance in the band at one astronomical unit, W m-2 um-1; None where not published.
        year: year they hold for.
        source: where they were published.

    """

    band: str
    gain: float
    offset: float
    esun: float | None
    year: int
    source: str


@dataclass(frozen=True)
class CalibrationRow:
    """Coefficients with the key of their instrument and the name of its camera ("" where there is one)."""

    sensor: str
    camera: str
    coefficients: Coefficients


@dataclass(frozen=True)
class Stored:
    """How many rows were new, replaced, and there already."""

    new: int
    replaced: int
    unchanged: int


def coefficients(
    conn: Connection[Any], sensor_key: str, camera: str, bands: Sequence[str], year: int
) -> tuple[Coefficients, ...]:
    """Coefficients of the bands, in the order asked for.

    Args:
        conn: connection to the database.
        sensor_key: key of the instrument in ``lode.sensor``.
        camera: which camera or satellite of the instrument; "" where there is one.
        bands: names of the bands.
        year: year of acquisition, or the year that the user chose instead.

    Raises:
        UsageError: there are none of that camera, year or band; the message names the nearest year there is.

    """
    sensor = sensor_by_key(conn, sensor_key)
    label = f"{sensor_key} {camera}".strip()
    rows = [Coefficients(*row) for row in conn.execute(_SELECT, (sensor.sensor_id, camera))]
    if not rows:
        raise UsageError(
            f"there are no calibration coefficients of {label}{_cameras(conn, sensor.sensor_id)}"
        )
    of_year = {row.band: row for row in rows if row.year == year}
    missing = [band for band in bands if band not in of_year]
    if not missing:
        return tuple(of_year[band] for band in bands)
    there = {(row.band, row.year) for row in rows}
    years = sorted({row.year for row in rows})
    complete = [each for each in years if all((band, each) in there for band in bands)]
    known = ", ".join(str(each) for each in complete) or "none"
    if of_year:
        raise UsageError(
            f"the calibration coefficients of {label} for {year} lack band {', '.join(missing)}; "
            f"years with all of {', '.join(bands)}: {known}; {_HOW}"
        )
    if not complete:
        raise UsageError(
            f"no year has calibration coefficients of {label} for all of {', '.join(bands)}; {_HOW}"
        )
    nearest = min(complete, key=lambda each: (abs(each - year), -each))
    raise UsageError(
        f"there are no calibration coefficients of {label} for {year}; the nearest year is {nearest} "
        f"(there are: {known}); {_HOW.replace('YEAR', str(nearest))}"
    )


def _cameras(conn: Connection[Any], sensor_id: int) -> str:
    """Which cameras do have coefficients, and how others come in, as the end of a message."""
    found = conn.execute(
        "select distinct camera from lode.calibration where sensor_id = %s order by camera", (sensor_id,)
    ).fetchall()
    there = f"; there are of: {', '.join(repr(camera) for (camera,) in found)}" if found else ""
    return f"{there}; lode ingest calibration FILE.csv brings coefficients in"


def store(conn: Connection[Any], rows: Sequence[CalibrationRow], *, replace: bool) -> Stored:
    """Store coefficients, inside the caller's transaction; equal ones are left as they are.

    Args:
        conn: connection to the database.
        rows: the coefficients.
        replace: whether other coefficients of the same camera, band and year give way.

    Raises:
        UsageError: an unknown instrument or band, the same key twice, or other coefficients are there and
            may not be replaced; nothing is to be committed then.

    """
    sensors = {key: sensor_by_key(conn, key) for key in sorted({row.sensor for row in rows})}
    seen: set[tuple[str, str, str, int]] = set()
    new = replaced = unchanged = 0
    for row in rows:
        values = row.coefficients
        key = (row.sensor, row.camera, values.band, values.year)
        label = " ".join(str(part) for part in key if part != "")
        if key in seen:
            raise UsageError(f"{label} comes twice; state each band and year once")
        seen.add(key)
        sensor = sensors[row.sensor]
        if values.band not in [band.name for band in sensor.bands]:
            known = ", ".join(band.name for band in sensor.bands)
            raise UsageError(f"{row.sensor} has no band {values.band!r}; its bands are: {known}")
        there = next(
            (
                Coefficients(*found)
                for found in conn.execute(
                    _SELECT + " and band_name = %s and year = %s",
                    (sensor.sensor_id, row.camera, values.band, values.year),
                )
            ),
            None,
        )
        if there == values:
            unchanged += 1
            continue
        if there is not None and not replace:
            raise UsageError(
                f"{label}: there are other coefficients already (gain {there.gain:g}, "
                f"offset {there.offset:g}, esun {there.esun}, {there.source!r}); --replace puts these "
                "in their place"
            )
        new, replaced = (new + 1, replaced) if there is None else (new, replaced + 1)
        place = (sensor.sensor_id, row.camera, values.band, values.year)
        conn.execute(_INSERT, (*place, values.gain, values.offset, values.esun, values.source))
    return Stored(new, replaced, unchanged)
