"""Which value of a file is which class: our own names, or a table the user wrote (``--classes FILE.toml``).

::

    ignore = [0]                # values that say nothing

    [classes]
    10 = "open_pit"             # value = class, by key, code, English or Chinese name
    "Site d'extraction" = "open_pit"
    7 = "ignore"                # the same as above
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from db.classes import LandClass, class_list, find_class
from db.errors import UsageError
from ingest.files import SourceFile

IGNORE = "ignore"
MAX_BYTES = 1 << 20
SHOWN_VALUES = 12


@dataclass(frozen=True)
class ClassMapping:
    """Class code by value (as text); None for values that are ignored."""

    codes: Mapping[str, int | None] = field(default_factory=dict)

    def as_json(self) -> dict[str, int | None]:
        """The mapping, for comparing two ingests."""
        return dict(sorted(self.codes.items()))


def read_class_mapping(file: SourceFile, classes: Sequence[LandClass]) -> ClassMapping:
    """Read a table of classes.

    Raises:
        UsageError: it is no such table, or names classes that are not known.

    """
    if file.size_bytes > MAX_BYTES:
        raise UsageError(f"{file.name}: is no table of classes, it has {file.size_bytes} bytes")
    try:
        document = tomllib.loads(file.path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file.name}: not TOML: {error}") from None
    table = document.get("classes")
    if not isinstance(table, dict) or not table:
        raise UsageError(f'{file.name}: needs a table [classes] with lines like 10 = "open_pit"')
    odd = [key for key in document if key not in ("classes", IGNORE)]
    if odd:
        raise UsageError(f"{file.name}: {odd[0]!r} is not known; there are [classes] and ignore")
    entries = dict(table)
    ignored = _list(document.get(IGNORE, []), file.name)
    if isinstance(entries.get(IGNORE), list):  # written below [classes], where TOML takes it as an entry
        ignored += _list(entries.pop(IGNORE), file.name)
    codes: dict[str, int | None] = {str(value): None for value in ignored}
    for value, name in entries.items():
        if value in codes:
            raise UsageError(f"{file.name}: value {value!r} is both ignored and a class")
        codes[value] = None if name == IGNORE else _code(str(name), value, classes, file.name)
    return ClassMapping(codes)


def _list(values: Any, name: str) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, int | str) for value in values):
        raise UsageError(f"{name}: ignore is a list of values, like ignore = [0, 255]")
    return [str(value) for value in values]


def _code(class_name: str, value: str, classes: Sequence[LandClass], name: str) -> int:
    found = find_class(classes, class_name)
    if found is None:
        raise UsageError(
            f"{name}: value {value!r} is mapped to {class_name!r}, which is no class; "
            f"classes are: {class_list(classes)}"
        )
    return found.code


def class_codes(
    values: Sequence[str | None], mapping: ClassMapping | None, classes: Sequence[LandClass], name: str
) -> list[int | None]:
    """Class code of each value; None for those the mapping ignores.

    Args:
        values: values as texts.
        mapping: the user's table; without it values are our own codes, keys or names.
        classes: the known classes.
        name: the file, for messages.

    Raises:
        UsageError: values that are no class; the message lists them with how often they occur.

    """
    counts = Counter(values)
    codes: dict[str | None, int | None] = {}
    unknown = []
    for value in counts:
        if mapping is not None and value is not None and value in mapping.codes:
            codes[value] = mapping.codes[value]
            continue
        found = None if mapping is not None or value is None else find_class(classes, value)
        if found is None:
            unknown.append(value)
        else:
            codes[value] = found.code
    if unknown:
        unknown.sort(key=lambda value: (-counts[value], str(value)))
        shown = ", ".join(f"{value!r} ({counts[value]} times)" for value in unknown[:SHOWN_VALUES])
        more = f" and {len(unknown) - SHOWN_VALUES} more" if len(unknown) > SHOWN_VALUES else ""
        where = "are not in the table of classes" if mapping is not None else "are no classes"
        raise UsageError(
            f"{name}: values {shown}{more} {where}; map them with --classes FILE.toml. "
            f"Classes are: {class_list(classes)}"
        )
    return [codes[value] for value in values]
