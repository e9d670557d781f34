"""More instruments, and the coefficients published for the Chinese ones.

``reference/calibration.csv`` holds radiance = gain * number + offset in W m-2 sr-1 um-1, and the solar
irradiance of the band in W m-2 um-1, by camera and year. ``reference/enmap_bands.csv`` holds centre and width
of EnMAP's bands as its Level 2A products of 2022 state them.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import csv
from pathlib import Path

import sqlalchemy as sa
from alembic import op

from db.errors import UsageError

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

REFERENCE = Path(__file__).parents[1] / "reference"

Band = tuple[str, str | None, float, float]

_CRESDA = "band limits published by the China Centre for Resources Satellite Data and Application"
_USGS = "USGS, Landsat 8-9 OLI spectral characteristics"


def _from_limits(*limits: tuple[str, float, float]) -> list[Band]:
    return [(name, name, (low + high) / 2, high - low) for name, low, high in limits]


_GF1 = _from_limits(("blue", 450, 520), ("green", 520, 590), ("red", 630, 690), ("nir", 770, 890))
_PAN = _from_limits(("pan", 450, 900))
_GF6 = _from_limits(("blue", 450, 520), ("green", 520, 600), ("red", 630, 690), ("nir", 760, 900))
_GF6_WFV = [
    *_GF1,
    ("rededge710", "rededge071", 710.0, 40.0),
    ("rededge750", "rededge075", 750.0, 40.0),
    ("violet", "coastal", 425.0, 50.0),
    ("yellow", "yellow", 610.0, 40.0),
]
_VNIC = [
    *_from_limits(("blue", 452, 521), ("green", 522, 607), ("red", 635, 694), ("nir", 776, 895)),
    ("coastal", "coastal", 434.0, 36.0),
    ("yellow", "yellow", 612.0, 42.0),
    ("rededge", "rededge071", 730.0, 44.0),
    ("nir09", "nir09", 959.0, 176.0),
]
_VNIC_PAN = _from_limits(("pan", 452, 902))
_OLI: list[Band] = [
    ("B1", "coastal", 443.0, 16.0),
    ("B2", "blue", 482.0, 60.0),
    ("B3", "green", 561.4, 57.3),
    ("B4", "red", 654.6, 37.5),
    ("B5", "nir08", 864.7, 28.3),
    ("B6", "swir16", 1608.9, 84.7),
    ("B7", "swir22", 2200.7, 186.7),
    ("B9", "cirrus", 1373.4, 20.4),
]
_OLI_PAN: list[Band] = [("B8", "pan", 589.5, 172.4)]


def _evenly(prefix: str, count: int, first_nm: float, last_nm: float) -> list[Band]:
    step = (last_nm - first_nm) / (count - 1)
    return [(f"{prefix}{index + 1:03d}", None, first_nm + index * step, step) for index in range(count)]


def _enmap() -> list[Band]:
    with (REFERENCE / "enmap_bands.csv").open(encoding="utf-8", newline="") as stream:
        return [
            (row["band"], None, float(row["center_nm"]), float(row["width_nm"]))
            for row in csv.DictReader(stream)
        ]


def sensors() -> list[tuple[str, str, float, str, list[Band]]]:
    """Key, name, pixel size in m, source of the band figures, and bands of each instrument."""
    twins = [
        (f"gf1{letter}_{kind}", f"Gaofen-1{letter.upper()} PMS {what}", size, _CRESDA, bands)
        for letter in "bcd"
        for kind, what, size, bands in (
            ("pms", "multispectral", 8.0, _GF1),
            ("pan", "panchromatic", 2.0, _PAN),
        )
    ]
    vnic = [
        (f"zy1_02{letter}_vnic{kind}", f"Ziyuan-1 02{letter.upper()} VNIC {what}", size, _CRESDA, bands)
        for letter in "de"
        for kind, what, size, bands in (
            ("", "multispectral", 10.0, _VNIC),
            ("_pan", "panchromatic", 2.5, _VNIC_PAN),
        )
    ]
    landsat = [
        (f"landsat{number}_{kind}", f"Landsat {number} OLI {what}", size, _USGS, bands)
        for number in "89"
        for kind, what, size, bands in (
            ("oli", "multispectral", 30.0, _OLI),
            ("pan", "panchromatic", 15.0, _OLI_PAN),
        )
    ]
    nominal = "nominal, evenly spaced over 395-1040 nm and 1005-2501 nm; a product's own wavelengths go first"
    return [
        *twins,
        ("gf6_pms", "Gaofen-6 PMS multispectral", 8.0, _CRESDA, _GF6),
        ("gf6_pan", "Gaofen-6 PMS panchromatic", 2.0, _CRESDA, _PAN),
        ("gf6_wfv", "Gaofen-6 WFV", 16.0, _CRESDA, _GF6_WFV),
        *vnic,
        (
            "zy1_02e_ahsi",
            "Ziyuan-1 02E AHSI",
            30.0,
            nominal,
            _evenly("V", 76, 395.0, 1040.0) + _evenly("S", 90, 1005.0, 2501.0),
        ),
        *landsat,
        (
            "enmap_hsi",
            "EnMAP HSI",
            30.0,
            "tags of Level 2A products of 2022; a product's own go first",
            _enmap(),
        ),
    ]


def upgrade() -> None:
    """Insert instruments, their bands and coefficients."""
    connection = op.get_bind()
    insert_sensor = sa.text(
        "insert into lode.sensor (key, name, resolution_m, source)"
        " values (:key, :name, :resolution, :source) returning sensor_id"
    )
    insert_band = sa.text(
        "insert into lode.sensor_band (sensor_id, position, name, common_name, center_nm, width_nm)"
        " values (:sensor, :position, :name, :common, :center, :width)"
    )
    for key, name, resolution, source, bands in sensors():
        sensor = connection.execute(
            insert_sensor, {"key": key, "name": name, "resolution": resolution, "source": source}
        ).scalar_one()
        names = ("name", "common", "center", "width")
        connection.execute(
            insert_band,
            [
                {"sensor": sensor, "position": place, **dict(zip(names, band, strict=True))}
                for place, band in enumerate(bands, start=1)
            ],
        )
    insert_coefficients = sa.text(
        'insert into lode.calibration (sensor_id, camera, band_name, year, gain, "offset", esun, source)'
        " select sensor_id, :camera, :band, :year, :gain, :offset, :esun, :source"
        " from lode.sensor where key = :sensor"
    )
    with (REFERENCE / "calibration.csv").open(encoding="utf-8", newline="") as stream:
        rows = [
            {
                **row,
                "year": int(row["year"]),
                "gain": float(row["gain"]),
                "offset": float(row["offset"]),
                "esun": float(row["esun"]) if row["esun"] else None,
            }
            for row in csv.DictReader(stream)
        ]
    connection.execute(insert_coefficients, rows)


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
