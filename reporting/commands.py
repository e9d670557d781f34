"""``lode report ...``: rows of the views on the terminal, as files, or as a page to be signed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from db.connection import connect, read_as_of_now
from db.errors import UsageError
from db.settings import Settings
from reporting.delivery import FORMATS, chosen_format, csv_text, json_text, write_text, write_whole

if TYPE_CHECKING:
    from psycopg import Connection

    from db.reports.views import Pair, Report
    from reporting.words import Language

ROW_FORMATS = tuple(each for each in FORMATS if each != "html")
"""Formats of reports that are rows only."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Delivery:
    """How a report is wanted: format, file (None: standard output), language of a page, table of many."""

    style: str
    out: Path | None
    language: Language
    table: str | None = None


@click.group()
def report_group() -> None:
    """Print reports, write them as files, make pages to sign."""


def _delivery_options(command: Command) -> Command:
    for option in (
        click.option(
            "--lang", "language", type=click.Choice(["en", "zh", "both"]), default="both", show_default=True,
            help="Language of a page.",
        ),
        click.option(
            "--out", type=click.Path(path_type=Path), metavar="FILE",
            help="Write to this file, which is replaced if it exists; its name tells the format.",
        ),
        click.option(
            "--format", "style", type=click.Choice(FORMATS),
            help="table (default), csv, json, gpkg (with --out), or html: one file that opens offline.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _row_options(command: Command) -> Command:
    """The options of reports that are rows only, not pages."""
    command = click.option(
        "--out", type=click.Path(path_type=Path), metavar="FILE",
        help="Write to this file, which is replaced if it exists; its name tells the format.",
    )(command)  # fmt: skip
    return click.option(
        "--format", "style", type=click.Choice(ROW_FORMATS),
        help="table (default), csv, json, or gpkg (with --out).",
    )(command)  # fmt: skip


def _mine_option(command: Command) -> Command:
    return click.option(
        "--mine", "mines", multiple=True, metavar="CODE", help="Only this mine; may be repeated."
    )(command)


def _year_option(command: Command) -> Command:
    return click.option("--year", "years", multiple=True, type=int, help="Only this year; may be repeated.")(
        command
    )


def _pair_option(command: Command) -> Command:
    return click.option(
        "--years", "pair", callback=_pair, metavar="FROM-TO", help="Only between these years, e.g. 2022-2023."
    )(command)


def _table_option(command: Command) -> Command:
    return click.option(
        "--table",
        "table",
        metavar="NAME",
        help="Only this table, e.g. change; CSV holds one: damage by default.",
    )(command)


def _pair(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Pair | None:
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d{4})\s*[-–:]\s*(\d{4})\s*", value)
    if found is None:
        raise UsageError(f"--years {value}: two years are wanted, the earlier first: 2022-2023")
    first, last = int(found[1]), int(found[2])
    if first >= last:
        raise UsageError(f"--years {value}: the earlier year comes first: {last}-{first}")
    return first, last


@report_group.command("damage")
@_mine_option
@_year_option
@_delivery_options
def damage(
    mines: tuple[str, ...], years: tuple[int, ...], style: str | None, out: Path | None, language: Language
) -> None:
    """Damaged area by mine, year and class.

    Rows of lode_api.damage_by_mine_year. Areas are geodesic, in m2, over the observed part of the mine; an
    empty area was not observed, and the last column says why. A page of all mines also sums them, ground
    counted once.
    """
    from reporting.overview_report import gather_damage

    delivery = Delivery(chosen_format(style, out), out, language)
    _overview(
        delivery, "Damaged area by mine, year and class", lambda conn: gather_damage(conn, mines, years)
    )


@report_group.command("change")
@_mine_option
@_pair_option
@_delivery_options
def change(
    mines: tuple[str, ...], pair: Pair | None, style: str | None, out: Path | None, language: Language
) -> None:
    """New, treated, persisting damage by mine, years, kind.

    Rows of lode_api.change_by_mine_year, over ground that both years observed: damage of the later year is
    damage of the earlier one, plus new, minus treated. A page of all mines also sums them, with the share of
    each kind.
    """
    from reporting.overview_report import gather_change

    delivery = Delivery(chosen_format(style, out), out, language)
    _overview(delivery, "Change by mine, years and kind", lambda conn: gather_change(conn, mines, pair))


@report_group.command("mine")
@click.argument("code")
@_table_option
@_delivery_options
def mine(code: str, table: str | None, style: str | None, out: Path | None, language: Language) -> None:
    """Everything about one mine: the page that is signed.

    As html, maps, pictures, areas, change, gaps and evidence of the mine CODE. As table or json, every table
    of it; as csv, the one that --table names: damage, change, transition, series, restoration,
    outside_licence, sensitive, alerts, uncertainty, gaps, runs or labels.
    """
    from reporting.mine_page import mine_page
    from reporting.mine_report import gather_mine

    delivery = Delivery(chosen_format(style, out), out, language, table)
    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = gather_mine(conn, code)
        if delivery.style == "html":
            write_text(mine_page(conn, found, language), out)
        elif delivery.style == "gpkg":
            _write_geopackage(conn, delivery, [code], found.tables)
        else:
            _write_rows(delivery, f"Mine {code}", found.tables)


@report_group.command("region")
@click.argument("name")
@click.option("--layer", metavar="KEY", help="Layer of the region, where several have one of this name.")
@_table_option
@_delivery_options
def region(
    name: str, layer: str | None, table: str | None, style: str | None, out: Path | None, language: Language
) -> None:
    """Damage of a region, in mines and outside of them.

    NAME is the region's name or code; rows of lode_api.damage_by_region_year. As csv, the table that --table
    names: damage, series, ranking, sensitive, alerts or gaps.
    """
    from reporting.overview_report import gather_region

    delivery = Delivery(chosen_format(style, out), out, language, table)
    _overview(delivery, f"Region {name}", lambda conn: gather_region(conn, name, layer), all_tables=True)


@report_group.command("ranking")
@_pair_option
@_delivery_options
def ranking(pair: Pair | None, style: str | None, out: Path | None, language: Language) -> None:
    """Mines by new damage, with share and confidence.

    Rows of lode_api.mine_ranking, for pairs of consecutive years.
    """
    from reporting.overview_report import gather_ranking

    delivery = Delivery(chosen_format(style, out), out, language)
    _overview(delivery, "Mines by new damage", lambda conn: gather_ranking(conn, pair))


@report_group.command("gaps")
@_mine_option
@_year_option
@_delivery_options
def gaps(
    mines: tuple[str, ...], years: tuple[int, ...], style: str | None, out: Path | None, language: Language
) -> None:
    """What was not observed, and why.

    Rows of lode_api.data_gap: mines that a year did not observe, or not wholly.
    """
    from reporting.overview_report import gather_gaps

    delivery = Delivery(chosen_format(style, out), out, language)
    _overview(delivery, "What was not observed", lambda conn: gather_gaps(conn, mines, years))


@report_group.command("licence")
@_mine_option
@_year_option
@_row_options
def licence(mines: tuple[str, ...], years: tuple[int, ...], style: str | None, out: Path | None) -> None:
    """Damage outside the licence, by mine, year and class.

    Rows of lode_api.outside_licence; mines without a licence boundary have none.
    """
    from db.reports.views import outside_licence_report

    delivery = Delivery(chosen_format(style, out, ROW_FORMATS), out, "both")
    with connect(Settings()) as conn:
        found = outside_licence_report(conn, mines, years)
        if delivery.style == "gpkg":
            _write_geopackage(conn, delivery, mines, {"outside_licence": found})
        else:
            _write_rows(delivery, "Damage outside the licence", {"outside_licence": found}, one=True)


@report_group.command("evidence")
@click.argument("code")
@click.argument("year", type=int)
@click.option("--class", "land_class", metavar="KEY", help="Only this class, e.g. open_pit.")
@_row_options
def evidence(code: str, year: int, land_class: str | None, style: str | None, out: Path | None) -> None:
    """Polygons, runs, scenes, models behind a mine's numbers.

    Rows of lode_api.evidence: every piece of ground that counts for the mine CODE in YEAR; their areas add up
    to those that lode report damage prints.
    """
    from db.reports.views import evidence_report

    delivery = Delivery(chosen_format(style, out, ROW_FORMATS), out, "both")
    with connect(Settings()) as conn:
        found = evidence_report(conn, code, year, land_class)
        if delivery.style == "gpkg":
            _write_geopackage(conn, delivery, [code], {"evidence": found})
        else:
            _write_rows(delivery, f"Evidence of mine {code}, {year}", {"evidence": found}, one=True)


def _overview(
    delivery: Delivery, title: str, gather: Callable[[Connection[Any]], Any], *, all_tables: bool = False
) -> None:
    """Read a report of many mines in one transaction and deliver it."""
    from reporting.overview_page import overview_page

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = gather(conn)
        if delivery.style == "html":
            write_text(overview_page(found, delivery.language), delivery.out)
        elif delivery.style == "gpkg":
            _write_geopackage(conn, delivery, [head.code for head in found.mines], found.tables)
        else:
            first = next(iter(found.tables))
            tables = found.tables if all_tables else {first: found.tables[first]}
            _write_rows(delivery, title, tables, one=not all_tables)


def _write_rows(delivery: Delivery, title: str, tables: Mapping[str, Report], *, one: bool = False) -> None:
    from db.reports.table import print_table

    if delivery.table is not None and delivery.table not in tables:
        raise UsageError(f"--table {delivery.table}: there is no such table; choose from {', '.join(tables)}")
    chosen = {delivery.table: tables[delivery.table]} if delivery.table else dict(tables)
    first = next(iter(chosen.values()))
    if delivery.style == "csv":
        write_text(csv_text(first), delivery.out)
    elif delivery.style == "json":
        write_text(json_text(first if one or delivery.table else chosen), delivery.out)
    else:
        for name, report in chosen.items():
            print_table(report, title=title if one else f"{title}: {name}")


def _write_geopackage(
    conn: Connection[Any], delivery: Delivery, codes: Sequence[str], tables: Mapping[str, Report]
) -> None:
    from db.reports.ground import GROUND_LAYERS, ground_layer
    from reporting.geopackage import write_geopackage

    if delivery.out is None:
        raise UsageError("a GeoPackage is a file: name it with --out FILE.gpkg")
    layers = {name: ground_layer(conn, name, codes) for name in GROUND_LAYERS} if codes else {}
    renamed = {f"table_{name}": report for name, report in tables.items()}
    write_whole(delivery.out, lambda path: write_geopackage(path, layers, renamed))
    click.echo(f"wrote {delivery.out}", err=True)
