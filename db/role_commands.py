"""`lode role ...`: logins that read, analyse, work, or own mines."""

from __future__ import annotations

import click

from db.connection import connect
from db.role_logins import KINDS, add_login, list_logins, remove_login
from db.settings import Settings


@click.group()
def role_group() -> None:
    """Give people and programs logins of their own."""


@role_group.command("add")
@click.argument("name")
@click.option("--as", "kind", type=click.Choice(list(KINDS)), required=True, help="What it may do.")
@click.option("--mine", "mines", multiple=True, help="Code of a mine it owns; may be given again.")
@click.option("--password/--no-password", default=False, help="Ask for a password.  [default: none]")
def add(name: str, kind: str, mines: tuple[str, ...], password: bool) -> None:
    """Make a login NAME.

    A reader sees maps and reports; an analyst edits labels, mines and reviews as well; a worker computes. An
    owner sees its own mines alone, in the views lode_api.own_*; adding it again gives it further mines.
    """
    secret = click.prompt("Password", hide_input=True, confirmation_prompt=True) if password else None
    with connect(Settings()) as conn:
        add_login(conn, name, kind, mines=mines, password=secret)
        conn.commit()
    click.echo(f"login {name} was added as {kind}" + (f" of {', '.join(mines)}" if mines else ""))


@role_group.command("list")
def list_() -> None:
    """List the logins and what they are."""
    with connect(Settings()) as conn:
        logins = list_logins(conn)
    if not logins:
        click.echo("no login was added; `lode role add NAME --as reader` adds one")
    for login in logins:
        mines = f"  {', '.join(login.mines)}" if login.mines else ""
        barred = "" if login.can_log_in else "  cannot log in"
        click.echo(f"{login.name}  {', '.join(login.kinds)}{mines}{barred}")


@role_group.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Drop the login NAME; what it wrote stays, with its name."""
    with connect(Settings()) as conn:
        remove_login(conn, name)
        conn.commit()
    click.echo(f"login {name} was removed")
