"""The commands that make, start, stop, describe and open the database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

import click
import psycopg
from psycopg import pq

from db.connection import connect, database_url, describe, is_transient, safe_url
from db.embedded import PORT, SUPERUSER, Cluster, ClusterStatus
from db.errors import RetryError, UsageError
from db.settings import Settings

NOT_RUNNING = 3
"""Exit code of ``lode status`` when nothing runs, as of init scripts."""

LITTLE_ROOM_BYTES = 1_000_000_000


@click.command()
def up() -> None:
    """Start the database, make it where it is missing, upgrade it.

    Without LODE_DATABASE_URL this is a private PostgreSQL cluster in LODE_HOME, which listens on a Unix
    socket only. Calling it again does no harm.
    """
    settings = Settings()
    if settings.database_url:
        click.echo(
            "LODE_DATABASE_URL is set: that server is managed elsewhere, only its database is upgraded"
        )
        url = database_url(settings)
        connect(url).close()  # fails at once where the upgrade would wait for a server that restarts
    else:
        cluster = Cluster(settings.home)
        cluster.ensure_running(click.echo)
        _warn_of_little_room(cluster)
        url = _create_database(cluster, settings.database)
    _upgrade(url)
    click.echo(f"ready: {safe_url(url)}")


@click.command()
def down() -> None:
    """Stop the private database.

    Open transactions are rolled back; nothing else is lost.
    """
    settings = Settings()
    if Cluster(settings.home).stop():
        click.echo(f"the private cluster in {settings.home} is stopped")
    else:
        click.echo(f"no private cluster runs in {settings.home}")
    if settings.database_url:
        click.echo("LODE_DATABASE_URL is set: that server is managed elsewhere and was left alone")


@click.command()
@click.option("--watch", "watches", is_flag=True, help="Show what workers do, again and again, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--times", type=click.IntRange(min=1), help="Looks in all, with --watch.")
@click.pass_context
def status(ctx: click.Context, watches: bool, every_s: float, times: int | None) -> None:
    """Tell whether the database runs and how to connect.

    Exit code 0 when it runs, 3 when it does not.
    """
    settings = Settings()
    if watches:
        from db.watch import require_current
        from db.watch_screen import watch

        url = database_url(settings)
        with connect(url) as conn:
            require_current(conn)
        watch(url, every_s, times=times)
        return
    if settings.database_url:
        ctx.exit(_external_status(settings))
    found = Cluster(settings.home).status()
    for name, value in _status_lines(found, settings.database):
        click.echo(f"{name:<16}{value}")
    ctx.exit(0 if found.is_running else NOT_RUNNING)


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],  # -h is psql's
    }
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database.

    Every argument is psql's: `lode psql -c 'select 1'`, `lode psql -f file.sql`.
    """
    settings = Settings()
    url = database_url(settings)
    connect(url).close()  # psql's own message would not say what to do
    program = _psql_program()
    os.execve(program, [program, *arguments], psql_environment(url, os.environ))  # noqa: S606 - psql itself


def psql_environment(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Tell psql by its environment where to connect: its arguments can be read by every user.

    Args:
        url: libpq URL.
        environment: variables to start from; PostgreSQL's own among them give way.

    """
    options = pq.Conninfo.parse(url.encode())
    own = {option.envvar.decode() for option in options if option.envvar}
    kept = {name: value for name, value in environment.items() if name not in own | {"PGSERVICE"}}
    given = {
        option.envvar.decode(): option.val.decode() for option in options if option.envvar and option.val
    }
    return kept | {"PGAPPNAME": "lode psql"} | given


def _create_database(cluster: Cluster, name: str) -> str:
    try:
        if cluster.create_database(name):
            click.echo(f"created the database {name}")
    except psycopg.Error as error:
        raise _outside(error) from error
    return cluster.url(name)


def _upgrade(url: str) -> None:
    from db.upgrade import upgrade  # loads Alembic and SQLAlchemy, which `lode status` can do without

    try:
        upgrade(url, click.echo)
    except Exception as error:
        if is_transient(error) and not isinstance(error, UsageError):
            raise _outside(error) from error
        raise


def _outside(error: Exception) -> Exception:
    """A full disk or a lost connection is no bug."""
    return RetryError(describe(error)) if is_transient(error) else error


def _warn_of_little_room(cluster: Cluster) -> None:
    free = cluster.layout.free_bytes()
    if free < LITTLE_ROOM_BYTES:
        click.echo(f"warning: {cluster.home} has only {megabytes(free)} free", err=True)


def _status_lines(found: ClusterStatus, database: str) -> list[tuple[str, str]]:
    lines = [
        ("state", found.state + (f" (process {found.pid})" if found.pid else "")),
        ("home", str(found.home)),
        ("data", f"{found.data}, {megabytes(found.data_bytes)} ({megabytes(found.free_bytes)} free)"),
        ("log", str(found.log)),
    ]
    if found.server is None:
        return [*lines, ("", "run `lode up`")]
    server = found.server
    lines += [("PostgreSQL", server.postgresql), ("PostGIS", server.postgis or "missing")]
    lines += [("database", f"{each.name}, {megabytes(each.size_bytes)}") for each in server.databases]
    return [
        *lines,
        ("user of the OS", f"{found.account} (only it and root can connect)"),
        (
            "QGIS, GDAL",
            f"host {found.sockets}, port {PORT}, database {database}, user {SUPERUSER}, no password, no SSL",
        ),
        ("psql", f"lode psql, or psql -h {found.sockets} -U {SUPERUSER} {database}"),
    ]


def _external_status(settings: Settings) -> int:
    url = database_url(settings)
    try:
        conn = connect(url)
    except RetryError as error:
        click.echo(str(error))
        return NOT_RUNNING
    with conn:
        server = conn.execute("select current_setting('server_version')").fetchone()
        postgis = conn.execute("select extversion from pg_extension where extname = 'postgis'").fetchone()
        size = conn.execute("select pg_database_size(current_database())").fetchone()
    click.echo(f"{'state':<16}ready, managed elsewhere (LODE_DATABASE_URL)")
    click.echo(f"{'connection':<16}{safe_url(url)}")
    click.echo(f"{'PostgreSQL':<16}{server[0] if server else ''}")
    click.echo(f"{'PostGIS':<16}{postgis[0] if postgis else 'not created yet: run `lode up`'}")
    click.echo(f"{'size':<16}{megabytes(size[0] if size else 0)}")
    return 0


def _psql_program() -> str:
    program = shutil.which("psql")
    if program is None:
        raise UsageError("psql is not installed: run `apt-get install postgresql-client`")
    return program


def megabytes(size_bytes: int) -> str:
    """A size for people, in powers of ten."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
