"""`lode qgis ...`: styles and a project for QGIS."""

from __future__ import annotations

from pathlib import Path

import click

from db.connection import connect
from db.errors import UsageError
from db.qgis.project import project_file, store_project
from db.qgis.project_files import check_target, write_project
from db.qgis.styles import install_styles, may_install_styles
from db.settings import Settings


@click.group()
def qgis_group() -> None:
    """Give QGIS the layers' styles and a project."""


@qgis_group.command("styles")
def styles_command() -> None:
    """Write the layers' styles into public.layer_styles, where QGIS looks for them.

    `lode up` and `lode db upgrade` do this too. Needed by hand after a restore under another name. Styles
    that people saved stay as they are.
    """
    with connect(Settings()) as conn:
        if not may_install_styles(conn):
            raise UsageError(
                f"the role {conn.info.user} may not write public.layer_styles; let its owner, or a role that "
                "may create tables in schema public, run `lode qgis styles`"
            )
        written = install_styles(conn)
        conn.commit()
    click.echo(f"{written} styles were written" if written else "the styles are up to date")


@qgis_group.command("project")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the project to this .qgz file instead of the database; replaces one of ours.",
)
@click.option(
    "--name", default="lode", show_default=True, help="Name of the project, in the database and as its title."
)
@click.option(
    "--scenes",
    default=10,
    show_default=True,
    type=click.IntRange(min=0),
    help="How many scenes to add as images, newest first.",
)
def project_command(out: Path | None, name: str, scenes: int) -> None:
    """Make a QGIS project with all layers in groups.

    Without --out it is stored in the database, where QGIS opens it with Project > Open From > PostgreSQL. It
    holds the address of the database but no password. A project that somebody saved in QGIS is never
    replaced, nor is any other file.
    """
    if out is not None:
        check_target(out)
    with connect(Settings()) as conn:
        content = project_file(conn, title=name, scene_count=scenes)
        if out is None:
            store_project(conn, name, content)
            conn.commit()
    if out is None:
        click.echo(f"the project {name} is in the database: Project > Open From > PostgreSQL, schema public")
        return
    write_project(out, content)
    click.echo(f"wrote {out}")
