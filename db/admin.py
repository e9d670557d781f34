"""`lode db ...`: upgrade and check a database."""

from __future__ import annotations

import click

from db.accounting import refresh_all
from db.checks import check_lines, run_checks
from db.connection import connect, database_url
from db.settings import Settings
from db.upgrade import upgrade


@click.group()
def database_group() -> None:
    """Upgrade and check the database."""


@database_group.command("upgrade")
@click.option("--rebuild", is_flag=True, help="Rebuild lode_api even when nothing has changed.")
def upgrade_command(rebuild: bool) -> None:
    """Bring the database to this version: migrations and lode_api, in one transaction."""
    upgrade(database_url(Settings()), click.echo, rebuild=rebuild)


@database_group.command("check")
@click.pass_context
def check_command(ctx: click.Context) -> None:
    """Check the database; what is wrong or odd comes with a hint. Exit code 1 when something is wrong."""
    with connect(Settings(), application_name="lode db check") as conn:
        results = run_checks(conn)
    for line in check_lines(results):
        click.echo(line)
    ctx.exit(int(any(result.faults for result in results)))


@database_group.command("refresh")
def refresh_command() -> None:
    """Derive all areas by mine and year again from the published polygons."""
    mines = refresh_all(database_url(Settings()), progress=_say_progress)
    click.echo(f"areas and changes of all {mines} mines were derived again")


def _say_progress(done: int, total: int) -> None:
    end = "\n" if done == total else "\r"
    click.echo(f"{done} of {total} mines{end}", nl=False, err=True)
