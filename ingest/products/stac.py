"""STAC items (1.0 and 1.1) with their assets beside them: Sentinel-2 and Landsat as cloud-optimised GeoTIFFs.

Source: the STAC specification with its extensions eo, raster, view and projection. The offset of Sentinel-2's
values is the trap of these items: catalogues state it in ``raster:bands``, take it out of the pixels and say
so (``earthsearch:boa_offset_applied``), or leave it to ``s2:processing_baseline``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products import sentinel2
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Level, Mask, Part, Product
from ingest.products.side_files import package_files, read_json

_IMAGE_TYPES = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff")
_LANDSAT = {
    "coastal": Band("B1", "coastal", 443.0, 16.0),
    "blue": Band("B2", "blue", 482.0, 60.0),
    "green": Band("B3", "green", 561.4, 57.3),
    "red": Band("B4", "red", 654.6, 37.5),
    "nir08": Band("B5", "nir08", 864.7, 28.3),
    "swir16": Band("B6", "swir16", 1608.9, 84.7),
    "swir22": Band("B7", "swir22", 2200.7, 186.7),
}
_SENTINEL2_KEYS = {
    "coastal": "B01",
    "blue": "B02",
    "green": "B03",
    "red": "B04",
    "rededge1": "B05",
    "rededge2": "B06",
    "rededge3": "B07",
    "nir": "B08",
    "nir08": "B8A",
    "nir09": "B09",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
}
_LANDSAT_SCALE, _LANDSAT_OFFSET = 2.75e-5, -0.2
_SENTINEL2_SCALE = 1e-4
_OFFSET_BASELINE = "04.00"
_PIXEL_M = {"sentinel2": 10.0, "landsat": 30.0}
_KEPT = ("s2:processing_baseline", "s2:product_uri", "platform", "processing:level", "grid:code", "gsd")


def find(package: Package) -> list[str]:
    """JSON files of the package that are STAC items."""
    found = []
    for path, file in package.files.items():
        if path.endswith(".json") and file.size_bytes and b'"stac_version"' in file.head(1 << 16):
            item = read_json(file)
            if isinstance(item, Mapping) and item.get("type") == "Feature" and "assets" in item:
                found.append(path)
    return found


def read(package: Package, path: str) -> Product:
    """Read an item.

    Args:
        package: the package.
        path: the item's JSON file.

    Raises:
        UsageError: the platform is not known, an asset is not here, or the item is damaged.

    """
    item = read_json(package.files[path])
    name = PurePosixPath(path).name
    properties = item.get("properties")
    if not isinstance(properties, Mapping) or not isinstance(item["assets"], Mapping):
        raise UsageError(f"{name}: the item has no properties or assets; get it anew")
    family, sensor = _platform(properties, name)
    level = _level(item, properties, name)
    layers, used = _layers(package, path, item["assets"], properties, family, level)
    masks, more = _masks(package, path, item["assets"], family)
    part = Part(
        role="multispectral",
        sensor=sensor,
        camera="",
        level=level,
        layers=layers,
        width_px=None,
        height_px=None,
        resolution_m=_PIXEL_M[family],
        nodata=0.0,
    )
    cloud = _number(properties, "eo:cloud_cover", name)
    return Product(
        family="stac",
        name=str(item.get("id") or PurePosixPath(path).stem),
        acquired_at=_moment(properties, name),
        parts=(part,),
        masks=masks,
        sun_azimuth_deg=_number(properties, "view:sun_azimuth", name),
        sun_elevation_deg=_number(properties, "view:sun_elevation", name),
        view_zenith_deg=_number(properties, "view:incidence_angle", name),
        view_azimuth_deg=_number(properties, "view:azimuth", name),
        cloud_fraction=None if cloud is None or not 0 <= cloud <= 100 else cloud / 100,
        metadata={key: properties[key] for key in _KEPT if key in properties},
        files=package_files(package, [path, *used, *more]),
    )


def _platform(properties: Mapping[str, Any], name: str) -> tuple[str, str]:
    platform = str(properties.get("platform", "")).lower()
    constellation = str(properties.get("constellation", "")).lower()
    if "sentinel-2" in platform or "sentinel-2" in constellation:
        return "sentinel2", "sentinel2_msi"
    found = re.fullmatch(r"landsat[-_ ]?([89])", platform)
    if found:
        return "landsat", f"landsat{found.group(1)}_oli"
    raise UsageError(
        f"{name}: the platform {platform or 'is not stated and'} is not known; items of Sentinel-2 and "
        "Landsat "
        "8/9 are read; describe others in a TOML file beside the GeoTIFF"
    )


def _level(item: Mapping[str, Any], properties: Mapping[str, Any], name: str) -> Level:
    stated = " ".join(
        str(each)
        for each in (
            properties.get("processing:level"),
            properties.get("landsat:correction"),
            properties.get("s2:product_type"),
            item.get("collection"),
            item.get("id"),
        )
    ).upper()
    if re.search(r"L2|S2MSI2A|2A\b|MSIL2A", stated):
        return "surface_reflectance"
    if re.search(r"L1C|S2MSI1C|MSIL1C", stated):
        return "toa_reflectance"
    raise UsageError(
        f"{name}: does not state its processing level; Sentinel-2 L1C and L2A, Landsat L2 are read"
    )


def _layers(
    package: Package,
    path: str,
    assets: Mapping[str, Any],
    properties: Mapping[str, Any],
    family: str,
    level: Level,
) -> tuple[tuple[Layer, ...], list[str]]:
    chosen: dict[str, tuple[Band, Mapping[str, Any]]] = {}
    for key, asset in assets.items():
        if not isinstance(asset, Mapping) or not str(asset.get("type", "")).startswith(_IMAGE_TYPES):
            continue
        # The same band comes as COG and as JP2; the COG is taken.
        band = _band(key.removesuffix("-jp2"), family)
        if band is None or (key.endswith("-jp2") and band.name in chosen):
            continue
        chosen[band.name] = (band, asset)
    if not chosen:
        raise UsageError(f"{PurePosixPath(path).name}: none of its assets is a band that is known")
    order = {name: place for place, name in enumerate(sentinel2.bands())} | {
        band.name: place for place, band in enumerate(_LANDSAT.values())
    }
    layers, used = [], []
    absent = []
    for band, asset in sorted(chosen.values(), key=lambda pair: order[pair[0].name]):
        place = _local(package, path, asset)
        if place is None:
            absent.append(band.name)
            continue
        file = package.files[place]
        if file.size_bytes == 0:
            raise UsageError(f"{file.name}: the image is empty (0 bytes); get it anew")
        offset, scale = _meaning(asset, properties, family, level, PurePosixPath(path).name)
        layers.append(Layer(band, (file,), 1, offset, scale))
        used.append(place)
    wanted = {"blue", "green", "red"} if family == "landsat" else {"B02", "B03", "B04", "B08"}
    present = {layer.band.common_name if family == "landsat" else layer.band.name for layer in layers}
    if not wanted <= present:
        raise UsageError(
            f"{PurePosixPath(path).name}: the assets {', '.join(absent) or 'of its main bands'} do not "
            "lie beside "
            "it; download them with the item, keeping their relative paths (nothing is fetched here)"
        )
    return tuple(layers), used


def _band(key: str, family: str) -> Band | None:
    if family == "landsat":
        return _LANDSAT.get(key)
    name = _SENTINEL2_KEYS.get(key, key.upper())
    return sentinel2.bands().get(name)


def _local(package: Package, path: str, asset: Mapping[str, Any]) -> str | None:
    """Path of an asset in the package: as its relative address says, or by its file name beside the item."""
    href = str(asset.get("href", ""))
    folder = PurePosixPath(path).parent
    if "://" not in href and not href.startswith("/"):
        parts: list[str] = list(folder.parts)
        for part in PurePosixPath(href).parts:
            if part == "..":
                if not parts:
                    raise UsageError(f"{PurePosixPath(path).name}: the asset {href!r} leaves the package")
                parts.pop()
            elif part != ".":
                parts.append(part)
        place = "/".join(parts)
        if place in package.files:
            return place
    named = str(folder / PurePosixPath(href.split("?")[0]).name)
    return named if named in package.files else None


def _meaning(
    asset: Mapping[str, Any], properties: Mapping[str, Any], family: str, level: Level, name: str
) -> tuple[float, float]:
    """Offset and scale: reflectance = (stored + offset) * scale."""
    listed = asset.get("raster:bands") or asset.get("bands") or [{}]
    stated = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else {}
    scale = stated.get("scale", stated.get("raster:scale"))
    added = stated.get("offset", stated.get("raster:offset"))
    if family == "landsat":
        scale, added = scale or _LANDSAT_SCALE, _LANDSAT_OFFSET if added is None else added
        return float(added) / float(scale), float(scale)
    scale = float(scale or _SENTINEL2_SCALE)
    if scale <= 0:
        raise UsageError(f"{name}: a scale of {scale:g} cannot be")
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0.0, scale
    baseline = str(properties.get("s2:processing_baseline", ""))
    if added is not None and (float(added) != 0.0 or baseline < _OFFSET_BASELINE):
        return float(added) / scale, scale
    if not re.fullmatch(r"\d\d\.\d\d", baseline):
        raise UsageError(
            f"{name}: states neither offset nor processing baseline: whether 1000 must be taken off the "
            "values "
            "cannot be known. Bring the GeoTIFFs in with --offset, or describe them in a TOML file"
        )
    return (-1000.0 if baseline >= _OFFSET_BASELINE else 0.0), scale


def _masks(
    package: Package, path: str, assets: Mapping[str, Any], family: str
) -> tuple[tuple[Mask, ...], list[str]]:
    for key in ("scl", "SCL", "scl-jp2", "qa_pixel", "QA_PIXEL"):
        asset = assets.get(key)
        place = _local(package, path, asset) if isinstance(asset, Mapping) else None
        if place is not None and package.files[place].size_bytes:
            file: SourceFile = package.files[place]
            return (Mask("landsat_qa_pixel" if family == "landsat" else "sentinel2_scl", file),), [place]
    return (), []


def _moment(properties: Mapping[str, Any], name: str) -> datetime:
    stated = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = datetime.fromisoformat(str(stated).replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"{name}: datetime is {stated!r}, not a date and time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _number(properties: Mapping[str, Any], key: str, name: str) -> float | None:
    value = properties.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name}: {key} is {value!r}, not a number")
    return float(value)
