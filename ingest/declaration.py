"""What a user declares about the numbers in a scene, and which declarations cannot be true."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from db.errors import UsageError
from db.sensors import Sensor

LEVELS = ("digital_number", "radiance", "toa_reflectance", "surface_reflectance")
REFLECTANCES = ("toa_reflectance", "surface_reflectance")

SENTINEL2_OFFSET_SINCE = date(2022, 1, 25)
"""First day of Sentinel-2 processing baseline 04.00: ESA adds 1000 to every stored value since."""

SENTINEL2_SCALE = 1e-4
LONGEST_NAME = 1000


@dataclass(frozen=True)
class Statement:
    """What was typed; None where nothing was."""

    sensor: str
    acquired_on: date
    product: str
    bands: tuple[str, ...] | None = None
    value_offset: float | None = None
    value_scale: float | None = None
    processing_level: str | None = None
    nodata: float | None = None
    resampling: str = "nearest"
    resolution_m: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The statement for the catalogue: equal statements are equal dictionaries."""
        stated = {key: value for key, value in asdict(self).items() if value is not None}
        stated["acquired_on"] = self.acquired_on.isoformat()
        if self.bands is not None:
            stated["bands"] = list(self.bands)
        if self.nodata is not None and math.isnan(self.nodata):
            stated["nodata"] = "nan"
        return stated


@dataclass(frozen=True)
class ValueMeaning:
    """reflectance (or whatever the level says) = (stored value + value_offset) * value_scale."""

    processing_level: str
    value_offset: float
    value_scale: float


def check_product_name(product: str) -> None:
    """Refuse names that PostgreSQL cannot store or nobody can type again.

    Raises:
        UsageError: empty, too long, or with control characters.

    """
    if not product.strip():
        raise UsageError("the product name is empty; state one with --product")
    if len(product) > LONGEST_NAME:
        raise UsageError(f"the product name has {len(product)} characters; at most {LONGEST_NAME} are stored")
    if not product.isprintable():
        raise UsageError(f"the product name {product!r} holds control characters; state one with --product")


def value_meaning(statement: Statement, sensor: Sensor, *, is_float: bool) -> ValueMeaning:
    """Complete a declaration with the instrument's defaults.

    Sentinel-2: surface reflectance, and a scale of 0.0001 for integers. Others: digital numbers as stored.

    Args:
        statement: what was typed.
        sensor: the instrument.
        is_float: whether the pixels are floating point.

    Raises:
        UsageError: the date lies ahead, numbers are not usable, or a Sentinel-2 offset is missing or has
            the wrong sign.

    """
    if statement.acquired_on > datetime.now(UTC).date() + timedelta(days=1):
        raise UsageError(f"{statement.product}: acquired on {statement.acquired_on}? That day is to come")
    is_sentinel2 = sensor.key.startswith("sentinel2")
    if is_sentinel2:
        _check_sentinel2_offset(statement)
    level = statement.processing_level or ("surface_reflectance" if is_sentinel2 else "digital_number")
    if level not in LEVELS:
        raise UsageError(f"processing level {level!r} is not known; there are: {', '.join(LEVELS)}")
    offset = statement.value_offset if statement.value_offset is not None else 0.0
    scale = statement.value_scale
    if scale is None:
        scale = SENTINEL2_SCALE if is_sentinel2 and not is_float and level in REFLECTANCES else 1.0
    if not math.isfinite(offset) or not math.isfinite(scale) or scale <= 0:
        raise UsageError(f"--offset {offset} and --scale {scale}: both must be numbers, the scale above 0")
    return ValueMeaning(level, offset, scale)


def _check_sentinel2_offset(statement: Statement) -> None:
    offset = statement.value_offset
    if offset is None and statement.acquired_on >= SENTINEL2_OFFSET_SINCE:
        raise UsageError(
            f"{statement.product}: Sentinel-2 products of {SENTINEL2_OFFSET_SINCE} and later carry an offset "
            "of 1000 in every stored value (processing baseline 04.00), unless somebody has taken it out. "
            "Say which: --offset -1000 for values as delivered, --offset 0 when it is already removed"
        )
    if offset is not None and offset > 0:
        raise UsageError(
            f"{statement.product}: --offset {offset:g} has the wrong sign: it is added to the stored value, "
            "reflectance = (stored + offset) * scale; Sentinel-2 as delivered needs --offset -1000"
        )
