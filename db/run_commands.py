"""`lode run ...`: which interpretation stands for a scene, and which counts where scenes overlap."""

from __future__ import annotations

import click

from db import runs
from db.connection import connect
from db.errors import UsageError
from db.reports.report import read_report
from db.settings import Settings


@click.group()
def run_group() -> None:
    """Ask for interpretations, list, prefer, cancel or withdraw them."""


@run_group.command("list")
@click.option("--year", type=click.IntRange(1, 9999), help="Only scenes of this year.")
@click.option("--all", "show_all", is_flag=True, help="Also failed, withdrawn and superseded ones.")
def list_(year: int | None, show_all: bool) -> None:
    """List interpretations (lode_api.run_history).

    Where runs of a year overlap, the one with the higher priority owns the ground, then the one whose scene
    has fewer clouds, then the later one.
    """
    from db.reports.table import print_table

    with connect(Settings()) as conn:
        runs = read_report(
            conn,
            "select ogc_fid as run_id, product, acquired_on, model, status, is_current, priority,"
            " observed_area_km2, owned_area_km2, withdrawn_reason from lode_api.run_history"
            " where (%(all)s or is_current) and (%(year)s::integer is null or"
            " extract(year from acquired_on) = %(year)s) order by acquired_on, ogc_fid",
            {"all": show_all, "year": year},
        )
        print_table(runs, title="Interpretations")


@run_group.command("request")
@click.option("--scene", "product", metavar="PRODUCT", help="Product name of the scene.")
@click.option("--mine", metavar="CODE", help="All scenes over this mine, with --year.")
@click.option("--year", type=click.IntRange(1, 9999), help="Year of the scenes over the mine.")
@click.option(
    "--model", metavar="NAME", help="Network. [default with --mine: the suitable one of each scene]"
)
@click.option("--make-current", is_flag=True, help="Let the run stand for its scene even if another does.")
def request(
    product: str | None, mine: str | None, year: int | None, model: str | None, make_current: bool
) -> None:
    """Put interpretations into the queue, for a worker to do; `lode status --watch` shows them.

    The same by SQL: select lode_api.request_inference('PRODUCT', 'NETWORK');
    select lode_api.request_mine('CODE', 2023).
    """
    by_scene = product is not None and model is not None and mine is None and year is None
    by_mine = mine is not None and year is not None and product is None and not make_current
    if not by_scene and not by_mine:
        raise UsageError("say --scene PRODUCT --model NAME, or --mine CODE --year YEAR")
    with connect(Settings()) as conn:
        if product is not None and model is not None:
            asked = [runs.request_scene(conn, product, model, becomes_current=make_current)]
        else:
            asked = runs.request_mine(conn, str(mine), int(year or 0), model)
        conn.commit()
        states = [runs.run_by_id(conn, run_id) for run_id in asked]
    for run in states:
        done = f"was published before ({'stands' if run.is_current else 'does not stand'} for its scene)"
        click.echo(f"run {run.run_id} {done if run.status == 'published' else 'is ' + run.status}")


@run_group.command("cancel")
@click.argument("run_id", type=int)
@click.option("--reason", help="Kept with the run.")
def cancel(run_id: int, reason: str | None) -> None:
    """Take back a run that waits or runs; its worker stops at the next window."""
    with connect(Settings()) as conn:
        runs.cancel_run(conn, run_id, reason)
        conn.commit()
    click.echo(f"run {run_id} was cancelled; nothing of it is published")


@run_group.command("prefer")
@click.argument("run_id", type=int)
@click.option("--priority", type=int, default=1, show_default=True, help="0: by rule; higher goes first.")
def prefer(run_id: int, priority: int) -> None:
    """Let a run own the ground that other runs of its year saw too."""
    with connect(Settings()) as conn:
        runs.set_priority(conn, run_id, priority)
        conn.commit()
    click.echo(f"run {run_id} has priority {priority}; areas and change were derived again")


@run_group.command("withdraw")
@click.argument("run_id", type=int)
@click.option("--reason", required=True, help="Kept with the run.")
def withdraw(run_id: int, reason: str) -> None:
    """Take a published run out of maps and areas."""
    with connect(Settings()) as conn:
        runs.withdraw_run(conn, run_id, reason)
        conn.commit()
    click.echo(f"run {run_id} was withdrawn; areas and change were derived again")


@run_group.command("reinstate")
@click.argument("run_id", type=int)
@click.option("--make-current", is_flag=True, help="Let it stand for its scene again.")
def reinstate(run_id: int, make_current: bool) -> None:
    """Undo a withdrawal."""
    with connect(Settings()) as conn:
        runs.reinstate_run(conn, run_id)
        if make_current:
            runs.make_current(conn, run_id)
        conn.commit()
    click.echo(f"run {run_id} is published again{' and current' if make_current else ''}")
