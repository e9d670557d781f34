"""Rows of a report by column name, and the digest that tells whether two reports hold the same numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from db.reports.views import Report

Row = dict[str, Any]


def rows_of(report: Report) -> list[Row]:
    """Rows as mappings from column to value."""
    return [dict(zip(report.columns, row, strict=True)) for row in report.rows]


def plain_value(value: object) -> object:
    """A value as JSON holds it: dates as ISO 8601, numbers with all digits, lists as lists."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [plain_value(each) for each in value]
    return value


def fingerprint(tables: Mapping[str, Report]) -> str:
    """SHA-256 of all columns and rows: equal when every number, to ten digits, and every name is.

    The digits beyond depend on the order in which the database adds, which may change without a cause. Keys
    (``ogc_fid``) are left out: they are no findings and differ between databases.
    """
    content = {
        name: [
            {key: _settled(value) for key, value in row.items() if key != "ogc_fid"}
            for row in rows_of(report)
        ]
        for name, report in tables.items()
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _settled(value: object) -> object:
    plain = plain_value(value)
    return float(f"{plain:.10g}") if isinstance(plain, float) else plain
