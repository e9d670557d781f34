"""The granule metadata of a Sentinel-2 product (MTD_TL.xml): time, size, and directions to sun and sensor."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.side_files import number, read_xml


@dataclass(frozen=True)
class Granule:
    """What the granule metadata say.

    Attributes:
        sensed_at: mean time of sensing, UTC.
        width_px, height_px: size of the bands of 10 m.
        sun_azimuth_deg, sun_elevation_deg, view_zenith_deg, view_azimuth_deg: as in ``Product``; the view is
            the mean of the bands.
        mask_files: names of the mask files that belong to it.
        metadata: tile and CRS.
        notes: doubts.

    """

    sensed_at: datetime
    width_px: int
    height_px: int
    sun_azimuth_deg: float
    sun_elevation_deg: float
    view_zenith_deg: float | None
    view_azimuth_deg: float | None
    mask_files: tuple[str, ...]
    metadata: Mapping[str, str]
    notes: tuple[str, ...]


def tag(element: Element) -> str:
    """Name of an element without its namespace, which changes from version to version of the format."""
    return str(element.tag).rpartition("}")[2]


def stated(root: Element, name: str) -> str | None:
    """Text of the first element of that name; None when there is none or it is empty."""
    for element in root.iter():
        if tag(element) == name:
            return (element.text or "").strip() or None
    return None


def utc(text: str | None, what: str, file: str) -> datetime:
    """A time that a side file states in UTC.

    Raises:
        UsageError: it is missing or no time.

    """
    try:
        # Landsat writes seven digits after the second, which not every Python reads.
        found = datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", (text or "").strip()))
    except ValueError:
        raise UsageError(f"{file}: {what} is {text!r}, no time; get the file anew") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def read_granule(file: SourceFile, level: str) -> Granule:
    """Read granule metadata.

    Args:
        file: the MTD_TL.xml.
        level: "1C" or "2A", that of the product it must belong to.

    Raises:
        UsageError: it is wrong, or lacks the time, the size or the sun.

    """
    root = read_xml(file)
    if tag(root) != f"Level-{level}_Tile_ID":
        raise UsageError(
            f"{file.name}: is no granule metadata of Sentinel-2 Level-{level}, it holds {tag(root)}"
        )
    width, height = _size(root, file.name)
    sun = _mean(root, "Mean_Sun_Angle")
    if sun is None:
        raise UsageError(f"{file.name}: does not state Mean_Sun_Angle; get the file anew")
    zenith, azimuth = (
        number(stated(sun, key), f"{key} of Mean_Sun_Angle", file.name)
        for key in ("ZENITH_ANGLE", "AZIMUTH_ANGLE")
    )
    if not (0 <= zenith <= 180 and -360 <= azimuth <= 360):
        raise UsageError(f"{file.name}: its sun at zenith {zenith:g}, azimuth {azimuth:g} cannot be")
    view = _view(root, file.name)
    tile = stated(root, "TILE_ID") or ""
    crs = stated(root, "HORIZONTAL_CS_CODE")
    found = re.search(r"_T(\d{2}[A-Z]{3})_", tile)
    return Granule(
        sensed_at=utc(stated(root, "SENSING_TIME"), "SENSING_TIME", file.name),
        width_px=width,
        height_px=height,
        sun_azimuth_deg=azimuth % 360.0,
        sun_elevation_deg=90.0 - zenith,
        view_zenith_deg=None if view is None else view[0],
        view_azimuth_deg=None if view is None else view[1],
        mask_files=tuple(
            (element.text or "").strip() for element in root.iter() if tag(element) == "MASK_FILENAME"
        ),
        metadata={
            **({"granule": tile} if tile else {}),
            **({"tile": found.group(1)} if found else {}),
            **({"crs": crs} if crs else {}),
        },
        notes=() if view else ("the granule does not say from where the sensor looked",),
    )


def _mean(root: Element, name: str) -> Element | None:
    return next((element for element in root.iter() if tag(element) == name), None)


def _size(root: Element, file: str) -> tuple[int, int]:
    """Columns and rows of the 10 m bands."""
    for element in root.iter():
        if tag(element) == "Size" and element.get("resolution") == "10":
            rows, columns = (number(stated(element, key), key, file) for key in ("NROWS", "NCOLS"))
            if not (rows >= 1 and columns >= 1 and rows == int(rows) and columns == int(columns)):
                raise UsageError(f"{file}: a size of {columns:g} x {rows:g} pixels cannot be")
            return int(columns), int(rows)
    raise UsageError(f"{file}: does not state the size of its 10 m bands; get the file anew")


def _view(root: Element, file: str) -> tuple[float, float] | None:
    """Mean zenith and azimuth of the sensor as seen from the ground, degrees.

    The bands' directions are averaged as vectors, for azimuths near north do not average as numbers. At the
    edge of the swath bands may state "NaN".
    """
    vectors = []
    for element in root.iter():
        if tag(element) != "Mean_Viewing_Incidence_Angle":
            continue
        texts = [stated(element, key) for key in ("ZENITH_ANGLE", "AZIMUTH_ANGLE")]
        if any((text or "").lower() == "nan" for text in texts):
            continue
        zenith, azimuth = (math.radians(number(text, "Mean_Viewing_Incidence_Angle", file)) for text in texts)
        vectors.append(
            (math.sin(zenith) * math.sin(azimuth), math.sin(zenith) * math.cos(azimuth), math.cos(zenith))
        )
    if not vectors:
        return None
    east, north, up = (sum(each) for each in zip(*vectors, strict=True))
    return (
        math.degrees(math.atan2(math.hypot(east, north), up)),
        math.degrees(math.atan2(east, north)) % 360.0,
    )
