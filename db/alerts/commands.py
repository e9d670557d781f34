"""`lode alert ...`: alerts on the terminal, and what the inspector says of them."""

from __future__ import annotations

import click

from db.alerts.reviews import (
    KINDS,
    LEVELS,
    RISEN,
    STATES,
    TO_REVIEW,
    alert_by_id,
    alert_list,
    alert_reviews,
    review_alert,
)
from db.connection import connect
from db.errors import UsageError
from db.reports.report import Report, csv_text, json_text
from db.settings import Settings

_IN_TABLE = (
    "alert_id",
    "rank",
    "level",
    "mine_code",
    "kind",
    "year",
    "area_m2",
    "share",
    "confidence",
    "agreeing_scene_count",
    "state",
)
"""What fits on a terminal; CSV and JSON have every column."""

_HEADINGS = {"alert_id": "id", "mine_code": "mine", "area_m2": "area m2", "agreeing_scene_count": "agreeing"}


@click.group()
def alert_group() -> None:
    """List damage alerts, confirm and reject them."""


@alert_group.command("list")
@click.option("--mine", "mines", multiple=True, metavar="CODE", help="Only this mine; may be repeated.")
@click.option(
    "--year", "years", multiple=True, type=click.IntRange(1, 9999), help="Only this year; may be repeated."
)
@click.option(
    "--level", "levels", multiple=True, type=click.Choice(LEVELS), help="Only this level; may be repeated."
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind; may be repeated."
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*STATES, RISEN, "all"]),
    default=TO_REVIEW,
    show_default=True,
    help="Only this state, or risen since its review; may be repeated.",
)
@click.option(
    "--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
def list_(
    mines: tuple[str, ...],
    years: tuple[int, ...],
    levels: tuple[str, ...],
    kinds: tuple[str, ...],
    states: tuple[str, ...],
    style: str,
) -> None:
    """List alerts to look at, newest year first, by rank.

    Those are open, or have risen since they were reviewed (the review stays; confirm or reject again).
    Rows of lode_api.damage_alert; CSV and JSON have all columns, with reason and note.
    """
    with connect(Settings()) as conn:
        report = alert_list(
            conn,
            mine_codes=mines,
            years=years,
            levels=levels,
            kinds=kinds,
            states=() if "all" in states else states,
        )
    if style == "csv":
        click.echo(csv_text(report), nl=False)
    elif style == "json":
        click.echo(json_text(report), nl=False)
    elif report.rows:
        _print_table(report)
    else:
        click.echo("no alert matches")


@alert_group.command("show")
@click.argument("alert_id", type=int, metavar="ID")
def show(alert_id: int) -> None:
    """Show everything about one alert, and every review of it."""
    with connect(Settings()) as conn:
        (alert,) = alert_by_id(conn, alert_id).dicts()
        reviews = alert_reviews(conn, alert_id).dicts()
    width = max(map(len, alert))
    for name, value in alert.items():
        if value is not None:
            click.echo(f"{name:<{width}}  {_shown(name, value)}")
    for review in reviews:
        said = f"{review['state']} at {review['level']}, {review['area_m2']:,.0f} m2"
        note = f": {review['note']}" if review["note"] else ""
        click.echo(f"{review['reviewed_at']:%Y-%m-%d %H:%M} {review['reviewed_by']} {said}{note}")


@alert_group.command("confirm")
@click.argument("alert_id", type=int, metavar="ID")
@click.option("--note", help="What you saw; without it the alert keeps its note.")
def confirm(alert_id: int, note: str | None) -> None:
    """Confirm an alert; it stays confirmed whatever is derived later.

    Confirm it again when you looked again: who, when and what is written down anew.
    """
    _review(alert_id, "confirmed", note)


@alert_group.command("reject")
@click.argument("alert_id", type=int, metavar="ID")
@click.option("--note", required=True, help="Why it is no damage.")
def reject(alert_id: int, note: str) -> None:
    """Reject an alert; it stays rejected whatever is derived later."""
    _review(alert_id, "rejected", note)


@alert_group.command("open")
@click.argument("alert_id", type=int, metavar="ID")
@click.option("--note", help="Why; without it the alert keeps its note.")
def open_(alert_id: int, note: str | None) -> None:
    """Take a review back: the alert is open again."""
    _review(alert_id, "open", note)


def _review(alert_id: int, state: str, note: str | None) -> None:
    if note is not None and not note.strip():
        raise UsageError("--note is empty; say in a few words what was seen")
    with connect(Settings()) as conn:
        review_alert(conn, alert_id, state, note)
    click.echo(f"alert {alert_id} is {state}")


def _print_table(report: Report) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Damage alerts")
    for name in _IN_TABLE:
        is_text = name in {"level", "mine_code", "kind", "state"}
        table.add_column(_HEADINGS.get(name, name), justify="left" if is_text else "right")
    for alert in report.dicts():
        if alert["has_risen_since_review"]:
            alert["state"] += f", {RISEN}"
        cells = ("" if alert[name] is None else _shown(name, alert[name]) for name in _IN_TABLE)
        table.add_row(*map(escape, cells))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


def _shown(name: str, value: object) -> str:
    if isinstance(value, float):
        if name == "share":
            return f"{value:.1%}"
        if name in {"longitude", "latitude"}:
            return f"{value:.6f}"
        return f"{value:.2f}" if name == "confidence" else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
