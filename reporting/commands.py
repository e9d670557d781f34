"""``lode report ...``: rows of the views on the terminal, as files, or as a page to be signed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from db.connection import connect, read_as_of_now
from db.errors import UsageError
from db.settings import Settings
from reporting.command_delivery import (
    Delivery,
    delivered,
    delivered_rows,
    write_layers,
    write_page,
    write_rows,
)
from reporting.prospect_command import prospect

if TYPE_CHECKING:
    from psycopg import Connection

    from db.reports.known import Pair
    from db.reports.regions import RegionHead
    from db.reports.report import Report

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def report_group() -> None:
    """Print reports, write them as files, make pages to sign."""


report_group.add_command(prospect)


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
@delivered
def damage(delivery: Delivery, mines: tuple[str, ...], years: tuple[int, ...]) -> None:
    """Damaged area by mine, year and class.

    Rows of lode_api.damage_by_mine_year. Areas are geodesic, in m2, over the observed part of the mine; an
    empty area was not observed, and the last column says why. A page of all mines also sums them, ground
    counted once.
    """
    from reporting.overview_report import gather_damage

    title = "Damaged area by mine, year and class"
    _overview(delivery, title, lambda conn: gather_damage(conn, mines or None, years or None))


@report_group.command("change")
@_mine_option
@_pair_option
@delivered
def change(delivery: Delivery, mines: tuple[str, ...], pair: Pair | None) -> None:
    """New, treated, persisting damage by mine, years, kind.

    Rows of lode_api.change_by_mine_year, over ground that both years observed: damage of the later year is
    damage of the earlier one, plus new, minus treated. A page of all mines also sums them, with the share of
    each kind.
    """
    from reporting.overview_report import gather_change

    title = "Change by mine, years and kind"
    _overview(delivery, title, lambda conn: gather_change(conn, mines or None, pair))


@report_group.command("mine")
@click.argument("code")
@delivered
def mine(delivery: Delivery, code: str) -> None:
    """Everything about one mine: the page that is signed.

    As html, maps, pictures, areas, change, gaps and evidence of the mine CODE. As table or json, every table
    of it; as csv, the one that --table names: damage, change, transition, series, restoration,
    outside_licence, outside_licence_years, sensitive, sensitive_years, alerts, uncertainty,
    uncertainty_warnings, gaps, runs, labels or summary.
    """
    from reporting.mine_page import mine_page
    from reporting.mine_report import gather_mine

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = gather_mine(conn, code)
        if delivery.style == "html":
            write_page(delivery, mine_page(conn, found, delivery.language))
        elif delivery.style == "gpkg":
            _write_geopackage(conn, delivery, [code], found.tables, about=f"mine {code}")
        else:
            write_rows(delivery, f"Mine {code}", found.tables)


@report_group.command("region")
@click.argument("name")
@click.option("--layer", metavar="KEY", help="Layer of the region, where several have one of this name.")
@delivered
def region(delivery: Delivery, name: str, layer: str | None) -> None:
    """Damage of a region, in mines and outside of them.

    NAME is the region's name or code; rows of lode_api.damage_by_region_year. As csv, the table that --table
    names: damage and series, which are of the region; mines, ranking, sensitive, sensitive_years, alerts or
    gaps, which are of the mines that lie in it, wholly or in part, with the figures of the whole mine.
    """
    from reporting.overview_report import gather_region

    _overview(delivery, f"Region {name}", lambda conn: gather_region(conn, name, layer), all_tables=True)


@report_group.command("ranking")
@_pair_option
@delivered
def ranking(delivery: Delivery, pair: Pair | None) -> None:
    """Mines by new damage, with share and confidence.

    Rows of lode_api.mine_ranking, for pairs of consecutive years.
    """
    from reporting.overview_report import gather_ranking

    _overview(delivery, "Mines by new damage", lambda conn: gather_ranking(conn, pair))


@report_group.command("gaps")
@_mine_option
@_year_option
@delivered
def gaps(delivery: Delivery, mines: tuple[str, ...], years: tuple[int, ...]) -> None:
    """What was not observed, and why.

    Rows of lode_api.data_gap: mines that a year did not observe, or not wholly.
    """
    from reporting.overview_report import gather_gaps

    _overview(delivery, "What was not observed", lambda conn: gather_gaps(conn, mines or None, years or None))


@report_group.command("licence")
@_mine_option
@_year_option
@click.option("--table", metavar="NAME", help="outside_licence: by class too, mines with a boundary only.")
@delivered_rows
def licence(delivery: Delivery, mines: tuple[str, ...], years: tuple[int, ...]) -> None:
    """Damage outside the licence, by mine and year.

    Rows of lode_api.outside_licence_by_mine_year. An empty area is not known, and finding and reason say why:
    no licence boundary is stored, or the year did not observe the mine. By class, of mines whose boundary is
    stored: --table outside_licence, rows of lode_api.outside_licence.
    """
    from db.reports.views import licence_findings, outside_licence_report

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = {
            "outside_licence_years": licence_findings(conn, mines or None, years or None),
            "outside_licence": outside_licence_report(conn, mines or None, years or None),
        }
        if delivery.style == "gpkg":
            about = "damage outside the licence"
            _write_geopackage(conn, delivery, mines or None, found, about=about)
        else:
            write_rows(delivery, "Damage outside the licence", found, one=True)


@report_group.command("evidence")
@click.argument("code")
@click.argument("year", type=int)
@click.option("--class", "land_class", metavar="KEY", help="Only this class, e.g. open_pit.")
@delivered_rows
def evidence(delivery: Delivery, code: str, year: int, land_class: str | None) -> None:
    """Polygons, runs, scenes, models behind a mine's numbers.

    Rows of lode_api.evidence: every piece of ground that counts for the mine CODE in YEAR; their areas add up
    to those that lode report damage prints.
    """
    from db.reports.views import evidence_report

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = {"evidence": evidence_report(conn, code, year, land_class)}
        title = f"Evidence of mine {code}, {year}"
        if delivery.style == "gpkg":
            _write_geopackage(conn, delivery, [code], found, about=title)
        else:
            write_rows(delivery, title, found, one=True)


def _overview(
    delivery: Delivery, title: str, gather: Callable[[Connection[Any]], Any], *, all_tables: bool = False
) -> None:
    """Read a report of many mines in one transaction and deliver it."""
    from reporting.overview_page import overview_page

    with connect(Settings()) as conn:
        read_as_of_now(conn)
        found = gather(conn)
        if delivery.style == "html":
            write_page(delivery, overview_page(found, delivery.language))
        elif delivery.style == "gpkg":
            about = f"{title}; mines that lie in it, wholly or in part" if found.region else title
            codes = [head.code for head in found.mines]
            _write_geopackage(conn, delivery, codes, found.tables, about=about, region=found.region)
        else:
            write_rows(delivery, title, found.tables, one=not all_tables)


def _write_geopackage(
    conn: Connection[Any],
    delivery: Delivery,
    codes: Sequence[str] | None,
    tables: Mapping[str, Report],
    *,
    about: str,
    region: RegionHead | None = None,
) -> None:
    """Write the ground of mines (None: of all) and tables to a GeoPackage."""
    from db.reports.ground import GROUND_LAYERS, ground_layer
    from db.reports.regions import region_layer

    layers = {name: ground_layer(conn, name, codes) for name in GROUND_LAYERS}
    if region is not None:
        layers = {"region": region_layer(conn, region), **layers}
    write_layers(delivery, layers, tables, about=about)
