"""What stored values of a STAC item mean, with the traps of the known catalogues.

Sentinel-2 products shift their values by 1000 from processing baseline 04.00 on. Earth Search took the shift
out of the COGs of its collection sentinel-2-l2a and says so with ``earthsearch:boa_offset_applied``, while
``raster:bands`` may go on stating it; its collection sentinel-2-c1-l2a leaves the shift in and states it.
The Planetary Computer leaves it in and states the baseline only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from db.errors import UsageError
from ingest.products.product import Level
from ingest.products.sentinel2_bands import OFFSET, OFFSET_BASELINE, QUANTIFICATION, SENSOR
from ingest.products.stac_assets import BandAsset

LANDSAT_SCALE, LANDSAT_ADDED = 2.75e-5, -0.2
"""Surface reflectance of Landsat Collection 2 Level 2 (USGS, Level 2 Science Product Guide)."""

_APPLIED = "earthsearch:boa_offset_applied"


def number_of(values: Mapping[str, Any], key: str, name: str) -> float | None:
    """A finite number of an item; None when there is none.

    Raises:
        UsageError: it is something else.

    """
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{name}: {key} is {value!r}, not a number")
    return float(value)


def meaning(
    asset: BandAsset, properties: Mapping[str, Any], collection: Any, sensor: str, level: Level, name: str
) -> tuple[float, float, list[str]]:
    """Offset and scale of a band, reflectance = (stored + offset) * scale, and doubts.

    Raises:
        UsageError: the item contradicts itself, or leaves open whether there is an offset.

    """
    scale = number_of(asset.stated, "scale", f"{name}: asset {asset.key}")
    added = number_of(asset.stated, "offset", f"{name}: asset {asset.key}")
    if scale is not None and not 1e-7 <= scale <= 1.0:
        raise UsageError(f"{name}: asset {asset.key} has a scale of {scale:g}, which cannot be")
    if sensor != SENSOR:
        if (scale is None) != (added is None):
            raise UsageError(
                f"{name}: asset {asset.key} states only one of scale and offset; get the item anew"
            )
        if scale is None or added is None:
            scale, added = LANDSAT_SCALE, LANDSAT_ADDED
        return added / scale, scale, []
    scale = 1.0 / QUANTIFICATION if scale is None else scale
    offset = None if added is None else added / scale
    return (*_sentinel2(offset, scale, properties, collection, level, f"{name}: asset {asset.key}"),)


def _sentinel2(
    offset: float | None,
    scale: float,
    properties: Mapping[str, Any],
    collection: Any,
    level: Level,
    where: str,
) -> tuple[float, float, list[str]]:
    applied = properties.get(_APPLIED)
    if applied is True and level == "surface_reflectance":
        notes = (
            [f"the item states an offset and that it was taken out ({_APPLIED}); none is used"]
            if offset
            else []
        )
        return 0.0, scale, notes
    baseline = _baseline(properties, where)
    notes = []
    if (
        applied is False
        and collection == "sentinel-2-l2a"
        and baseline is not None
        and baseline >= OFFSET_BASELINE
    ):
        notes.append(
            f"{_APPLIED} is false; some items of this collection say so wrongly: compare dark water or "
            "forest with another date"
        )
    if offset is None:
        if baseline is None:
            raise UsageError(
                f"{where}: neither an offset (raster:bands) nor the processing baseline is stated, so that "
                "0.1 of reflectance is in doubt; get the complete item, or describe the image in a TOML file"
            )
        return (OFFSET if baseline >= OFFSET_BASELINE else 0.0), scale, notes
    if offset == 0.0 and baseline is not None and baseline >= OFFSET_BASELINE:
        if applied is False:
            raise UsageError(
                f"{where}: states the offset 0 and that no offset was taken out, but baseline "
                f"{baseline:05.2f} has one; get the item anew"
            )
        notes.append(
            f"the item states the offset 0 for baseline {baseline:05.2f}: its values count as shifted back"
        )
    if offset != 0.0 and baseline is not None and baseline < OFFSET_BASELINE:
        notes.append(f"the item states an offset of {offset:g}, which baseline {baseline:05.2f} did not have")
    return offset, scale, notes


def _baseline(properties: Mapping[str, Any], where: str) -> float | None:
    stated = properties.get("s2:processing_baseline", properties.get("processing:version"))
    if stated is None:
        return None
    if not re.fullmatch(r"\d{1,2}\.\d{1,2}", str(stated)):
        raise UsageError(f"{where}: the processing baseline {stated!r} is no number such as 05.11")
    return float(stated)
