"""How a command of ``lode report`` is told what is wanted, and delivers it: rows, a file, or a page."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.errors import UsageError
from reporting.delivery import FORMATS, chosen_format, write_text, write_whole

if TYPE_CHECKING:
    from db.reports.report import Report
    from reporting.words import Language

ROW_FORMATS = tuple(each for each in FORMATS if each != "html")
"""Formats of reports that are rows only."""


@dataclass(frozen=True)
class Delivery:
    """How a report is wanted.

    Attributes:
        style: format.
        out: file; None: standard output.
        overwrite: replace the file whatever it holds.
        language: of a page.
        table: of many; None: all, or the first.

    """

    style: str
    out: Path | None
    overwrite: bool = False
    language: Language = "both"
    table: str | None = None


def delivered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say how its report is wanted, as one argument ``delivery``."""

    @functools.wraps(command)
    def call(
        *, style: str | None, out: Path | None, overwrite: bool, language: Language, table: str | None,
        **rest: Any,
    ) -> None:  # fmt: skip
        command(delivery=Delivery(chosen_format(style, out), out, overwrite, language, table), **rest)

    for option in (
        click.option(
            "--lang", "language", type=click.Choice(["en", "zh", "both"]), default="both", show_default=True,
            help="Language of a page.",
        ),
        _overwrite_option,
        _out_option,
        click.option(
            "--table", metavar="NAME",
            help="Only this table of the report, e.g. gaps; a wrong name lists them. CSV holds one: the "
            "first where none is named.",
        ),
        click.option(
            "--format", "style", type=click.Choice(FORMATS),
            help="table (default), csv, json, gpkg (with --out), or html: one file that opens offline.",
        ),
    ):  # fmt: skip
        call = option(call)
    return call


def delivered_rows(command: Callable[..., None]) -> Callable[..., None]:
    """As ``delivered``, of reports that are rows only, not pages."""

    @functools.wraps(command)
    def call(
        *, style: str | None, out: Path | None, overwrite: bool, table: str | None = None, **rest: Any
    ) -> None:
        delivery = Delivery(chosen_format(style, out, ROW_FORMATS), out, overwrite, table=table)
        command(delivery=delivery, **rest)

    style_option = click.option(
        "--format", "style", type=click.Choice(ROW_FORMATS),
        help="table (default), csv, json, or gpkg (with --out).",
    )  # fmt: skip
    return style_option(_out_option(_overwrite_option(call)))


_out_option = click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE",
    help="Write to this file; its name tells the format. An earlier report there is replaced.",
)  # fmt: skip
_overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace FILE also where it holds something else than this report."
)


def chosen_tables(delivery: Delivery, tables: Mapping[str, Report]) -> Mapping[str, Report]:
    """The tables that are wanted.

    Raises:
        UsageError: there is no such table.

    """
    if delivery.table is None:
        return tables
    if delivery.table not in tables:
        raise UsageError(f"--table {delivery.table}: there is no such table; choose from {', '.join(tables)}")
    return {delivery.table: tables[delivery.table]}


def write_page(delivery: Delivery, page: str) -> None:
    """Deliver a page.

    Raises:
        UsageError: one table of it is wanted, or it cannot be written.

    """
    if delivery.table is not None:
        raise UsageError(
            f"--table {delivery.table}: a page holds all tables; leave --table out, or choose csv"
        )
    write_text(page, delivery.out, style="html", overwrite=delivery.overwrite)


def write_rows(delivery: Delivery, title: str, tables: Mapping[str, Report], *, one: bool = False) -> None:
    """Deliver tables as rows; ``one``: the first stands for the report where none is named."""
    from db.reports.report import csv_text, json_text
    from db.reports.table import print_table

    chosen = chosen_tables(delivery, tables)
    name, first = next(iter(chosen.items()))
    if one:
        chosen = {name: first}
    if delivery.style == "csv":
        write_text(csv_text(first), delivery.out, style="csv", overwrite=delivery.overwrite)
    elif delivery.style == "json":
        text = json_text(first if one or delivery.table else chosen)
        write_text(text, delivery.out, style="json", overwrite=delivery.overwrite)
    else:
        for each, report in chosen.items():
            print_table(report, title=title if one and delivery.table is None else f"{title}: {each}")
    rest = [each for each in tables if each not in chosen]
    if rest and delivery.table is None:
        click.echo(f"other tables of this report: --table {', '.join(rest)}", err=True)


def write_layers(
    delivery: Delivery, layers: Mapping[str, Report], tables: Mapping[str, Report], *, about: str
) -> None:
    """Deliver outlines and tables as a GeoPackage.

    Args:
        delivery: how it is wanted.
        layers: by name; the last column, geom, is WKB of a polygon in EPSG:4326.
        tables: of the report, by name; their layers are called ``table_...``.
        about: whose report it is.

    Raises:
        UsageError: no file is named, there is no such table, or it cannot be written.

    """
    from reporting.geopackage import is_geopackage_of_ours, write_geopackage

    out = delivery.out
    if out is None:
        raise UsageError("a GeoPackage is a file: name it with --out FILE.gpkg")
    renamed = {f"table_{name}": report for name, report in chosen_tables(delivery, tables).items()}
    write_whole(
        out,
        lambda path: write_geopackage(path, layers, renamed, about=about, name=str(out)),
        is_report=is_geopackage_of_ours,
        overwrite=delivery.overwrite,
    )
