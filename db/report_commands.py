"""`lode report ...`: rows of the views on the terminal, as CSV or as JSON."""

from __future__ import annotations

import csv
import json
import sys

import click

from db.connection import connect
from db.reports import Report, damage_report
from db.settings import Settings


@click.group()
def report_group() -> None:
    """Print reports from the views."""


@report_group.command("damage")
@click.option("--mine", "mines", multiple=True, metavar="CODE", help="Only this mine; may be repeated.")
@click.option("--year", "years", multiple=True, type=int, help="Only this year; may be repeated.")
@click.option(
    "--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
def damage(mines: tuple[str, ...], years: tuple[int, ...], style: str) -> None:
    """Damaged area by mine, year and class (lode_api.damage_by_mine_year).

    Areas are geodesic, in m2, over the observed part of the mine; an empty area was not observed, and the
    last column says why.
    """
    with connect(Settings()) as conn:
        report = damage_report(conn, mine_codes=mines, years=years)
    if style == "csv":
        _print_csv(report)
    elif style == "json":
        _print_json(report)
    else:
        print_table(report, title="Damaged area by mine, year and class")


def _print_csv(report: Report) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(report.columns)
    writer.writerows(report.rows)


def _print_json(report: Report) -> None:
    rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
    click.echo(json.dumps(rows, ensure_ascii=False, indent=1))


def print_table(report: Report, *, title: str) -> None:
    """Print a report as a table; areas in whole m2 with thousands separated, shares in per cent."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for name in report.columns:
        number = name.endswith(("_m2", "_fraction", "_count")) or name == "year"
        table.add_column(name, justify="right" if number else "left")
    for row in report.rows:
        table.add_row(*(_cell(name, value) for name, value in zip(report.columns, row, strict=True)))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1%}" if name.endswith("_fraction") else f"{value:,.0f}"
    return str(value)
