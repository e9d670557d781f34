"""Checks inside GeoPackage and GeoJSON files, before GDAL sees them.

Both formats can make GDAL reach for other files or the network, or turn shapes into something else without
a word: GeoPackages through virtual tables, views and curves, GeoJSON through a linked CRS.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyproj

from db.errors import UsageError
from db.geopackage import geometry_heads, layers_that_are_views, virtual_tables

MAX_GEOJSON_BYTES = 1 << 30
GEOJSON_TYPES = ("FeatureCollection", "Feature")

CURVES = {
    8: "CircularString",
    9: "CompoundCurve",
    10: "CurvePolygon",
    11: "MultiCurve",
    12: "MultiSurface",
    13: "Curve",
    14: "Surface",
    15: "PolyhedralSurface",
    16: "TIN",
    17: "Triangle",
}
"""Well-known binary codes of shapes that GDAL would turn into straight polygons (OGC 06-103r4)."""

_ENVELOPE_BYTES = (0, 32, 48, 48, 64)


def check_geopackage(path: Path, name: str) -> None:
    """Refuse GeoPackages with virtual tables other than spatial indexes, or with layers that are views.

    Raises:
        UsageError: it has them, is no intact GeoPackage, or another program has not finished writing it.

    """
    journal = path.with_name(path.name + "-wal")
    if journal.exists() and journal.stat().st_size:
        raise UsageError(f"{name}: another program has it open with unsaved changes; close it there first")
    virtual = virtual_tables(path, name)
    views = layers_that_are_views(path, name)
    odd = [table for table, sql in virtual if "using rtree" not in " ".join(sql.lower().split())]
    if odd:
        raise UsageError(f"{name}: holds a virtual table ({odd[0]!r}), which could read other files")
    if views:
        raise UsageError(f"{name}: layer {views[0]!r} is a view; save it as a table first")


def geopackage_oddities(path: Path, layer: str, name: str) -> dict[int, str]:
    """Find shapes in a layer that GDAL would change without saying so.

    Returns:
        For each row (from 0, in order of the key) with curves or measures: what it is.

    """
    heads = geometry_heads(path, layer, name, count=80)
    found = {index: _oddity(head) for index, head in enumerate(heads)}
    return {index: what for index, what in found.items() if what}


def _oddity(head: bytes | None) -> str | None:
    """Curve or measure of one geometry, from the start of its GeoPackage binary (OGC 12-128r18, 2.1.3)."""
    if not head or head[:2] != b"GP" or len(head) < 8:
        return None
    envelope = (head[3] >> 1) & 0x07
    start = 8 + (_ENVELOPE_BYTES[envelope] if envelope < len(_ENVELOPE_BYTES) else 0)
    if len(head) < start + 5:
        return None
    order = "<" if head[start] == 1 else ">"
    (code,) = struct.unpack(f"{order}I", head[start + 1 : start + 5])
    code &= 0x0FFFFFFF
    if code % 1000 in CURVES:
        return f"{CURVES[code % 1000]} (curves and surfaces are not stored)"
    return "has M values" if code // 1000 in (2, 3) else None


def check_geojson(path: Path, size_bytes: int, name: str) -> None:
    """Refuse JSON that is no GeoJSON of features, or whose CRS lies behind a link.

    Raises:
        UsageError: it is not, or it is damaged or too large.

    """
    if size_bytes > MAX_GEOJSON_BYTES:
        raise UsageError(f"{name}: GeoJSON above {MAX_GEOJSON_BYTES >> 30} GiB is not read; use a GeoPackage")
    try:
        document = json.loads(path.read_bytes(), object_hook=_checked)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not intact GeoJSON: {error}") from None
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind not in GEOJSON_TYPES:
        raise UsageError(f"{name}: not GeoJSON of features: its type is {kind!r}")


def _checked(member: dict[str, Any]) -> dict[str, Any] | None:
    """Look at one JSON object, and keep only what is still needed of it."""
    crs = member.get("crs")
    if isinstance(crs, Mapping) and crs.get("type") not in (None, "name"):
        raise ValueError(f"its coordinate reference system lies behind a {crs.get('type')!r}")
    if isinstance(crs, Mapping) and crs.get("type") == "name":
        _require_known_crs(crs.get("properties"))
    kept = ("type", "name", "properties") if member.get("type") == "name" else ("type", "name")
    return {key: member[key] for key in kept if key in member}


def _require_known_crs(properties: Any) -> None:
    """Refuse a name that GDAL does not know: it would read the coordinates as longitude and latitude."""
    name = properties.get("name") if isinstance(properties, Mapping) else None
    try:
        pyproj.CRS.from_user_input(name)
    except pyproj.exceptions.CRSError:
        raise ValueError(
            f"its coordinate reference system {name!r} is not known; name one as urn:ogc:def:crs:EPSG::32645"
        ) from None
