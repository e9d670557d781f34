"""The files of a STAC item, fetched into a folder as the reader of such items wants them.

Names in that folder are made here: nothing that a server says becomes a path. What is written of the item is
only what its reader needs, so that the same item from two catalogues is the same content.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from db.errors import UsageError
from ingest.files import SourceFile, source_file
from ingest.products import stac
from ingest.sources.catalogue import absolute
from ingest.sources.checksum import parse_checksum
from ingest.sources.fetching import Wanted, fetch
from ingest.sources.stac_io import local_path
from ingest.sources.stac_items import item_name
from ingest.sources.web import Web, is_web

_ENDINGS = (".tif", ".tiff", ".jp2")
_MOVING = {"created", "updated", "published", "expires"}
_DROPPED = {"alternate", "title", "description", "href"}
_PICTURES = {"overview", "thumbnail", "visual", "metadata", "mask", "cloud"}

Item = Mapping[str, Any]


class ItemFiles:
    """Fetches the assets of items of one source.

    Args:
        web: session.
        base: folder of a catalogue on this machine; None: it is on the network.
        roots: folders that may be read; empty: the catalogue's own.
        count: takes the bytes of the item that lie here.

    """

    def __init__(
        self, web: Web, base: Path | None, roots: tuple[Path, ...], count: Callable[[int], None]
    ) -> None:
        self._web, self._base, self._roots, self._count = web, base, roots, count
        self._bytes = 0

    @property
    def fetched_bytes(self) -> int:
        """Bytes of all files that lie here."""
        return self._bytes

    def package(self, item: Item, href: str, folder: Path) -> Path:
        """Fetch what the reader of Sentinel-2 and Landsat items needs, with the item beside it.

        Returns:
            A folder with the item and its images only.

        Raises:
            RetryError: the server, the network or the disk were in the way.
            UsageError: the item or a file of it is refused.

        """
        name = item_name(item, href)
        place = folder / _safe(name)
        place.mkdir(exist_ok=True)
        kept: dict[str, Any] = {}
        for number, key in enumerate(stac.needed_assets(item, name), 1):
            asset = item["assets"][key]
            file = self._asset(asset, key, href, name, place, number)
            kept[key] = {k: v for k, v in asset.items() if k not in _DROPPED} | {"href": f"./{file.name}"}
        properties = {k: v for k, v in item["properties"].items() if k not in _MOVING}
        content = {
            "type": "Feature",
            "stac_version": item.get("stac_version"),
            "id": item.get("id"),
            "collection": item.get("collection"),
            "properties": properties,
            "assets": kept,
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, indent=1)
        (place / "item.json").write_text(text, "ascii")
        return place

    def plain(self, item: Item, href: str, folder: Path, asset_key: str | None) -> SourceFile:
        """Fetch the one GeoTIFF of an item whose meaning the source states.

        Raises:
            RetryError: the server, the network or the disk were in the way.
            UsageError: the item has none, or several, or the file is refused.

        """
        name = item_name(item, href)
        key = _plain_key(item, name, asset_key)
        return source_file(self._asset(item["assets"][key], key, href, name, folder, 1))

    def _asset(self, asset: Any, key: str, item_href: str, name: str, folder: Path, number: int) -> Path:
        stated = asset.get("href") if isinstance(asset, Mapping) else None
        if not isinstance(stated, str) or not stated or "\\" in stated or not stated.isprintable():
            raise UsageError(f"{name}: the address of asset {key} is no address; the item is refused")
        href = absolute(stated, item_href)
        ending = PurePosixPath(urlsplit(href).path).suffix.lower()
        target = folder / f"{number:02d}-{_safe(key)}{ending if ending in _ENDINGS else '.tif'}"
        if is_web(href):
            size = asset.get("file:size")
            is_size = isinstance(size, int) and not isinstance(size, bool)
            checksum = parse_checksum(asset.get("file:checksum"), f"{name}: asset {key}")
            wanted = Wanted(href, target, checksum, size if is_size else None)
            before = self._bytes
            self._bytes += fetch(self._web, wanted, lambda have: self._count(before + have))
        else:
            self._bytes += self._link(href, target, key, name)
        self._count(self._bytes)
        return target

    def _link(self, href: str, target: Path, key: str, name: str) -> int:
        """A file of a catalogue on this machine is read where it lies."""
        scheme = urlsplit(href).scheme
        if self._base is None or (scheme and scheme != "file"):
            raise UsageError(
                f"{name}: asset {key} lies at {href[:200]!r}; only http and https are fetched, and files "
                "of a catalogue on this machine"
            )
        path = local_path(href, self._base, self._roots)
        target.unlink(missing_ok=True)
        os.symlink(path, target)
        return path.stat().st_size


def _plain_key(item: Item, name: str, wanted: str | None) -> str:
    assets = item.get("assets")
    if not isinstance(assets, Mapping):
        raise UsageError(f"{name}: is no STAC item: it has no assets")
    if wanted is not None:
        if wanted not in assets:
            raise UsageError(
                f"{name}: has no asset {wanted!r}; it has {', '.join(map(str, list(assets)[:8]))}"
            )
        return wanted
    keys = [str(key) for key, asset in assets.items() if isinstance(asset, Mapping) and _is_image(asset)]
    if len(keys) != 1:
        raise UsageError(
            f"{name}: has {len(keys)} GeoTIFFs ({', '.join(keys[:8])}); name the one by the option asset"
            if keys
            else f"{name}: has no GeoTIFF among its assets: {', '.join(map(str, list(assets)[:8]))}"
        )
    return keys[0]


def _is_image(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    if isinstance(roles, list) and _PICTURES & {str(role) for role in roles}:
        return False
    ending = PurePosixPath(urlsplit(str(asset.get("href"))).path).suffix.lower()
    return "tiff" in str(asset.get("type", "")).lower() or ending in (".tif", ".tiff")


def _safe(text: str) -> str:
    """A name of letters, digits, dash, dot and underscore that is no hidden file."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text).lstrip(".")[:80] or "item"
