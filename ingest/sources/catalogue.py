"""Items of a static STAC catalogue, on disk or served as files: its children are walked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pystac

from db.errors import RetryError, UsageError
from db.ingest_items import Found
from ingest.files import source_file
from ingest.sources.listing import Refused
from ingest.sources.stac_io import GuardedIO
from ingest.sources.stac_items import UNREADABLE, collection_of, found_item
from ingest.sources.web import Beat, Web, is_web, shown

MOST_CATALOGUES, MOST_ITEMS = 20_000, 500_000


def catalogue_io(web: Web, location: str, roots: tuple[Path, ...]) -> GuardedIO:
    """Reading for a catalogue; of one on this machine, files in its folder or in the roots.

    Raises:
        UsageError: the file cannot be read.

    """
    if is_web(location):
        return GuardedIO(web)
    return GuardedIO(web, source_file(location, roots).path.parent, roots)


def absolute(href: str, base: str) -> str:
    """An address that a document at ``base`` names.

    Raises:
        UsageError: it is none.

    """
    try:
        if is_web(base) or is_web(href):
            return urljoin(base, href)
    except ValueError as error:
        raise UsageError(f"{href[:200]!r} is no address: {error}") from None
    path = href.removeprefix("file://")
    return str(Path(path) if path.startswith("/") else Path(base).parent / path)


def catalogue_items(
    io: GuardedIO, location: str, collections: Sequence[str], beat: Beat
) -> Iterator[Found | Refused]:
    """Walk a catalogue, its children and their items, each once.

    Args:
        io: reading.
        location: file or URL of the root.
        collections: only items of these; empty: of all.
        beat: takes how many documents were read.

    Yields:
        Items, and what could not be read.

    Raises:
        UsageError: the root cannot be read.
        RetryError: a server cannot now.

    """
    waiting: deque[str] = deque([location])
    seen = {location}
    items = 0
    while waiting:
        href = waiting.popleft()
        try:
            node = _node(io, href)
        except RetryError:
            raise
        except UNREADABLE as error:
            if href == location:
                raise UsageError(f"{_shown(href)}: is no STAC catalogue: {_first_line(error)}") from None
            yield Refused(_told(href, error))
            continue
        inside = isinstance(node, pystac.Collection) and bool(collections) and node.id not in collections
        for rel, target in _links(node, href):
            if target in seen:
                continue
            seen.add(target)
            if rel == "child":
                waiting.append(target)
                continue
            items += 1
            if len(seen) - items > MOST_CATALOGUES or items > MOST_ITEMS:
                raise UsageError(f"{_shown(location)}: has more than {MOST_ITEMS} items; name a part of it")
            beat("reading the catalogue", items, 0)
            if not inside:
                yield from _item(io, target, collections)


def _node(io: GuardedIO, href: str) -> pystac.Catalog:
    node = io.read_stac_object(href)
    if not isinstance(node, pystac.Catalog):
        raise UsageError("is an item, not a catalogue")
    return node


def _links(node: pystac.Catalog, href: str) -> list[tuple[str, str]]:
    """Children and items with absolute addresses, in the catalogue's order."""
    found = []
    for link in node.links:
        target: Any = link.target
        if link.rel in ("child", "item") and isinstance(target, str) and target:
            found.append((str(link.rel), absolute(target, href)))
    return found


def _item(io: GuardedIO, href: str, collections: Sequence[str]) -> Iterator[Found | Refused]:
    try:
        item = io.read_json(href)
        found = found_item(item, href)
    except RetryError:
        raise
    except UNREADABLE as error:
        yield Refused(_told(href, error))
        return
    if not collections or collection_of(item) in collections:
        yield found


def _told(href: str, error: Exception) -> str:
    text, where = _first_line(error), _shown(href)
    return text if text.startswith(where) else f"{where}: {text}"


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:500]


def _shown(href: str) -> str:
    return shown(href) if is_web(href) else href[-300:]
