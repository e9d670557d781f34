"""What whoever reads sampled estimates must know, as `lode assess report` says it."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.assessments.report import assessment_report
from db.errors import UsageError
from db.reports.report import Report


def warnings_of(conn: Connection[Any], uncertainty: Report) -> Report:
    """Warnings of the assessments in a table of estimates, one a row.

    An assessment whose points do not suffice has no report, and so no warning: its rows have no numbers, and
    say why.
    """
    at = uncertainty.columns.index("assessment")
    found: list[tuple[str, str]] = []
    for name in dict.fromkeys(row[at] for row in uncertainty.rows):
        try:
            found += [(name, warning) for warning in assessment_report(conn, name).warnings]
        except UsageError:
            continue
    return Report(("assessment", "warning"), found)
