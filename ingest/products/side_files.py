"""Small text files of a product: XML read without entities, JSON, numbers; every fault names the file."""

from __future__ import annotations

import json
import math
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from db.errors import UsageError
from ingest.files import SourceFile, describe_start
from ingest.products.package import Package
from ingest.products.product import PackageFile

MAX_BYTES = 50 << 20


def read_text(file: SourceFile) -> str:
    """The text of a side file.

    Raises:
        UsageError: it is empty, too large or no text.

    """
    if file.size_bytes < 2:
        raise UsageError(f"{file.name}: the file is empty ({file.size_bytes} bytes); get it anew")
    if file.size_bytes > MAX_BYTES:
        raise UsageError(f"{file.name}: {file.size_bytes} bytes are too many for a side file")
    raw = file.head(MAX_BYTES)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            return raw.decode("gb18030")
        except UnicodeDecodeError:
            raise UsageError(f"{file.name}: is no text; it begins as {describe_start(raw)}") from None


def read_xml(file: SourceFile) -> Element:
    """The root of an XML side file; entities and document types are not followed.

    Raises:
        UsageError: it is empty, damaged or suspicious.

    """
    text = read_text(file)
    declaration_end = text.find("?>") + 2 if text.lstrip().startswith("<?xml") else 0
    try:
        root: Element = fromstring(text[declaration_end:], forbid_dtd=True)
    except ParseError as error:
        raise UsageError(
            f"{file.name}: is damaged or no XML ({error}); it begins as {describe_start(text[:512].encode())}"
        ) from None
    except DefusedXmlException:
        raise UsageError(
            f"{file.name}: declares a document type or entities, which no product does; it is not read"
        ) from None
    return root


def read_json(file: SourceFile) -> Any:
    """A JSON side file.

    Raises:
        UsageError: it is empty or damaged.

    """
    text = read_text(file)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{file.name}: is damaged or no JSON: {error}") from None


def number(text: str | None, what: str, file: str) -> float:
    """A finite number that a side file must state.

    Raises:
        UsageError: it is missing or no finite number.

    """
    found = optional_number(text, what, file)
    if found is None:
        raise UsageError(f"{file}: does not state {what}; get the file anew")
    return found


def optional_number(text: str | None, what: str, file: str) -> float | None:
    """A finite number that a side file may leave empty.

    Raises:
        UsageError: it is there and no finite number.

    """
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{file}: {what} is {text.strip()!r}, not a number")
    return value


def package_files(package: Package, paths: list[str]) -> tuple[PackageFile, ...]:
    """Size and SHA-256 of files of a package, each once, in order."""
    return tuple(
        PackageFile(path, package.files[path].size_bytes, package.files[path].sha256())
        for path in dict.fromkeys(paths)
    )
