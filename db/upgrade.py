"""Bring a database to this version of Lode: extensions, schemas, migrations, ``lode_api``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import Cursor, errors
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from db.api import is_api_current
from db.connection import connect, retrying
from db.errors import UsageError
from db.qgis.styles import install_styles, may_install_styles
from db.queue.schema import due_migrations
from db.role_closed import close_to_all
from db.role_planted import refuse_planted
from db.role_rights import apply_grants, grant_styles
from db.roles import SCHEMAS, act_as_self, hand_over, make_roles, mark_leakproof

UPGRADE_LOCK = 0x10DE0001
"""Key of the advisory lock that lets one upgrade run at a time."""

LOCK_TIMEOUT = "5s"
"""How long a statement of the upgrade waits for clients before it gives way and is tried again."""


def alembic_config() -> Config:
    """Alembic's configuration, found beside this package wherever it is installed."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@contextmanager
def dbapi_cursor(connection: Connection) -> Iterator[Cursor[Any]]:
    """Psycopg's own cursor of a SQLAlchemy connection: SQL files pass through it unread."""
    cursor = connection.connection.cursor()
    try:
        yield cursor  # type: ignore[misc]  # SQLAlchemy types it as any driver's
    finally:
        cursor.close()


def prepare(cursor: Cursor[Any]) -> None:
    """Create the extensions and schemas where they are missing.

    Raises:
        UsageError: an extension is not installed, or the role may not create it.

    """
    # A role named like one of our schemas would otherwise create in it what belongs to public.
    cursor.execute("set local search_path = public")
    for extension in ("postgis", "postgis_raster"):
        cursor.execute("select 1 from pg_extension where extname = %s", (extension,))
        if cursor.fetchone():
            continue
        try:
            cursor.execute(f"create extension {extension}")
        except errors.InsufficientPrivilege as error:
            raise UsageError(
                f"extension {extension} is missing and this role may not create it; "
                f"let a superuser run: create extension {extension}"
            ) from error
        except (errors.UndefinedFile, errors.FeatureNotSupported) as error:
            raise UsageError(
                f"PostGIS is not installed on the database server (extension {extension}); "
                "on Debian and Ubuntu: apt-get install postgresql-postgis"
            ) from error
    for schema in SCHEMAS:
        cursor.execute("select to_regnamespace(%s) is null", (schema,))
        if (cursor.fetchone() or (False,))[0]:
            cursor.execute(f"create schema {schema}")


TILE_TABLES_AT_ONCE = 100
"""Tile tables handed over in one transaction: each is locked to its end."""


def settle_roles(cursor: Cursor[Any]) -> int:
    """Give every object to its role and every role its rights, as far as this login may.

    Returns:
        How many statements it took; 0 when everything was as it should be.

    """
    act_as_self(cursor)
    return (
        hand_over(cursor)
        + hand_over(cursor, tiles=True, most=TILE_TABLES_AT_ONCE)
        + mark_leakproof(cursor)
        + close_to_all(cursor)
        + apply_grants(cursor)
    )


def settle_sequences(cursor: Cursor[Any]) -> None:
    """Write the place of the sequences that this transaction made, moved or handed over.

    Where ``wal_level`` is ``minimal``, a sequence that is made and used in one transaction may stand at an
    older place after a crash of the server, and hand out keys a second time: the first 32 keys after the
    commit are not logged. ``setval`` lets the next one be logged. It reads and writes in two steps, so only
    sequences are touched that this transaction holds for itself: nobody else draws a key from them.
    """
    cursor.execute(
        "select setval(c.oid::regclass, s.last_value) from pg_class c"
        " join pg_sequences s on s.sequencename = c.relname and s.schemaname = 'lode'"
        " where c.relkind = 'S' and c.relnamespace = 'lode'::regnamespace and s.last_value is not null"
        " and c.oid in ("
        "  select l.relation from pg_locks l where l.pid = pg_backend_pid() and l.granted"
        "  and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'"
        "  and l.database = (select d.oid from pg_database d where d.datname = current_database()))"
    )


