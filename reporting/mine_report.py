"""Everything that the report of a mine states, as tables read from the views."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import Connection

from db.classes import LandClass, list_classes
from db.reports import page_rows, views
from db.reports.page_rows import DatabaseFacts, MineHead
from db.reports.report import Report, Row
from reporting.cautions import warnings_of
from reporting.invocation import report_command
from reporting.rows import fingerprint


@dataclass(frozen=True)
class MineReport:
    """A mine and its tables, by the names that ``--table`` takes."""

    head: MineHead
    facts: DatabaseFacts
    classes: list[LandClass]
    tables: dict[str, Report]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers: the same next year where nothing changed that they stand on."""
        return fingerprint(self.tables)

    def rows(self, table: str) -> list[Row]:
        """Rows of a table by column name."""
        return self.tables[table].dicts()

    def command_for(self, table: str) -> str:
        """The command that prints all of a table."""
        return report_command(["mine", self.head.code], table)

    @cached_property
    def summary(self) -> Row:
        """The key figures."""
        return self.rows("summary")[0]

    @cached_property
    def years(self) -> list[int]:
        """Years that reports speak of, observed or not."""
        return sorted({row["year"] for row in self.rows("damage")})

    @cached_property
    def observed_years(self) -> list[int]:
        """Years in which damage was looked for in some of the mine."""
        return sorted({row["year"] for row in self.rows("series") if row["active_area_m2"] is not None})

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of years whose change is known, ascending."""
        return sorted({(row["from_year"], row["to_year"]) for row in self.rows("change")})

    @cached_property
    def newest_pair(self) -> tuple[int, int] | None:
        """The pair that ends with the newest observed year: the one that the map of change shows."""
        summary = self.summary
        return (summary["from_year"], summary["to_year"]) if summary["to_year"] is not None else None


def gather_mine(conn: Connection[Any], code: str) -> MineReport:
    """Read a mine's report in one transaction, so that its numbers fit each other.

    Raises:
        UsageError: no mine has this code.

    """
    (head,) = page_rows.mine_heads(conn, [code])
    uncertainty = page_rows.uncertainty_rows(conn, code)
    tables = {
        "damage": views.damage_report(conn, mine_codes=[code]),
        "change": views.change_report(conn, mine_codes=[code]),
        "transition": views.transition_report(conn, code),
        "series": views.series_report(conn, mine_codes=[code]),
        "restoration": views.restoration_report(conn, mine_codes=[code]),
        "outside_licence": views.outside_licence_report(conn, mine_codes=[code]),
        "outside_licence_years": views.licence_findings(conn, mine_codes=[code]),
        "sensitive": page_rows.sensitive_rows(conn, [code]),
        "sensitive_years": views.sensitive_findings(conn, mine_codes=[code]),
        "alerts": page_rows.alert_rows(conn, [code]),
        "uncertainty": uncertainty,
        "uncertainty_warnings": warnings_of(conn, uncertainty),
        "gaps": views.gap_report(conn, mine_codes=[code]),
        "runs": page_rows.evidence_runs(conn, code),
        "labels": page_rows.evidence_labels(conn, code),
        "summary": page_rows.summary_rows(conn, code),
    }
    return MineReport(head, page_rows.database_facts(conn), list_classes(conn), tables)
