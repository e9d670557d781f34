"""A table of a report: columns and rows as a view gives them, and the same as text for files.

Everything that prints or writes rows of a view uses this: reports, alerts, assessments.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, LiteralString

from psycopg import Connection, Cursor
from psycopg.sql import SQL, Composed

Row = dict[str, Any]
"""A row by column name."""


@dataclass(frozen=True)
class Report:
    """A table to print: column names and rows."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    @classmethod
    def of(cls, cursor: Cursor[Any]) -> Report:
        """What a cursor has found, with the names of its columns."""
        return cls(tuple(column.name for column in cursor.description or ()), cursor.fetchall())

    def dicts(self) -> list[Row]:
        """Rows as mappings from column to value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def read_report(
    conn: Connection[Any],
    query: LiteralString | SQL | Composed,
    arguments: Sequence[object] | Mapping[str, object] = (),
) -> Report:
    """Rows of a select."""
    return Report.of(conn.execute(query, arguments))


def csv_text(report: Report) -> str:
    """A table as CSV (RFC 4180, comma, UTF-8): full digits, units in the columns' names, empty for null."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(report.columns)
    writer.writerows([_csv_value(value) for value in row] for row in report.rows)
    return file.getvalue()


def json_text(tables: Report | Mapping[str, Report]) -> str:
    """A table as a list of objects; several tables as an object of such lists."""
    content = _objects(tables) if isinstance(tables, Report) else {k: _objects(v) for k, v in tables.items()}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def plain_value(value: object) -> object:
    """A value as JSON holds it: dates as ISO 8601, numbers with all digits, lists as lists."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    return value


def _objects(report: Report) -> list[Row]:
    return [{key: plain_value(value) for key, value in row.items()} for row in report.dicts()]


def _csv_value(value: object) -> object:
    plain = plain_value(value)
    return " ".join(map(str, plain)) if isinstance(plain, list) else plain