def is_at_head(connection: Connection) -> bool:
    """Whether the newest migration has been applied."""
    heads = set(ScriptDirectory.from_config(alembic_config()).get_heads())
    context = MigrationContext.configure(
        connection, opts={"version_table_schema": "lode", "version_table": "alembic_version"}
    )
    return set(context.get_current_heads()) == heads


def newer_schema(found: str, own: str | None) -> UsageError:
    """The error for a database that a newer Lode has upgraded; a schema goes forward only."""
    return UsageError(
        f"the database's schema is at {found}, which this Lode ({own}) does not know: it was upgraded by a "
        "newer one; install that version on this machine and start again"
    )


def _refuse_newer(connection: Connection) -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    known = {script.revision for script in scripts.walk_revisions()}
    context = MigrationContext.configure(
        connection, opts={"version_table_schema": "lode", "version_table": "alembic_version"}
    )
    for found in context.get_current_heads():
        if found not in known:
            raise newer_schema(found, scripts.get_current_head())


def _refuse_outsider(cursor: Cursor[Any]) -> None:
    """Whoever upgrades must be able to work as who owns the schemas."""
    cursor.execute(
        "select r.rolname::text, current_user::text from pg_namespace n join pg_roles r on r.oid = n.nspowner"
        " where n.nspname = 'lode' and not pg_has_role(n.nspowner, 'member')"
    )
    row = cursor.fetchone()
    if row is not None:
        raise UsageError(
            f"the login {row[1]} may not upgrade this database: its schemas belong to {row[0]}; upgrade as a"
            f" superuser, or let one run: grant {row[0]} to {row[1]}"
        )


def is_current(connection: Connection) -> bool:
    """Whether schema and queue are at their newest migrations and ``lode_api`` equals ``sql/``."""
    if not is_at_head(connection):
        return False
    with dbapi_cursor(connection) as cursor:
        return is_api_current(cursor) and not due_migrations(cursor)


def upgrade(
    url: str,
    report: Callable[[str], None] = lambda _line: None,
    *,
    revision: str = "head",
    rebuild: bool = False,
) -> None:
    """Upgrade the database in one transaction; nothing is locked when nothing has to change.

    Args:
        url: libpq URL or connection string.
        report: takes a line of progress.
        revision: stop at an older revision (tests of the upgrade use it).
        rebuild: drop and make ``lode_api`` again even when nothing has changed.

    Raises:
        UsageError: PostGIS is missing, something of the user's depends on ``lode_api``, the database was
            upgraded by a newer Lode, this login may not work as its owner, or a stranger planted something.
        RetryError: clients held their locks through all attempts.

    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(url), poolclass=NullPool)

    def once() -> None:
        with engine.begin() as connection:
            _refuse_newer(connection)
            if revision == "head" and not rebuild and is_current(connection):
                report("the database is up to date")
                return
            with dbapi_cursor(connection) as cursor:
                cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            report("the database was upgraded")

    def people() -> None:
        with connect(url) as conn:
            make_roles(conn, report)

    def rights() -> int:
        with engine.begin() as connection, dbapi_cursor(connection) as cursor:
            cursor.execute(f"set local lock_timeout = '{LOCK_TIMEOUT}'")
            return settle_roles(cursor)

    def dress() -> None:
        with connect(url) as conn:
            if may_install_styles(conn):
                install_styles(conn)
                grant_styles(conn)

    def look() -> None:
        with connect(url) as conn, conn.cursor() as cursor:
            _refuse_outsider(cursor)
            refuse_planted(cursor)

    try:
        retrying(look)
        retrying(people)
        retrying(once)
        if revision == "head":
            while retrying(rights):
                pass
            retrying(dress)
    finally:
        engine.dispose()
