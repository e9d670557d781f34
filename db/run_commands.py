"""`lode run ...`: which interpretation stands for a scene, and which counts where scenes overlap."""

from __future__ import annotations

import click

from db import runs
from db.connection import connect
from db.reports.report import read_report
from db.settings import Settings


@click.group()
def run_group() -> None:
    """List interpretations, prefer or withdraw them."""


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
