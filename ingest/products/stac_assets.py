"""Assets of a STAC item: which of them are bands, and where their files lie in the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from db.errors import UsageError
from ingest.products.landsat import OLI_BANDS
from ingest.products.package import Package
from ingest.products.product import Band, MaskKind
from ingest.products.sentinel2_bands import BANDS, BY_NAME, SENSOR

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
_LANDSAT_BANDS = {band.name: band for band in OLI_BANDS if band.name != "B9"}
_PICTURES = ("visual", "preview", "overview", "thumbnail", "rendered_preview", "tci", "tilejson")
_PICTURE_ROLES = {"visual", "overview", "thumbnail", "metadata"}
_LANDSAT_M = 30.0
_WAVELENGTH_NM = 25.0
_MASKS: dict[MaskKind, tuple[str, ...]] = {
    "sentinel2_scl": ("scl", "scl_20m"),
    "landsat_qa_pixel": ("qa_pixel",),
}


@dataclass(frozen=True)
class BandAsset:
    """A band among the assets.

    Attributes:
        band: the band.
        key: the asset's key.
        href: its address as the item states it.
        index: number of the band in the file, from 1.
        resolution_m: pixel size.
        stated: what the item says of the band: fields of asset, ``raster:bands`` and ``bands`` in one.

    """

    band: Band
    key: str
    href: str
    index: int
    resolution_m: float
    stated: Mapping[str, Any]


def band_assets(assets: Mapping[str, Any], sensor: str, name: str) -> list[BandAsset]:
    """Every band once, in the instrument's order and from its finest asset.

    Copies as JP2 beside the COGs (keys that end in "-jp2") are left out: what the item says of offsets holds
    for the COGs.

    Raises:
        UsageError: no asset is a band, or one lies at another wavelength than the band that its name says.

    """
    found: dict[str, BandAsset] = {}
    for key, asset in assets.items():
        if not isinstance(asset, Mapping) or _is_picture(key, asset):
            continue
        listed = _descriptions(asset)
        for index, stated in enumerate(listed, 1):
            band = _band(key if len(listed) == 1 else "", stated, sensor)
            if band is None:
                continue
            _check_wavelength(band, stated, key, name)
            size = _resolution(key, asset, stated, band, sensor)
            kept = found.get(band.name)
            if kept is None or size < kept.resolution_m:
                found[band.name] = BandAsset(band, key, str(asset.get("href", "")), index, size, stated)
    if not found:
        raise UsageError(f"{name}: none of its assets is a band that is known: {', '.join(list(assets)[:8])}")
    order = [native.band.name for native in BANDS] if sensor == SENSOR else list(_LANDSAT_BANDS)
    return [found[each] for each in order if each in found]


def mask_asset(assets: Mapping[str, Any], kind: MaskKind) -> tuple[str, str] | None:
    """Key and address of the product's own mask."""
    for key, asset in assets.items():
        if key.lower() in _MASKS[kind] and isinstance(asset, Mapping) and asset.get("href"):
            return key, str(asset["href"])
    return None


def place_of(package: Package, item: str, href: str, key: str) -> str | None:
    """Path in the package of an asset; None when it is not here.

    A relative address counts from the item. An asset that the item has on the network counts as here when a
    file of its name lies beside the item, as after a download of both.

    Raises:
        UsageError: the address leaves the package, or the file is empty.

    """
    name = PurePosixPath(item).name
    folder = PurePosixPath(item).parent
    split = urlsplit(href)
    if not href or "\\" in href or split.scheme == "file" or (not split.scheme and href.startswith("/")):
        raise UsageError(
            f"{name}: the address {href!r} of asset {key} is no place beside the item; make it relative"
        )
    if split.scheme:
        candidates = [str(folder / PurePosixPath(unquote(split.path)).name)]
    else:
        candidates = [_resolved(folder, each, name, key) for each in dict.fromkeys((href, unquote(href)))]
    for place in candidates:
        file = package.files.get(place)
        if file is None:
            continue
        if file.size_bytes == 0:
            raise UsageError(f"{file.name}: the image is empty (0 bytes); download it anew")
        return place
    return None


def _resolved(folder: PurePosixPath, href: str, name: str, key: str) -> str:
    parts = [part for part in folder.parts if part != "."]
    for part in PurePosixPath(href).parts:
        if part == "..":
            if not parts:
                raise UsageError(
                    f"{name}: the address {href!r} of asset {key} leaves the package; it is refused"
                )
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _is_picture(key: str, asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles") or []
    return (
        key.lower().startswith(_PICTURES)
        or key.endswith("-jp2")
        or (isinstance(roles, list) and bool(_PICTURE_ROLES & {str(role) for role in roles}))
    )


def _descriptions(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the asset says of each of its bands, in the words of STAC 1.1 and of the older extensions."""
    columns = [asset.get(key) for key in ("bands", "eo:bands", "raster:bands")]
    lists = [column for column in columns if isinstance(column, list) and column]
    count = max((len(column) for column in lists), default=1)
    shared = {
        key: asset[key] for key in asset if key.startswith(("raster:", "eo:")) and not key.endswith("bands")
    }
    found: list[dict[str, Any]] = []
    for index in range(count):
        merged: dict[str, Any] = dict(shared)
        for column in lists:
            if index < len(column) and isinstance(column[index], Mapping):
                merged |= column[index]
        # STAC 1.1 writes a prefix where the extensions of 1.0 did not.
        plain = {key.split(":", 1)[1]: value for key, value in merged.items() if ":" in key}
        found.append({**plain, **merged})
    return found


def _band(key: str, stated: Mapping[str, Any], sensor: str) -> Band | None:
    for text in (str(stated.get("name") or ""), key):
        if sensor == SENSOR:
            short = re.sub(r"[-_]\d\dm$", "", text)
            digit = re.fullmatch(r"B(\d)", short.upper())
            name = f"B0{digit.group(1)}" if digit else _SENTINEL2_KEYS.get(short.lower(), short.upper())
            if name in BY_NAME:
                return BY_NAME[name].band
        else:
            match = re.fullmatch(r"(?:OLI_|SR_)?(B\d)", text.upper())
            if match and match.group(1) in _LANDSAT_BANDS:
                return _LANDSAT_BANDS[match.group(1)]
            for band in _LANDSAT_BANDS.values():
                if text.lower() == band.common_name:
                    return band
    return None


def _check_wavelength(band: Band, stated: Mapping[str, Any], key: str, name: str) -> None:
    center = stated.get("center_wavelength")
    if not isinstance(center, int | float) or band.center_nm is None:
        return
    # Items round to 0.01 um, and the satellites of a series differ by some nm.
    if not abs(center * 1000.0 - band.center_nm) <= max(_WAVELENGTH_NM, 0.03 * band.center_nm):
        raise UsageError(
            f"{name}: asset {key} is at {center:g} um; band {band.name} is at {band.center_nm / 1000:g} um"
        )


def _resolution(
    key: str, asset: Mapping[str, Any], stated: Mapping[str, Any], band: Band, sensor: str
) -> float:
    suffix = re.search(r"[-_](\d\d)m$", key)
    sizes = (stated.get("spatial_resolution"), asset.get("gsd"), suffix and float(suffix.group(1)))
    for size in sizes:
        if isinstance(size, int | float) and 1.0 <= size <= 1000.0:
            return float(size)
    return BY_NAME[band.name].resolution_m if sensor == SENSOR else _LANDSAT_M
