"""Runs the migrations and rebuilds ``lode_api``, all in one transaction.

Alembic loads this file for ``alembic upgrade head`` and ``lode db upgrade`` alike.
"""

from __future__ import annotations

import logging

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from db.accounting import derive_after_upgrade
from db.api import drop_api, rebuild_api
from db.connection import connect
from db.migrations.compare import include_name, include_object
from db.queue.schema import upgrade_queue
from db.role_rights import apply_grants
from db.roles import act_as_owner, hand_over, make_roles
from db.settings import Settings
from db.tables import metadata
from db.upgrade import (
    UPGRADE_LOCK,
    dbapi_cursor,
    is_at_head,
    prepare,
    settle_roles,
    settle_sequences,
)

log = logging.getLogger("lode.upgrade")


def command_name() -> str:
    """The Alembic command that runs; ``upgrade`` when ``db.upgrade`` called, not a command line."""
    options = context.config.cmd_opts
    return "upgrade" if options is None else str(options.cmd[0].__name__)


def run(connection: Connection) -> None:
    """Upgrade over a connection in which a transaction is already open."""
    is_upgrade = command_name() == "upgrade"
    if is_upgrade:
        with dbapi_cursor(connection) as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", (UPGRADE_LOCK,))
            prepare(cursor)
            hand_over(cursor)
            apply_grants(cursor)
            drop_api(cursor)
            act_as_owner(cursor)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        version_table="alembic_version",
        version_table_schema="lode",
        transactional_ddl=True,
    )
    context.run_migrations()
    if is_upgrade and is_at_head(connection):
        with dbapi_cursor(connection) as cursor:
            upgrade_queue(cursor)
            rebuild_api(cursor)
            derive_after_upgrade(cursor)
    if is_upgrade:
        with dbapi_cursor(connection) as cursor:
            settle_roles(cursor)
            settle_sequences(cursor)


def main() -> None:
    """Take the caller's connection, or open one by the settings."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    with connect(Settings()) as conn:
        make_roles(conn, log.warning)
    engine = create_engine("postgresql+psycopg://", creator=lambda: connect(Settings()), poolclass=NullPool)
    with engine.begin() as own:
        run(own)


main()
