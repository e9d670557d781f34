"""What a STAC item says of itself, whatever catalogue it stands in, before anything is fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

import pystac
import shapely
import shapely.errors
import shapely.geometry

from db.errors import UsageError
from db.ingest_items import LONGEST_KEY, Facts, Found
from ingest.products.sentinel2_granule import utc

Item = Mapping[str, Any]

UNREADABLE = (
    UsageError,
    pystac.STACError,
    shapely.errors.ShapelyError,
    AttributeError,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
)
"""What reading a document that others wrote can end in."""

MOST_VERTICES = 100_000


def found_item(item: Item, href: str) -> Found:
    """An item as something found.

    Args:
        item: as the catalogue has it.
        href: where it can be read again.

    Raises:
        UsageError: it is no item, or something that it says cannot be understood or stored.

    """
    if not href.isprintable():
        raise UsageError(f"{href[:200]!r}: the address of this item holds control characters")
    name = item_name(item, href)
    properties, assets = item.get("properties"), item.get("assets")
    if not isinstance(properties, Mapping) or not isinstance(assets, Mapping):
        raise UsageError(f"{name}: is no STAC item: it has no properties or no assets")
    facts = Facts(_day(properties, name), _footprint(item, name), _cloud_fraction(properties))
    return Found(item_key(item, href), _mark(properties, assets, name), href, facts)


def item_name(item: Item, href: str) -> str:
    """What messages call an item."""
    named = item.get("id")
    return named[:200] if isinstance(named, str) and named else urlsplit(href).path.rpartition("/")[2] or href


def item_key(item: Item, href: str) -> str:
    """Collection and id.

    Raises:
        UsageError: it has no id that can be stored.

    """
    named, collection = item.get("id"), item.get("collection")
    if not isinstance(named, str) or not named.strip():
        raise UsageError(f"{href[-200:]}: is a STAC item without an id")
    key = f"{collection}/{named}" if isinstance(collection, str) and collection else named
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise UsageError(f"{key[:80]!r}: this item's id is too long or holds control characters")
    return key


def collection_of(item: Item) -> str | None:
    """The collection an item says it belongs to."""
    found = item.get("collection")
    return found if isinstance(found, str) else None


def _day(properties: Item, name: str) -> date:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment: datetime = utc(str(text or ""), "datetime", name)
    except OverflowError:
        raise UsageError(f"{name}: datetime is {str(text)[:100]!r}, outside of the years 1 to 9999") from None
    return moment.date()


def _cloud_fraction(properties: Item) -> float | None:
    value = properties.get("eo:cloud_cover")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) / 100 if 0 <= value <= 100 else None


def _footprint(item: Item, name: str) -> shapely.MultiPolygon | None:
    """Outline in EPSG:4326, from the geometry or else the box; None where there is neither."""
    geometry, box = item.get("geometry"), item.get("bbox")
    shape: shapely.Geometry | None = None
    try:
        if isinstance(geometry, Mapping):
            shape = shapely.force_2d(shapely.geometry.shape(geometry))
        elif isinstance(box, list) and len(box) in (4, 6):
            half = len(box) // 2
            shape = shapely.box(box[0], box[1], box[half], box[half + 1])
    except UNREADABLE:
        raise UsageError(f"{name}: its geometry cannot be understood") from None
    if shape is None or shape.is_empty:
        return None
    if shapely.get_num_coordinates(shape) > MOST_VERTICES:
        raise UsageError(f"{name}: its geometry has more than {MOST_VERTICES} vertices")
    west, south, east, north = shape.bounds
    if not (-180.0 <= west <= east <= 180.0 and -90.0 <= south <= north <= 90.0):
        raise UsageError(f"{name}: its geometry lies outside of longitude and latitude")
    return polygons_of(shape)


def polygons_of(shape: shapely.Geometry) -> shapely.MultiPolygon | None:
    """The valid polygons of a shape; None where there is no area."""
    valid = shape if shape.is_valid else shapely.make_valid(shape)
    parts = [
        each
        for part in shapely.get_parts(valid)
        for each in shapely.get_parts(part)
        if each.geom_type == "Polygon" and each.area > 0
    ]
    return shapely.MultiPolygon(parts) if parts else None


def _mark(properties: Item, assets: Item, name: str) -> str:
    """Digest of what changes when the content does: the moment of the last change, else assets and version.

    Queries of addresses are left out: signed ones differ every time.
    """
    files = sorted(
        [str(key), str(asset.get("file:checksum")), str(asset.get("file:size"))]
        + ([] if properties.get("updated") else [path])
        for key, asset, path in _files(assets, name)
    )
    versions = {
        key: str(properties.get(key))
        for key in ("updated", "version", "datetime", "s2:processing_baseline", "processing:version")
        if properties.get(key) is not None
    }
    text = json.dumps([versions, files], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _files(assets: Item, name: str) -> Iterator[tuple[str, Item, str]]:
    """Each asset with its key and the path in its address."""
    for key, asset in assets.items():
        if not isinstance(asset, Mapping):
            continue
        try:
            path = urlsplit(str(asset.get("href"))).path
        except ValueError:
            raise UsageError(f"{name}: the address of asset {key[:80]!r} is no address") from None
        yield key, asset, path
