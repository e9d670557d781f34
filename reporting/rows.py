"""The digest that tells whether two reports hold the same numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from db.reports.report import Report, plain_value


def fingerprint(tables: Mapping[str, Report]) -> str:
    """SHA-256 of all columns and rows: equal when every number, to ten digits, and every name is.

    The digits beyond depend on the order in which the database adds, which may change without a cause. Keys
    (``ogc_fid``) are left out: they are no findings and differ between databases.
    """
    content = {
        name: [
            {key: _settled(value) for key, value in row.items() if key != "ogc_fid"} for row in report.dicts()
        ]
        for name, report in tables.items()
    }
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _settled(value: object) -> object:
    plain = plain_value(value)
    return float(f"{plain:.10g}") if isinstance(plain, float) else plain
