"""STAC items (1.0 and 1.1) with their images beside them: Sentinel-2, and Landsat 8/9 Collection 2 Level 2.

Sources: STAC specification; its extensions eo, raster, view, projection, processing. Catalogues differ in how
they treat the offset of Sentinel-2: see ``ingest.products.stac_values``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from db.errors import UsageError
from ingest.products import landsat, sentinel2
from ingest.products.package import Package
from ingest.products.product import Layer, Level, Mask, MaskKind, Part, Product
from ingest.products.sentinel2_bands import SENSOR
from ingest.products.sentinel2_granule import utc
from ingest.products.side_files import package_files, read_json
from ingest.products.stac_assets import BandAsset, band_assets, mask_asset, place_of
from ingest.products.stac_values import meaning, number_of

_LANDSAT = re.compile(r"landsat[-_ ]?([89])")
_NEEDED = ("blue", "green", "red", "nir")
_NODATA = 0.0
_KEPT = (
    "s2:processing_baseline",
    "processing:version",
    "s2:product_uri",
    "s2:mgrs_tile",
    "grid:code",
    "platform",
    "earthsearch:boa_offset_applied",
    "landsat:scene_id",
    "landsat:wrs_path",
    "landsat:wrs_row",
    "landsat:collection_category",
    "sat:relative_orbit",
    "sat:orbit_state",
)

Item = Mapping[str, Any]


def find(package: Package) -> list[str]:
    """Items of instruments that are read here, as paths of JSON files.

    An item beside a product whose own metadata are there too is left out, unless the user named it: the
    product's metadata say more.
    """
    own = {str(PurePosixPath(path).parent) for path in (*sentinel2.find(package), *landsat.find(package))}
    found = []
    for path, file in package.files.items():
        if not path.lower().endswith((".json", ".geojson")) or file.size_bytes < 2:
            continue
        is_named = path == package.named
        folder = str(PurePosixPath(path).parent)
        if (not is_named and folder in own) or b'"stac_version"' not in file.head(file.size_bytes):
            continue
        try:
            item = read_json(file)
        except UsageError:
            if is_named:
                raise
            continue
        if isinstance(item, Mapping) and item.get("type") == "Feature" and (is_named or _is_known(item)):
            found.append(path)
    return found


def read(package: Package, path: str) -> Product:
    """Read an item.

    Args:
        package: the package.
        path: one of those that ``find`` lists.

    Raises:
        UsageError: an image is elsewhere, missing or empty, its meaning is not certain, or the item is
            damaged.

    """
    name = PurePosixPath(path).name
    item = read_json(package.files[path])
    properties = item.get("properties") if isinstance(item, Mapping) else None
    if not isinstance(properties, Mapping) or not isinstance(item.get("assets"), Mapping):
        raise UsageError(f"{name}: is no STAC item: it has no properties or no assets; get it anew")
    if not str(item.get("stac_version", "")).startswith("1."):
        raise UsageError(f"{name}: STAC version {item.get('stac_version')} is not read; 1.0 and 1.1 are")
    sensor = _sensor(properties, name)
    level = _level(item, properties, sensor, name)
    layers, used, notes = _layers(package, path, item, properties, sensor, level)
    masks, mask_paths = _masks(package, path, item, sensor)
    cloud = number_of(properties, "eo:cloud_cover", name)
    sun_azimuth, sun_elevation = _sun(properties, name)
    part = Part(
        role="multispectral",
        sensor=sensor,
        camera="",
        level=level,
        layers=tuple(layer for layer, _ in layers),
        width_px=None,
        height_px=None,
        resolution_m=min(resolution_m for _, resolution_m in layers),
        nodata=_NODATA,
    )
    return Product(
        family="stac",
        name=str(item.get("id") or PurePosixPath(path).stem),
        acquired_at=utc(
            str(properties.get("datetime") or properties.get("start_datetime") or ""), "datetime", name
        ),
        parts=(part,),
        masks=masks,
        sun_azimuth_deg=sun_azimuth,
        sun_elevation_deg=sun_elevation,
        view_zenith_deg=number_of(properties, "view:incidence_angle", name),
        view_azimuth_deg=number_of(properties, "view:azimuth", name),
        cloud_fraction=None if cloud is None or not 0 <= cloud <= 100 else cloud / 100,
        metadata={
            "collection": item.get("collection"),
            **{key: properties[key] for key in _KEPT if key in properties},
        },
        files=package_files(package, [path, *used, *mask_paths]),
        notes=notes,
    )


def needed_assets(item: Item, name: str) -> list[str]:
    """Keys of the assets that ``read`` needs of an item: bands and the product's own mask.

    Args:
        item: the item.
        name: what messages call it.

    Raises:
        UsageError: its instrument is not read, or none of its assets is a band.

    """
    properties, assets = item.get("properties"), item.get("assets")
    if not isinstance(properties, Mapping) or not isinstance(assets, Mapping):
        raise UsageError(f"{name}: is no STAC item: it has no properties or no assets; get it anew")
    sensor = _sensor(properties, name)
    found = mask_asset(assets, _mask_kind(sensor))
    keys = [asset.key for asset in band_assets(assets, sensor, name)]
    return list(dict.fromkeys(keys if found is None else [*keys, found[0]]))


def _mask_kind(sensor: str) -> MaskKind:
    return "sentinel2_scl" if sensor == SENSOR else "landsat_qa_pixel"


def _platform(properties: Item) -> str:
    return " ".join(str(properties.get(key, "")).lower() for key in ("platform", "constellation"))


def _is_known(item: Item) -> bool:
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        return False
    platform = _platform(properties)
    return "sentinel-2" in platform or "landsat" in platform


def _sensor(properties: Item, name: str) -> str:
    platform = _platform(properties)
    if "sentinel-2" in platform:
        return SENSOR
    found = _LANDSAT.search(platform)
    if found:
        return f"landsat{found.group(1)}_oli"
    raise UsageError(
        f"{name}: the platform {platform.strip() or '(not stated)'} is not read from STAC items; Sentinel-2 "
        "and Landsat 8/9 are; describe other GeoTIFFs in a TOML file beside them"
    )


def _level(item: Item, properties: Item, sensor: str, name: str) -> Level:
    """The level, from the most exact statement that there is."""
    statements = [
        properties.get(key)
        for key in ("s2:product_type", "product:type", "landsat:correction", "s2:product_uri")
    ]
    for stated in (*statements, item.get("collection"), item.get("id"), properties.get("processing:level")):
        text = str(stated or "").upper()
        if sensor == SENSOR:
            if re.search(r"MSI2A|MSIL2A|L2A", text):
                return "surface_reflectance"
            if re.search(r"MSI1C|MSIL1C|L1C", text):
                return "toa_reflectance"
        elif re.search(r"L2S[PR]|C2-?L2", text):
            return "surface_reflectance"
        elif re.search(r"L1(TP|GT|GS)|C2-?L1", text):
            raise UsageError(
                f"{name}: is of Landsat Level 1, whose reflectance depends on the product's metadata; put "
                "its MTL file beside the images and name that"
            )
    raise UsageError(f"{name}: does not say its level (s2:product_type, landsat:correction or collection)")


def _layers(
    package: Package, path: str, item: Item, properties: Item, sensor: str, level: Level
) -> tuple[list[tuple[Layer, float]], list[str], tuple[str, ...]]:
    """Bands whose images lie here with their pixel sizes, the paths of the images, and notes."""
    name = PurePosixPath(path).name
    layers, used, absent = [], [], []
    notes: dict[str, None] = {}
    for asset in band_assets(item["assets"], sensor, name):
        place = place_of(package, path, asset.href, asset.key)
        if place is None:
            absent.append(asset)
            continue
        offset, scale, told = meaning(asset, properties, item.get("collection"), sensor, level, name)
        notes |= dict.fromkeys(told)
        layer = Layer(asset.band, (package.files[place],), asset.index, offset, scale)
        layers.append((layer, asset.resolution_m))
        used.append(place)
    _check_bands(layers, absent, name)
    if absent:
        notes[f"without {', '.join(asset.band.name for asset in absent)}: not downloaded with the item"] = (
            None
        )
    return layers, used, tuple(notes)


def _check_bands(layers: list[tuple[Layer, float]], absent: list[BandAsset], name: str) -> None:
    present = {str(layer.band.common_name) for layer, _ in layers}
    if "nir08" in present:
        present.add("nir")
    missing = [each for each in _NEEDED if each not in present]
    if not missing:
        return
    hrefs = ", ".join(f"{asset.key} ({asset.href})" for asset in absent[:4])
    raise UsageError(
        f"{name}: the images of {', '.join(missing)} do not lie beside the item"
        + (f": {hrefs}" if hrefs else "")
        + "; nothing is fetched here: download them first, beside the item or where its addresses say"
    )


def _masks(package: Package, path: str, item: Item, sensor: str) -> tuple[tuple[Mask, ...], tuple[str, ...]]:
    kind = _mask_kind(sensor)
    found = mask_asset(item["assets"], kind)
    place = None if found is None else place_of(package, path, found[1], found[0])
    return ((), ()) if place is None else ((Mask(kind, package.files[place]),), (place,))


def _sun(properties: Item, name: str) -> tuple[float | None, float | None]:
    azimuth = number_of(properties, "view:sun_azimuth", name)
    elevation = number_of(properties, "view:sun_elevation", name)
    if azimuth is None:
        azimuth = number_of(properties, "s2:mean_solar_azimuth", name)
    if elevation is None:
        zenith = number_of(properties, "s2:mean_solar_zenith", name)
        elevation = None if zenith is None else 90.0 - zenith
    return None if azimuth is None else azimuth % 360.0, elevation
