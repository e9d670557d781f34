"""What reports of many mines state: all of them, some, or those of a region; tables read from the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import Connection

from db.classes import LandClass, list_classes
from db.reports import page_rows, regions, views
from db.reports.page_rows import DatabaseFacts, MineHead
from db.reports.regions import RegionHead
from db.reports.views import Pair, Report
from reporting.rows import Row, fingerprint, rows_of


@dataclass(frozen=True)
class OverviewReport:
    """Tables of many mines.

    Attributes:
        kind: damage, change, region, ranking or gaps.
        mines: the mines spoken of.
        region: the region, where it is one's report.
        facts: the database.
        classes: all classes.
        tables: by the names that ``--table`` takes; the first is what CSV holds.

    """

    kind: str
    mines: list[MineHead]
    region: RegionHead | None
    facts: DatabaseFacts
    classes: list[LandClass]
    tables: dict[str, Report]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        return fingerprint(self.tables)

    def rows(self, table: str) -> list[Row]:
        """Rows of a table by column name; none where this report has no such table."""
        return rows_of(self.tables[table]) if table in self.tables else []

    @cached_property
    def newest_pair(self) -> Pair | None:
        """The pair of years that ends last, of those that the ranking or the change knows."""
        rows = self.rows("ranking") or self.rows("change")
        return max(
            {(row["from_year"], row["to_year"]) for row in rows}, key=lambda p: (p[1], p[0]), default=None
        )


def gather_damage(conn: Connection[Any], mine_codes: Sequence[str], years: Sequence[int]) -> OverviewReport:
    """Damage by mine, year and class; for all mines also their sums, which count ground once.

    Raises:
        UsageError: a mine or a year is not in the database.

    """
    tables = {"damage": views.damage_report(conn, mine_codes, years)}
    if not mine_codes and not years:
        tables["by_year"] = views.damage_by_year(conn)
        tables["series_by_year"] = views.series_by_year(conn)
        tables["uncertainty"] = page_rows.uncertainty_rows(conn)
    if not years:
        tables["series"] = views.series_report(conn, mine_codes)
        tables["alerts"] = page_rows.alert_rows(conn, mine_codes)
    tables["gaps"] = views.gap_report(conn, mine_codes, years)
    return _overview(conn, "damage", mine_codes, None, tables)


def gather_change(conn: Connection[Any], mine_codes: Sequence[str], pair: Pair | None) -> OverviewReport:
    """Change by mine, pair of years and kind; for all mines also their sums and the ranking.

    Raises:
        UsageError: a mine is not in the database, or no mine was observed in both years.

    """
    tables = {"change": views.change_report(conn, mine_codes, pair)}
    if not mine_codes and pair is None:
        tables["by_year"] = views.change_by_year(conn)
        tables["series_by_year"] = views.series_by_year(conn)
        tables["ranking"] = views.ranking_report(conn)
    tables["gaps"] = views.gap_report(conn, mine_codes, pair or ())
    return _overview(conn, "change", mine_codes, None, tables)


def gather_region(conn: Connection[Any], name: str, layer: str | None) -> OverviewReport:
    """Damage of a region by year and class, its three series, and what its mines did.

    Raises:
        UsageError: there is no such region, or several.

    """
    region = regions.find_region(conn, name, layer)
    codes = list(region.mine_codes)
    tables = {
        "damage": regions.region_damage_report(conn, region.region_id),
        "series": regions.region_series_report(conn, region.region_id),
        "ranking": _of_mines(views.ranking_report(conn), codes),
        "sensitive": page_rows.sensitive_rows(conn, codes),
        "alerts": _of_mines(page_rows.alert_rows(conn), codes),
        "gaps": _of_mines(views.gap_report(conn), codes),
    }
    return _overview(conn, "region", codes, region, tables)


def gather_ranking(conn: Connection[Any], pair: Pair | None) -> OverviewReport:
    """Mines by new damage.

    Raises:
        UsageError: no mine was observed in both years.

    """
    return _overview(conn, "ranking", (), None, {"ranking": views.ranking_report(conn, pair)})


def gather_gaps(conn: Connection[Any], mine_codes: Sequence[str], years: Sequence[int]) -> OverviewReport:
    """What was not observed, and why.

    Raises:
        UsageError: a mine or a year is not in the database.

    """
    return _overview(conn, "gaps", mine_codes, None, {"gaps": views.gap_report(conn, mine_codes, years)})


def _overview(
    conn: Connection[Any],
    kind: str,
    mine_codes: Sequence[str],
    region: RegionHead | None,
    tables: dict[str, Report],
) -> OverviewReport:
    no_mines = region is not None and not mine_codes
    mines = [] if no_mines else page_rows.mine_heads(conn, mine_codes)
    return OverviewReport(kind, mines, region, page_rows.database_facts(conn), list_classes(conn), tables)


def _of_mines(report: Report, codes: Sequence[str]) -> Report:
    at = report.columns.index("mine_code")
    wanted = set(codes)
    return Report(report.columns, [row for row in report.rows if row[at] in wanted])
