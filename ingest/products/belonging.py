"""Which files of a folder belong to one product that lies loose among others."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.ahsi import is_band_text, is_spectrometer
from ingest.products.cresda import split_stem
from ingest.products.enmap_delivery import delivery_of
from ingest.products.side_files import read_json, read_text

_JSON = (".json", ".geojson")
SIDE_FILES = (*_JSON, ".xml", ".txt", ".toml")
"""Files that may name others of their product."""

LONGEST_PATH = 1000
_BETWEEN = re.compile(r"[\"'<>\r\n]+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def product_stem(name: str) -> str:
    """What the names of a product's files begin with, from the name of one that describes it."""
    delivery = delivery_of(name)
    if delivery is not None:
        return delivery
    return split_stem(re.sub(r"_MTL$", "", PurePosixPath(name).stem, flags=re.IGNORECASE))[0]


def begins_with(name: str, stem: str) -> bool:
    """Whether a name begins with a stem and not with a longer word or number: ``mine1`` is no ``mine10``."""
    rest = name[len(stem) :]
    return name[: len(stem)].lower() == stem.lower() and not rest[:1].isalnum()


def own_names(named: str, names: Iterable[str]) -> set[str]:
    """The names beside a product's file that its product's name is in front of.

    Args:
        named: the file, which need not be there.
        names: names of the files beside it.

    """
    names = set(names)
    stems = {product_stem(named)}
    if not named.lower().endswith(SIDE_FILES):
        # An image may have more in its name than what describes it: a band, a part.
        sides = {product_stem(each) for each in names if each.lower().endswith(SIDE_FILES)}
        stems |= {stem for stem in sides if begins_with(named, stem)}
    own = {name for name in names if name == named or any(begins_with(name, stem) for stem in stems)}
    if any(is_spectrometer(name) for name in own) and not any(map(is_band_text, own)):
        # Not every data centre puts the product's name before those of its text files.
        own |= set(filter(is_band_text, names))
    return own


def stated_paths(name: str, file: SourceFile) -> set[str]:
    """Paths from a side file's own folder that it may name, there or not.

    Of an address on the network it is the last part, as after a download. A file that describes nothing or
    cannot be read names none: what is wrong with it is its reader's to say.
    """
    if not name.lower().endswith(SIDE_FILES):
        return set()
    try:
        texts = list(_strings(name, file))
    except (UsageError, OSError):
        return set()
    found = set()
    for text in texts:
        stripped = text.strip()
        if not stripped or len(stripped) > LONGEST_PATH:
            continue
        if _ADDRESS.match(stripped):
            stripped = re.split(r"[?#]", stripped)[0].rpartition("/")[2]
        for each in {stripped, unquote(stripped)} - {""}:
            path = posixpath.normpath(each)
            if path != "." and path.split("/")[0] not in ("", ".."):
                found.add(path)
    return found


def _strings(name: str, file: SourceFile) -> Iterator[str]:
    if not name.lower().endswith(_JSON):
        yield from (html.unescape(each) for each in _BETWEEN.split(read_text(file)))
        return
    waiting = [read_json(file)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
