"""What reports of many mines state: all of them, some, or those of a region; tables read from the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import Connection

from db.classes import LandClass, list_classes
from db.reports import page_rows, regions, views
from db.reports.known import Pair
from db.reports.page_rows import DatabaseFacts, MineHead
from db.reports.regions import RegionHead
from db.reports.report import Report, Row
from reporting.cautions import warnings_of
from reporting.invocation import report_command
from reporting.rows import fingerprint


@dataclass(frozen=True)
class OverviewReport:
    """Tables of many mines.

    Attributes:
        kind: damage, change, region, ranking or gaps.
        mines: the mines spoken of.
        region: the region, where it is one's report.
        facts: the database.
        classes: all classes.
        tables: by the names that ``--table`` takes; the first is what CSV holds without it.
        words: what follows ``lode report`` in the command that makes this report.

    """

    kind: str
    mines: list[MineHead]
    region: RegionHead | None
    facts: DatabaseFacts
    classes: list[LandClass]
    tables: dict[str, Report]
    words: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the numbers."""
        return fingerprint(self.tables)

    def rows(self, table: str) -> list[Row]:
        """Rows of a table by column name; none where this report has no such table."""
        return self.tables[table].dicts() if table in self.tables else []

    def command_for(self, table: str) -> str:
        """The command that prints all of a table."""
        return report_command(self.words, table)

    @cached_property
    def newest_pair(self) -> Pair | None:
        """The pair of years that ends last, of those that the ranking or the change knows."""
        rows = self.rows("ranking") or self.rows("change")
        return max(
            {(row["from_year"], row["to_year"]) for row in rows}, key=lambda p: (p[1], p[0]), default=None
        )


def gather_damage(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> OverviewReport:
    """Damage by mine, year and class; for all mines also their sums, which count ground once.

    Args:
        conn: connection.
        mine_codes: only these mines; None means all.
        years: only these years; None means all.

    Raises:
        UsageError: a mine or a year is not in the database.

    """
    tables = {"damage": views.damage_report(conn, mine_codes, years)}
    if mine_codes is None and years is None:
        tables["by_year"] = views.damage_by_year(conn)
        tables["series_by_year"] = views.series_by_year(conn)
        tables["uncertainty"] = page_rows.uncertainty_rows(conn)
        tables["uncertainty_warnings"] = warnings_of(conn, tables["uncertainty"])
    tables["series"] = views.series_report(conn, mine_codes, years)
    if years is None:
        tables["alerts"] = page_rows.alert_rows(conn, mine_codes)
    tables["gaps"] = views.gap_report(conn, mine_codes, years)
    words = ["damage", *_options("--mine", mine_codes), *_options("--year", years)]
    return _overview(conn, "damage", mine_codes, None, tables, words)


def gather_change(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, pair: Pair | None = None
) -> OverviewReport:
    """Change by mine, pair of years and kind; for all mines also their sums and the ranking.

    Args:
        conn: connection.
        mine_codes: only these mines; None means all.
        pair: only the change between these years; None means every pair.

    Raises:
        UsageError: a mine is not in the database, or no mine was observed in both years.

    """
    tables = {"change": views.change_report(conn, mine_codes, pair)}
    if mine_codes is None and pair is None:
        tables["by_year"] = views.change_by_year(conn)
        tables["series_by_year"] = views.series_by_year(conn)
        tables["ranking"] = views.ranking_report(conn)
    tables["gaps"] = views.gap_report(conn, mine_codes, pair)
    words = ["change", *_options("--mine", mine_codes), *_pair_option(pair)]
    return _overview(conn, "change", mine_codes, None, tables, words)


def gather_region(conn: Connection[Any], name: str, layer: str | None) -> OverviewReport:
    """Damage of a region by year and class, its three series, and what the mines that lie in it did.

    ``damage`` and ``series`` hold the region's own share. The tables of mines hold those that lie in the
    region, wholly or in part, each with the figures of the whole mine.

    Raises:
        UsageError: there is no such region, or several.

    """
    region = regions.find_region(conn, name, layer)
    codes = list(region.mine_codes)
    tables = {
        "damage": regions.region_damage_report(conn, region),
        "series": regions.region_series_report(conn, region),
        "mines": regions.region_mines_report(conn, region),
        "ranking": views.ranking_report(conn, mine_codes=codes),
        "sensitive": page_rows.sensitive_rows(conn, codes),
        "sensitive_years": views.sensitive_findings(conn, codes),
        "alerts": page_rows.alert_rows(conn, codes),
        "gaps": views.gap_report(conn, codes),
    }
    words = ["region", region.code, "--layer", region.layer]
    return _overview(conn, "region", codes, region, tables, words)


def gather_ranking(conn: Connection[Any], pair: Pair | None) -> OverviewReport:
    """Mines by new damage.

    Raises:
        UsageError: no mine was observed in both years.

    """
    tables = {"ranking": views.ranking_report(conn, pair)}
    return _overview(conn, "ranking", None, None, tables, ["ranking", *_pair_option(pair)])


def gather_gaps(
    conn: Connection[Any], mine_codes: Sequence[str] | None = None, years: Sequence[int] | None = None
) -> OverviewReport:
    """What was not observed, and why; None means all mines, or all years.

    Raises:
        UsageError: a mine or a year is not in the database.

    """
    tables = {"gaps": views.gap_report(conn, mine_codes, years)}
    words = ["gaps", *_options("--mine", mine_codes), *_options("--year", years)]
    return _overview(conn, "gaps", mine_codes, None, tables, words)


def _overview(
    conn: Connection[Any],
    kind: str,
    mine_codes: Sequence[str] | None,
    region: RegionHead | None,
    tables: dict[str, Report],
    words: Sequence[str],
) -> OverviewReport:
    mines = page_rows.mine_heads(conn, mine_codes)
    facts = page_rows.database_facts(conn)
    return OverviewReport(kind, mines, region, facts, list_classes(conn), tables, tuple(words))


def _options(name: str, values: Sequence[object] | None) -> list[str]:
    return [word for value in values or () for word in (name, str(value))]


def _pair_option(pair: Pair | None) -> list[str]:
    return [] if pair is None else ["--years", f"{pair[0]}-{pair[1]}"]
