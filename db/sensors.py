"""Instruments and their bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.errors import UsageError


@dataclass(frozen=True)
class SensorBand:
    """A spectral band: name, shared name (blue, nir, ...), centre and width in nm."""

    name: str
    common_name: str | None
    center_nm: float
    width_nm: float


@dataclass(frozen=True)
class Sensor:
    """An instrument; bands in the product's own order, nominal pixel size in metres."""

    sensor_id: int
    key: str
    name: str
    resolution_m: float
    bands: tuple[SensorBand, ...]


def list_sensors(conn: Connection[Any]) -> list[Sensor]:
    """All instruments, by key."""
    bands: dict[int, list[SensorBand]] = {}
    for sensor_id, *band in conn.execute(
        "select sensor_id, name, common_name, center_nm, width_nm from lode.sensor_band"
        " order by sensor_id, position"
    ):
        bands.setdefault(sensor_id, []).append(SensorBand(*band))
    rows = conn.execute("select sensor_id, key, name, resolution_m from lode.sensor order by key").fetchall()
    return [
        Sensor(sensor_id, key, name, resolution_m, tuple(bands.get(sensor_id, ())))
        for sensor_id, key, name, resolution_m in rows
    ]


def sensor_by_key(conn: Connection[Any], key: str) -> Sensor:
    """Find an instrument.

    Raises:
        UsageError: there is none of that key; the message lists those there are.

    """
    sensors = list_sensors(conn)
    found = next((sensor for sensor in sensors if sensor.key == key), None)
    if found is None:
        known = ", ".join(sensor.key for sensor in sensors) or "none"
        raise UsageError(f"no sensor {key!r} is known; there are: {known}")
    return found
