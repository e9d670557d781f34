"""What layers are called: by an option, by their element, or by their file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from db.errors import UsageError
from db.registry import NAME_BYTES, is_name
from ingest.evidence.elements import check_element
from ingest.files import SourceFile

PLACE = "{element}"


@dataclass(frozen=True)
class NamedFile:
    """A file with the name its layer gets, and its element where it has one."""

    file: SourceFile
    name: str
    element: str | None


def check_name(name: str, what: str) -> str:
    """Return a name that looks like itself wherever it is listed.

    Raises:
        UsageError: it does not.

    """
    if not is_name(name):
        raise UsageError(
            f"{what} {name!r}: give 1 to {NAME_BYTES} bytes of printable characters, without spaces at the "
            "ends or a dash at the beginning"
        )
    return name


def name_layers(
    files: Sequence[SourceFile], *, name: str | None, element: str | None, pattern: str | None
) -> list[NamedFile]:
    """Name the layers of all files, before the first of them is read.

    Args:
        files: the files.
        name: name of the one layer.
        element: element of the one layer.
        pattern: file name with ``{element}`` in place of the element, e.g. ``Idw_{element}.tif``.

    Raises:
        UsageError: the options do not fit together, a file does not fit the pattern, a symbol is no element,
            or two layers would have one name.

    """
    if len(files) > 1 and (name is not None or element is not None):
        raise UsageError(
            f"--name and --element say something of one file, and {len(files)} are given: "
            f"bring them one by one, or say --name-pattern 'NAME_{PLACE}.tif'"
        )
    if pattern is not None and element is not None:
        raise UsageError("--element and --name-pattern both say the element: leave one out")
    if pattern is not None and pattern.count(PLACE) != 1:
        raise UsageError(
            f"--name-pattern {pattern!r}: write the file's name with {PLACE} in place of the element"
        )
    named = []
    for file in files:
        symbol = element if pattern is None else _element_of(file.name, pattern)
        if symbol is not None:
            check_element(symbol, "--element" if pattern is None else file.name)
        chosen = name if name is not None else symbol if symbol is not None else Path(file.name).stem
        named.append(NamedFile(file, check_name(chosen, "layer name"), symbol))
    twice = [each for each, count in Counter(layer.name for layer in named).items() if count > 1]
    if twice:
        raise UsageError(f"several files would become layer {twice[0]!r}: bring them one by one with --name")
    return named


def _element_of(file_name: str, pattern: str) -> str:
    before, after = pattern.split(PLACE)
    found = re.fullmatch(re.escape(before) + "(.+)" + re.escape(after), file_name)
    if found is None:
        raise UsageError(f"{file_name}: is not named like --name-pattern {pattern!r}")
    return found[1]
