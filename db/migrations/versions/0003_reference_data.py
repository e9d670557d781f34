"""Land classes and the instruments Lode knows from the start.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from db.errors import UsageError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# code, key, English, Chinese, kind of damage, occupation type, colour, mapped by networks, smallest patch in m2
LAND_CLASSES = [
    (0, "background", "background", "背景", "none", None, "#d9d2c5", True, 400.0),
    (1, "vegetation", "vegetation", "植被", "none", None, "#5a9e4b", True, 400.0),
    (2, "water", "water", "水域", "excavated", None, "#3b7dd8", True, 100.0),
    (3, "living_area", "living area", "生活区", "occupied", "building", "#f2a03d", True, 100.0),
    (4, "industrial_square", "industrial square", "工业广场", "occupied", "transfer_yard", "#a45fb5", True, 200.0),
    (5, "dump", "dump", "堆放场", "occupied", "solid_waste", "#8c6239", True, 400.0),
    (6, "open_pit", "open pit", "露天采场", "excavated", "pit", "#d7301f", True, 400.0),
    (7, "tailings_pond", "tailings pond", "尾矿库", "occupied", "solid_waste", "#2bb5b0", True, 400.0),
    (8, "subsidence", "subsidence", "地面塌陷", "subsided", None, "#5e3c99", False, 400.0),
    (9, "treated_open_pit", "treated open pit", "已治理露天采场", "treated", "pit", "#b2df8a", False, 400.0),
    (10, "treated_dump", "treated dump", "已治理堆放场", "treated", "solid_waste", "#c7e9a0", False, 400.0),
    (11, "treated_industrial_square", "treated industrial square", "已治理工业广场", "treated",
     "transfer_yard", "#d9f0c0", False, 400.0),
    (12, "treated_subsidence", "treated subsidence", "已治理地面塌陷", "treated", None, "#e5f5d5", False, 400.0),
]  # fmt: skip

_BGRN = [
    ("blue", "blue", 450.0, 520.0),
    ("green", "green", 520.0, 590.0),
    ("red", "red", 630.0, 690.0),
    ("nir", "nir", 770.0, 890.0),
]
_CRESDA = "band limits published by the China Centre for Resources Satellite Data and Application"

# name, common name, centre nm, width nm: Sentinel-2A, as in ESA's spectral response document
_SENTINEL2 = [
    ("B01", "coastal", 442.7, 21.0), ("B02", "blue", 492.4, 66.0), ("B03", "green", 559.8, 36.0),
    ("B04", "red", 664.6, 31.0), ("B05", "rededge071", 704.1, 15.0), ("B06", "rededge075", 740.5, 15.0),
    ("B07", "rededge078", 782.8, 20.0), ("B08", "nir", 832.8, 106.0), ("B8A", "nir08", 864.7, 21.0),
    ("B09", "nir09", 945.1, 20.0), ("B10", "cirrus", 1373.5, 31.0), ("B11", "swir16", 1613.7, 91.0),
    ("B12", "swir22", 2202.4, 175.0),
]  # fmt: skip


def _from_limits(limits: list[tuple[str, str, float, float]]) -> list[tuple[str, str | None, float, float]]:
    return [(name, common, (low + high) / 2, high - low) for name, common, low, high in limits]


def _evenly(prefix: str, count: int, first_nm: float, last_nm: float) -> list[tuple[str, None, float, float]]:
    step = (last_nm - first_nm) / (count - 1)
    return [(f"{prefix}{index + 1:03d}", None, first_nm + index * step, step) for index in range(count)]


# key, name, pixel size in m, source, bands
SENSORS: list[tuple[str, str, float, str, Sequence[tuple[str, str | None, float, float]]]] = [
    ("sentinel2_msi", "Sentinel-2 MSI", 10.0, "ESA, Sentinel-2 spectral response functions, 2A", _SENTINEL2),
    ("gf1_pms", "Gaofen-1 PMS multispectral", 8.0, _CRESDA, _from_limits(_BGRN)),
    ("gf1_pan", "Gaofen-1 PMS panchromatic", 2.0, _CRESDA, _from_limits([("pan", "pan", 450.0, 900.0)])),
    ("gf1_wfv", "Gaofen-1 WFV", 16.0, _CRESDA, _from_limits(_BGRN)),
    ("gf2_pms", "Gaofen-2 PMS multispectral", 3.2, _CRESDA, _from_limits(_BGRN)),
    ("gf2_pan", "Gaofen-2 PMS panchromatic", 0.8, _CRESDA, _from_limits([("pan", "pan", 450.0, 900.0)])),
    ("gf7_mux", "Gaofen-7 multispectral", 2.6, _CRESDA, _from_limits(_BGRN)),
    ("gf7_pan", "Gaofen-7 panchromatic", 0.8, _CRESDA, _from_limits([("pan", "pan", 450.0, 900.0)])),
    ("zy3_mux", "Ziyuan-3 multispectral", 5.8, _CRESDA, _from_limits(_BGRN)),
    ("zy3_pan", "Ziyuan-3 nadir panchromatic", 2.1, _CRESDA, _from_limits([("pan", "pan", 500.0, 800.0)])),
    (
        "zy1_02d_ahsi",
        "Ziyuan-1 02D AHSI",
        30.0,
        "nominal, evenly spaced over 395-1040 nm and 1005-2501 nm; a product's own wavelengths go first",
        _evenly("V", 76, 395.0, 1040.0) + _evenly("S", 90, 1005.0, 2501.0),
    ),
]


def upgrade() -> None:
    """Insert classes, instruments and bands."""
    connection = op.get_bind()
    insert_class = sa.text(
        "insert into lode.land_class (land_class_code, key, name, name_zh, damage_kind, occupation_type, colour,"
        " is_mapped, min_patch_m2) values (:code, :key, :name, :name_zh, :kind, :occupation, :colour, :mapped, :patch)"
    )
    names = ("code", "key", "name", "name_zh", "kind", "occupation", "colour", "mapped", "patch")
    connection.execute(insert_class, [dict(zip(names, row, strict=True)) for row in LAND_CLASSES])
    insert_sensor = sa.text(
        "insert into lode.sensor (key, name, resolution_m, source)"
        " values (:key, :name, :resolution, :source) returning sensor_id"
    )
    insert_band = sa.text(
        "insert into lode.sensor_band (sensor_id, position, name, common_name, center_nm, width_nm)"
        " values (:sensor, :position, :name, :common, :center, :width)"
    )
    for key, name, resolution, source, bands in SENSORS:
        sensor = connection.execute(
            insert_sensor, {"key": key, "name": name, "resolution": resolution, "source": source}
        ).scalar_one()
        connection.execute(
            insert_band,
            [
                {
                    "sensor": sensor,
                    "position": place,
                    "name": band,
                    "common": common,
                    "center": center,
                    "width": width,
                }
                for place, (band, common, center, width) in enumerate(bands, start=1)
            ],
        )


def downgrade() -> None:
    """Refused: the schema goes forward only."""
    raise UsageError("Lode's schema goes forward only; restore a dump of the older version instead")
