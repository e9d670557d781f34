"""Which columns of a file of samples become layers, and what those are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import UsageError
from ingest.evidence.contents import parse_value
from ingest.evidence.elements import KNOWN, check_element
from ingest.evidence.naming import check_name
from ingest.evidence.point_files import SampleTable

_UNITS = ("ppm", "ppb", "ppt", "%", "pct", "wt%", "wt.%", "g/t", "mg/kg", "ug/kg", "µg/kg")
_CALLED = re.compile(
    r"(?P<symbol>[A-Z][A-Za-z0-9]*)(?:[ _.(\[-]+(?P<unit>" + "|".join(map(re.escape, _UNITS)) + r")[)\]]?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ValueColumn:
    """A column that becomes a layer.

    Attributes:
        column: its name in the file.
        name: name of the layer.
        element: element or oxide it is the content of; None: of none.
        unit: unit of its values, where known.

    """

    column: str
    name: str
    element: str | None
    unit: str | None


@dataclass(frozen=True)
class ColumnChoice:
    """Which columns were asked for.

    Attributes:
        columns: by name; empty: the one that holds ``element``, or the only one of numbers.
        all_elements: instead all that are called by an element or oxide.
        name, element: of the one layer.
        unit: of the values, where the columns do not say it.

    """

    columns: tuple[str, ...] = ()
    all_elements: bool = False
    name: str | None = None
    element: str | None = None
    unit: str | None = None


def called(column: str) -> tuple[str, str | None] | None:
    """Element or oxide by which a column is called, and its unit where that is said, as in ``Li_ppm``."""
    found = _CALLED.fullmatch(column.strip())
    if found is None or found["symbol"] not in KNOWN:
        return None
    unit = found["unit"]
    return found["symbol"], None if unit is None else {"pct": "%"}.get(unit.lower(), unit.lower())


def value_columns(samples: SampleTable, choice: ColumnChoice, *, kind: str) -> list[ValueColumn]:
    """Choose columns, and name their layers.

    Columns called ``Li`` or ``Li_ppm`` are contents of lithium; capitals and small letters matter.

    Args:
        samples: the samples.
        choice: what was asked for.
        kind: what they are evidence of.

    Raises:
        UsageError: the options do not fit together, a column is not there or it is not clear which is
            meant, or two layers would have one name.

    """
    if choice.all_elements and (choice.columns or choice.element is not None or choice.name is not None):
        raise UsageError("--all-elements takes every element: leave --column, --element and --name out")
    if choice.all_elements and kind != "geochemistry":
        raise UsageError(f"--all-elements is for --kind geochemistry, and not for {kind}")
    if len(choice.columns) > 1 and (choice.name is not None or choice.element is not None):
        raise UsageError(
            f"--name and --element say something of one layer, and {len(choice.columns)} columns are given: "
            "leave them out, or bring the columns one by one"
        )
    if choice.element is not None:
        check_element(choice.element, "--element")
    found = [_layer_of(column, choice, kind) for column in _columns(samples, choice)]
    twice = [name for name, count in Counter(layer.name for layer in found).items() if count > 1]
    if twice:
        same = [layer.column for layer in found if layer.name == twice[0]]
        raise UsageError(
            f"{samples.table.name}: columns {' and '.join(map(repr, same))} would both become layer "
            f"{twice[0]!r}: bring them one by one with --column and --name"
        )
    return found


def _columns(samples: SampleTable, choice: ColumnChoice) -> list[str]:
    table = samples.table
    free = [column for column in table.columns if column not in samples.taken]
    listed = ", ".join(free) or "none"
    missing = [column for column in choice.columns if column not in table.columns]
    if missing:
        raise UsageError(f"{table.name}: has no column {missing[0]!r}; its columns of values are {listed}")
    if choice.columns:
        return list(dict.fromkeys(choice.columns))
    if choice.all_elements:
        elements = [column for column in free if called(column) is not None]
        if not elements:
            raise UsageError(
                f"{table.name}: no column is called by an element or oxide, such as Li or Li_ppm; name those "
                f"that are meant with --column; its columns of values are {listed}"
            )
        return elements
    if choice.element is not None:
        of_it = [column for column in free if (called(column) or ("",))[0] == choice.element]
        if len(of_it) == 1:
            return of_it
    numbers = [column for column in free if _is_of_numbers(table.columns[column])]
    if len(numbers) == 1:
        return numbers
    raise UsageError(
        f"{table.name}: which column holds the values? Name it with --column, several by repeating it"
        f"{', or say --all-elements' if any(map(called, free)) else ''}; its columns are {listed}"
    )


def _layer_of(column: str, choice: ColumnChoice, kind: str) -> ValueColumn:
    symbol, said = (called(column) or (None, None)) if kind == "geochemistry" else (None, None)
    if said is not None and choice.unit is not None and said != choice.unit.lower():
        raise UsageError(
            f"column {column!r} says that it is in {said}, and --unit {choice.unit}: nothing is converted; "
            "leave --unit out, or bring columns of other units by themselves"
        )
    element = choice.element or symbol
    name = check_name(choice.name or element or column, "layer name")
    return ValueColumn(column, name, element, choice.unit or said)


def _is_of_numbers(values: Sequence[object]) -> bool:
    """Whether the first values of a column, and one at least, are numbers."""
    known = [value for value in values if value is not None][:50]
    try:
        for value in known:
            parse_value(value)
    except ValueError:
        return False
    return bool(known)
