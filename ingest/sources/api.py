"""Items of a STAC API: a search with what the server can filter; the rest is filtered here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote, urljoin

from pystac_client import Client, ItemSearch
from pystac_client.conformance import ConformanceClasses
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.warnings import PystacClientWarning

from db.errors import RetryError, UsageError
from db.ingest_items import Found
from db.ingest_sources import IngestSource
from ingest.sources.listing import Refused
from ingest.sources.stac_io import GuardedIO
from ingest.sources.stac_items import UNREADABLE, collection_of, found_item
from ingest.sources.web import Beat, is_web, shown

PAGE_ITEMS = 100
MOST_ITEMS = 500_000
_NO_API = (*UNREADABLE, APIError, ClientTypeError, NotImplementedError)


def api_items(
    io: GuardedIO, source: IngestSource, bounds: tuple[float, float, float, float], beat: Beat
) -> Iterator[Found | Refused]:
    """Search an API for what a source wants.

    Args:
        io: reading.
        source: what is wanted.
        bounds: west, south, east, north of the wanted ground, degrees.
        beat: takes how many items were listed.

    Yields:
        Items, also such as the server did not filter; and what could not be read.

    Raises:
        UsageError: it is no API, or its answers cannot be understood.
        RetryError: the server cannot now.

    """
    count = 0
    for page in _pages(io, source, bounds):
        features = page.get("features")
        if not isinstance(features, list):
            raise UsageError(f"{shown(source.location)}: a page of its answer has no features")
        for item in features:
            count += 1
            if count > MOST_ITEMS:
                raise UsageError(
                    f"{shown(source.location)}: lists more than {MOST_ITEMS} items; set from_day"
                )
            yield from _found(item, source)
        beat("searching", count, 0)


def _pages(
    io: GuardedIO, source: IngestSource, bounds: tuple[float, float, float, float]
) -> Iterator[dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            # What a server does not say of itself is no news: filters are applied again on this side.
            warnings.simplefilter("ignore", PystacClientWarning)
            warnings.simplefilter("ignore", UserWarning)
            search = _search(io, source, bounds)
        yield from search.pages_as_dicts()
    except UsageError:
        raise
    except _NO_API as error:
        told = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise UsageError(f"{shown(source.location)}: cannot be searched as a STAC API: {told}") from None


def _search(io: GuardedIO, source: IngestSource, bounds: tuple[float, float, float, float]) -> ItemSearch:
    client = Client.open(source.location, stac_io=io)
    methods = {
        str(link.extra_fields.get("method", "GET")).upper() for link in client.links if link.rel == "search"
    }
    query = None
    if source.cloud_limit is not None and client.conforms_to(ConformanceClasses.QUERY):
        query = {"eo:cloud_cover": {"lte": source.cloud_limit * 100}}
    ask = partial(
        client.search,
        collections=list(source.collections) or None,
        bbox=list(bounds),
        datetime=_days(source),
        query=query,
        limit=PAGE_ITEMS,
    )
    if "POST" in methods and io.may_post(str((search := ask(method="POST")).url)):
        return search
    return ask(method="GET")


def _days(source: IngestSource) -> str | None:
    if source.from_day is None and source.to_day is None:
        return None
    first = ".." if source.from_day is None else f"{source.from_day}T00:00:00Z"
    last = ".." if source.to_day is None else f"{source.to_day}T23:59:59Z"
    return f"{first}/{last}"


def _found(item: Any, source: IngestSource) -> Iterator[Found | Refused]:
    if not isinstance(item, Mapping):
        yield Refused(f"{shown(source.location)}: lists something that is no item")
        return
    try:
        if source.collections and collection_of(item) not in source.collections:
            return
        yield found_item(item, _self_href(item, source.location))
    except RetryError:
        raise
    except UNREADABLE as error:
        told = str(error) if isinstance(error, UsageError) else f"{item.get('id')}: cannot be read: {error}"
        yield Refused(told[:500])


def _self_href(item: Mapping[str, Any], location: str) -> str:
    """Where an item can be read again: its own link, else the place that the API's specification names."""
    base = location.rstrip("/") + "/"
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, Mapping) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            found = str(urljoin(base, link["href"]))
            if not is_web(found):
                raise UsageError(
                    f"{item.get('id')}: its own address {found[:200]!r} is none of http or https"
                )
            return found
    collection, named = collection_of(item), item.get("id")
    if collection is None or not isinstance(named, str):
        raise UsageError(f"{item.get('id')}: has neither an address of its own nor a collection")
    return urljoin(base, f"collections/{quote(collection, safe='')}/items/{quote(named, safe='')}")
