"""Landsat 8 and 9, Collection 2: Level 1 (L1TP, L1GT) and Level 2 surface reflectance (L2SP, L2SR).

Sources: USGS, Landsat 8-9 Collection 2 Level 1 Data Format Control Book, and Level 2 Science Product Guide.
Level 1: reflectance = (REFLECTANCE_MULT * number + REFLECTANCE_ADD) / sin(SUN_ELEVATION).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Level, Mask, Part, Product
from ingest.products.side_files import (
    number,
    optional_number,
    package_files,
    read_json,
    read_text,
    read_xml,
)

_MAIN = re.compile(r"_MTL\.(xml|json|txt)$", re.IGNORECASE)
_ORDER = (".xml", ".json", ".txt")
_BANDS = (
    Band("B1", "coastal", 443.0, 16.0),
    Band("B2", "blue", 482.0, 60.0),
    Band("B3", "green", 561.4, 57.3),
    Band("B4", "red", 654.6, 37.5),
    Band("B5", "nir08", 864.7, 28.3),
    Band("B6", "swir16", 1608.9, 84.7),
    Band("B7", "swir22", 2200.7, 186.7),
    Band("B9", "cirrus", 1373.4, 20.4),
)
_PAN = Band("B8", "pan", 589.5, 172.4)
_KEPT = ("LANDSAT_PRODUCT_ID", "PROCESSING_LEVEL", "WRS_PATH", "WRS_ROW", "COLLECTION_CATEGORY", "ROLL_ANGLE")


def find(package: Package) -> list[str]:
    """One metadata file of each product: XML before JSON before text."""
    found: dict[str, str] = {}
    for path in package.files:
        if not _MAIN.search(path):
            continue
        stem = path[: path.rindex("_MTL.")]
        kept = found.get(stem)
        if kept is None or _ORDER.index(PurePosixPath(path).suffix.lower()) < _ORDER.index(
            PurePosixPath(kept).suffix.lower()
        ):
            found[stem] = path
    return list(found.values())


def read(package: Package, path: str) -> Product:
    """Read a product.

    Args:
        package: the package.
        path: its metadata file.

    Raises:
        UsageError: it is no Landsat 8 or 9, or a band or a value is missing or wrong.

    """
    file = package.files[path]
    values = _values(file)
    name = file.name
    craft = values.get("SPACECRAFT_ID", "")
    if craft not in ("LANDSAT_8", "LANDSAT_9"):
        raise UsageError(f"{name}: {craft or 'the satellite'} is not known; Landsat 8 and 9 are")
    if values.get("COLLECTION_NUMBER", "02").lstrip("0") != "2":
        raise UsageError(f"{name}: is of collection {values['COLLECTION_NUMBER']}; Collection 2 is read")
    key = "landsat8" if craft == "LANDSAT_8" else "landsat9"
    elevation = number(values.get("SUN_ELEVATION"), "SUN_ELEVATION", name)
    is_level2 = values.get("PROCESSING_LEVEL", "").upper().startswith("L2")
    level: Level = "surface_reflectance" if is_level2 else "toa_reflectance"
    if not is_level2 and elevation <= 0:
        raise UsageError(
            f"{name}: the sun stood {elevation:g} degrees high: there is no reflectance at night"
        )
    parts = [_part(package, path, values, f"{key}_oli", level, elevation, name)]
    if not is_level2:
        pan = _layer(package, path, values, _PAN, level, elevation, name)
        if pan is not None:
            parts.append(Part("panchromatic", f"{key}_pan", "", level, (pan,), None, None, 15.0, nodata=0.0))
    masks = _masks(package, path, values)
    cloud = optional_number(values.get("CLOUD_COVER"), "CLOUD_COVER", name)
    files = [layer.files[0] for part in parts for layer in part.layers] + [mask.file for mask in masks]
    paths = {str(each.path): place for place, each in package.files.items()}
    notes = () if is_level2 else ("thermal bands are left out",)
    return Product(
        family="landsat",
        name=values.get("LANDSAT_PRODUCT_ID") or PurePosixPath(path).name[: -len("_MTL.xml")],
        acquired_at=_moment(values, name),
        parts=tuple(parts),
        masks=masks,
        sun_azimuth_deg=number(values.get("SUN_AZIMUTH"), "SUN_AZIMUTH", name) % 360.0,
        sun_elevation_deg=elevation,
        cloud_fraction=None if cloud is None or cloud < 0 else min(1.0, cloud / 100),
        metadata={kept: values[kept] for kept in _KEPT if kept in values},
        files=package_files(package, [path, *(paths[str(each.path)] for each in files)]),
        notes=notes,
    )


def _values(file: SourceFile) -> dict[str, str]:
    """All values of the metadata by name; where groups repeat one, the last (Level 2 processing) stays out."""
    suffix = file.path.suffix.lower()
    pairs: list[tuple[str, str]] = []
    if suffix == ".xml":
        root = read_xml(file)
        pairs = [(each.tag, (each.text or "").strip()) for each in root.iter() if len(each) == 0]
    elif suffix == ".json":
        pairs = list(_flat(read_json(file)))
    else:
        for line in read_text(file).splitlines():
            key, sign, value = line.partition("=")
            if sign and key.strip() not in ("GROUP", "END_GROUP"):
                pairs.append((key.strip(), value.strip().strip('"')))
    values: dict[str, str] = {}
    for key, value in pairs:
        values.setdefault(key, value)
    # Both levels state PROCESSING_LEVEL and product ids; the first group is the product's own.
    if "SPACECRAFT_ID" not in values:
        raise UsageError(f"{file.name}: is no Landsat metadata: SPACECRAFT_ID is missing")
    return values


def _flat(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        return []
    found: list[tuple[str, str]] = []
    for key, inner in value.items():
        found += _flat(inner) if isinstance(inner, Mapping) else [(str(key), str(inner).strip())]
    return found


def _part(
    package: Package,
    path: str,
    values: Mapping[str, str],
    sensor: str,
    level: Level,
    elevation: float,
    name: str,
) -> Part:
    layers = []
    for band in _BANDS:
        if band.name == "B9" and level == "surface_reflectance":
            continue
        layer = _layer(package, path, values, band, level, elevation, name)
        if layer is None:
            raise UsageError(
                f"{name}: the image of band {band.name} is missing from the package; the product is not "
                "complete, get it anew"
            )
        layers.append(layer)
    return Part("multispectral", sensor, "", level, tuple(layers), None, None, 30.0, nodata=0.0)


def _layer(
    package: Package,
    path: str,
    values: Mapping[str, str],
    band: Band,
    level: Level,
    elevation: float,
    name: str,
) -> Layer | None:
    number_of = band.name[1:]
    stated = values.get(f"FILE_NAME_BAND_{number_of}")
    stem = path[: path.rindex("_MTL.")]
    folder = PurePosixPath(path).parent
    ending = f"_SR_{band.name}" if level == "surface_reflectance" else f"_{band.name}"
    file = package.files.get(str(folder / stated)) if stated else None
    for suffix in (".TIF", ".tif", ".tiff"):
        file = file or package.files.get(f"{stem}{ending}{suffix}")
    if file is None:
        return None
    if file.size_bytes == 0:
        raise UsageError(f"{file.name}: the image is empty (0 bytes); get it anew")
    gain = number(
        values.get(f"REFLECTANCE_MULT_BAND_{number_of}"), f"REFLECTANCE_MULT_BAND_{number_of}", name
    )
    offset = number(
        values.get(f"REFLECTANCE_ADD_BAND_{number_of}"), f"REFLECTANCE_ADD_BAND_{number_of}", name
    )
    if gain <= 0:
        raise UsageError(f"{name}: REFLECTANCE_MULT_BAND_{number_of} is {gain:g}, which cannot be")
    light = 1.0 if level == "surface_reflectance" else math.sin(math.radians(elevation))
    return Layer(band, (file,), 1, offset / gain, gain / light)


def _masks(package: Package, path: str, values: Mapping[str, str]) -> tuple[Mask, ...]:
    folder, stem = PurePosixPath(path).parent, path[: path.rindex("_MTL.")]
    stated = values.get("FILE_NAME_QUALITY_L1_PIXEL")
    for place in (str(folder / stated) if stated else "", f"{stem}_QA_PIXEL.TIF", f"{stem}_QA_PIXEL.tif"):
        file = package.files.get(place)
        if file is not None and file.size_bytes:
            return (Mask("landsat_qa_pixel", file),)
    return ()


def _moment(values: Mapping[str, str], name: str) -> datetime:
    day, time = values.get("DATE_ACQUIRED", ""), values.get("SCENE_CENTER_TIME", "")
    # Seven digits of seconds; Python takes six.
    time = re.sub(r"(\.\d{6})\d+", r"\1", time).rstrip("Z")
    try:
        return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{name}: acquired on {day!r} at {time!r}: not a date and time") from None
