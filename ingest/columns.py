"""Which column of a file is which of ours, and its values as texts, classes and days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from db.errors import UsageError
from ingest.vectors import FeatureTable

EARLIEST_YEAR = 1900
MID_YEAR = (7, 1)
"""A label of which only the year is known gets this month and day."""


@dataclass(frozen=True)
class Field:
    """One of our fields: its name, other names that are taken for it, and whether it must be there."""

    name: str
    aliases: tuple[str, ...] = ()
    is_required: bool = False


def match_columns(
    table: FeatureTable, fields: Sequence[Field], stated: Mapping[str, str]
) -> dict[str, str | None]:
    """Find the column of each of our fields.

    What the user states goes first (nothing, as in ``scene=``, means no column); else the column of the same
    name counts, or of an alias, whatever its case.

    Args:
        table: the features.
        fields: our fields.
        stated: column by field, from ``--field ours=theirs``.

    Raises:
        UsageError: an unknown field or column was stated, or a required field has no column.

    """
    ours = [field.name for field in fields]
    unknown = [name for name in stated if name not in ours]
    if unknown:
        raise UsageError(f"--field {unknown[0]}=...: there is no such field; ours are: {', '.join(ours)}")
    columns = list(table.columns)
    listed = ", ".join(columns) or "none"
    by_fold = {column.casefold(): column for column in reversed(columns)}
    found: dict[str, str | None] = {}
    for field in fields:
        theirs = stated.get(field.name)
        if theirs and theirs not in columns:
            raise UsageError(f"{table.name}: has no column {theirs!r}; its columns are: {listed}")
        names = (field.name, *field.aliases)
        match = next((by_fold[name] for name in names if name in by_fold), None)
        found[field.name] = match if theirs is None else theirs or None
        if field.is_required and found[field.name] is None:
            raise UsageError(
                f"{table.name}: which column holds the {field.name}? State it with "
                f"--field {field.name}=COLUMN; its columns are: {listed}"
            )
    return found


def text_of(value: Any) -> str | None:
    """A value as text, verbatim; None when empty.

    Whole numbers are written without a decimal point (dBase and GDAL make 12 into 12.0), days as
    ``YYYY-MM-DD``.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        at_midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if at_midnight else value.isoformat()
    text = value.isoformat() if isinstance(value, date) else str(value)
    return text if text.strip() else None


def texts(table: FeatureTable, column: str | None) -> list[str | None]:
    """A column as texts, one a row; all None without a column.

    Raises:
        UsageError: a text holds a zero byte, which PostgreSQL cannot store.

    """
    if column is None:
        return [None] * len(table.ids)
    found = [text_of(value) for value in table.columns[column]]
    for row, text in enumerate(found):
        if text is not None and "\0" in text:
            raise UsageError(f"{table.name}: {table.row_name(row)}: column {column!r} holds a zero byte")
    return found


def day_of(value: Any) -> date | None:
    """Understand a day or a year: a date, ``2021-06-30``, ``2021/6/30``, ``2021``; None when it is neither.

    A year alone becomes the first of July of it.
    """
    text = text_of(value)
    if text is None:
        return None
    text = text.strip()
    if text.isdigit() and len(text) == 4:
        return date(int(text), *MID_YEAR) if int(text) >= EARLIEST_YEAR else None
    for layout in ("%Y-%m-%d", "%Y/%m/%d", "%Y-%m-%dT%H:%M:%S"):
        try:
            found = datetime.strptime(text.removesuffix("Z"), layout).replace(tzinfo=UTC).date()
        except ValueError:
            continue
        return found if found.year >= EARLIEST_YEAR else None
    return None


def days(table: FeatureTable, column: str) -> list[date]:
    """A column as days, one a row.

    Raises:
        UsageError: a value is no day or year, or lies ahead.

    """
    found = []
    this_year = datetime.now(UTC).year
    for row, value in enumerate(table.columns[column]):
        day = day_of(value)
        if day is None or day.year > this_year:
            raise UsageError(
                f"{table.name}: {table.row_name(row)}: {value!r} in column {column!r} is no day or year that "
                "has been (like 2021-06-30 or 2021); state --valid-on, or --field valid_on=COLUMN"
            )
        found.append(day)
    return found


def keep_only(table: FeatureTable, wanted: Sequence[tuple[str, str]]) -> list[int]:
    """Rows (from 0) whose columns have these values (any one of several for the same column).

    Raises:
        UsageError: there is no such column, or no row has the value.

    """
    rows = list(range(len(table.ids)))
    for column in dict.fromkeys(name for name, _value in wanted):
        if column not in table.columns:
            listed = ", ".join(table.columns) or "none"
            raise UsageError(f"{table.name}: has no column {column!r}; its columns are: {listed}")
        values = {value for name, value in wanted if name == column}
        held = texts(table, column)
        rows = [row for row in rows if held[row] in values]
    if wanted and not rows:
        raise UsageError(f"{table.name}: no feature has " + " and ".join(f"{c}={v}" for c, v in wanted))
    return rows


def take_rows(table: FeatureTable, rows: Sequence[int]) -> FeatureTable:
    """The table with these rows only; messages go on naming them as the file counts them."""
    if len(rows) == len(table.ids):
        return table
    place = {row: index for index, row in enumerate(rows)}
    return FeatureTable(
        table.name,
        table.sha256,
        table.crs,
        table.ids[list(rows)],
        table.numbers[list(rows)],
        table.geometries[list(rows)],
        {place[row]: why for row, why in table.broken.items() if row in place},
        {place[row]: what for row, what in table.oddities.items() if row in place},
        {name: [column[row] for row in rows] for name, column in table.columns.items()},
    )
