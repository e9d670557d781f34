"""Metadata of Landsat Collection 2 (MTL) as groups of values, whichever of its three forms is at hand.

Source: USGS, Landsat 8-9 Collection 2 Level 1 and Level 2 Data Format Control Books. The groups count: the
metadata of Level 2 repeat those of the Level 1 they were made from, with the same names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.side_files import number, optional_number, read_json, read_text, read_xml

ROOT = "LANDSAT_METADATA_FILE"
_OLD_ROOTS = ("L1_METADATA_FILE", "METADATA_FILE")
_LINE = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*$")


class Metadata:
    """Values by group and name.

    Args:
        name: the file, for messages.
        groups: values by group and name.

    """

    def __init__(self, name: str, groups: Mapping[str, Mapping[str, str]]) -> None:
        self.name = name
        self._groups = groups

    def text(self, group: str, key: str) -> str | None:
        """A value, or None when there is none."""
        return self._groups.get(group, {}).get(key) or None

    def required(self, group: str, key: str) -> str:
        """A value that must be there.

        Raises:
            UsageError: it is not.

        """
        found = self.text(group, key)
        if found is None:
            raise UsageError(f"{self.name}: does not state {key} in {group}; get the file anew")
        return found

    def number(self, group: str, key: str) -> float:
        """A finite number that must be there.

        Raises:
            UsageError: it is not, or no number.

        """
        return number(self.text(group, key), f"{key} in {group}", self.name)

    def optional_number(self, group: str, key: str) -> float | None:
        """A finite number that may be missing.

        Raises:
            UsageError: it is there and no number.

        """
        return optional_number(self.text(group, key), f"{key} in {group}", self.name)


def is_metadata(file: SourceFile) -> bool:
    """Whether a file begins as Landsat metadata, of this collection or an older one."""
    head = file.head(2048)
    return any(root.encode() in head for root in (ROOT, *_OLD_ROOTS))


def read_metadata(file: SourceFile) -> Metadata:
    """Read MTL.xml, MTL.json or MTL.txt.

    Raises:
        UsageError: it is damaged, or of an older collection.

    """
    ending = file.name.rpartition(".")[2].lower()
    if ending == "xml":
        root = read_xml(file)
        tree = {group.tag: {leaf.tag: leaf.text or "" for leaf in group} for group in root}
        top = root.tag
    elif ending == "json":
        whole = read_json(file)
        top, tree = next(iter(whole.items())) if isinstance(whole, dict) and len(whole) == 1 else ("", {})
    else:
        top, tree = _lines(read_text(file), file.name)
    if top in _OLD_ROOTS:
        raise UsageError(
            f"{file.name}: is of Collection 1 or older, which USGS has withdrawn; fetch Collection 2"
        )
    if top != ROOT or not isinstance(tree, dict):
        raise UsageError(
            f"{file.name}: is no metadata of Landsat Collection 2; it begins with {top or 'nothing'}"
        )
    groups = {
        str(group): {str(key): str(value).strip() for key, value in values.items()}
        for group, values in tree.items()
        if isinstance(values, dict)
    }
    return Metadata(file.name, groups)


def _lines(text: str, name: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Top group and groups of the text form: GROUP = x, KEY = value, END_GROUP = x."""
    top = ""
    groups: dict[str, dict[str, str]] = {}
    stack: list[str] = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            if line.strip() == "END":
                break
            continue
        key, value = found.group(1), found.group(2).strip('"')
        if key == "GROUP":
            top = top or value
            stack.append(value)
            groups.setdefault(value, {})
        elif key == "END_GROUP":
            if not stack or stack.pop() != value:
                raise UsageError(
                    f"{name}: its groups are not closed in order; the file is damaged, get it anew"
                )
        elif stack:
            groups[stack[-1]][key] = value
    if stack:
        raise UsageError(f"{name}: ends inside the group {stack[-1]}; the file is cut short, get it anew")
    return top, groups
