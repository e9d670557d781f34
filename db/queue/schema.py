"""Schema ``lode_queue``: procrastinate's own SQL, brought in and kept up by our upgrades.

procrastinate writes its objects without a schema, into the first one of ``search_path``. Its functions get
a fixed one here, so that nobody's own objects are found in their place, and nobody but whom it was granted to
may call them. A new database takes the newest schema of the installed procrastinate; one that has an older
one takes the migrations that came since, in their order, all in the transaction of ``lode db upgrade``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from procrastinate.schema import SchemaManager
from psycopg import Connection, Cursor
from psycopg.sql import SQL, Identifier

_FIRST_WITH_LODE = (3, 4)
"""procrastinate's version whose schema the first of ours held: older migrations are never due."""


def package_migrations() -> list[str]:
    """Names of the installed procrastinate's migrations, in the order they are applied in."""
    return sorted(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))


def applied_migrations(cursor: Cursor[Any]) -> list[str]:
    """Names of those the database has; empty where there is no queue."""
    cursor.execute("select to_regclass('lode_queue.migration') is not null")
    row = cursor.fetchone()
    if row is None or not row[0]:
        return []
    cursor.execute("select name from lode_queue.migration order by name")
    return [name for (name,) in cursor.fetchall()]


def install_queue(cursor: Cursor[Any]) -> None:
    """Make the queue in a database that has none."""
    cursor.execute("create schema if not exists lode_queue")
    cursor.execute(
        "create table lode_queue.migration ("
        " name text primary key, applied_at timestamptz not null default now())"
    )
    cursor.execute(
        "comment on table lode_queue.migration is 'Migrations of procrastinate that this queue has'"
    )
    _run(cursor, SchemaManager.get_schema())
    _record(cursor, package_migrations())
    # Fetching looks for jobs of the same lock; without this index it reads all that wait.
    cursor.execute(
        "create index lode_lock_idx on lode_queue.procrastinate_jobs (lock)"
        " where lock is not null and status in ('todo', 'doing')"
    )
    # A request finds the job of its run, waiting or running, among all that ever were.
    cursor.execute(
        "create index lode_queueing_lock_idx on lode_queue.procrastinate_jobs (queueing_lock)"
        " where status in ('todo', 'doing')"
    )
    # A run that lost its job gets the priority of the last one. An index of its own: where one had them all,
    # a database without statistics would not take it for those that wait.
    cursor.execute(
        "create index lode_ended_idx on lode_queue.procrastinate_jobs (queueing_lock)"
        " where status in ('succeeded', 'failed', 'cancelled', 'aborted')"
    )
    # Whoever looks at the queue sees what comes next first, without sorting all that wait.
    cursor.execute(
        "create index lode_pending_idx on lode_queue.procrastinate_jobs (priority desc, id)"
        " where status in ('todo', 'doing')"
    )
    # A worker that ends is taken out of the jobs that refer to it, whatever their status: procrastinate's own
    # index has only those that run, and all jobs were read.
    cursor.execute(
        "create index lode_worker_idx on lode_queue.procrastinate_jobs (worker_id)"
        " where worker_id is not null"
    )
    _close(cursor)


def due_migrations(cursor: Cursor[Any]) -> list[str]:
    """Migrations of the installed procrastinate that the queue lacks."""
    applied = set(applied_migrations(cursor))
    return [
        name for name in package_migrations() if name not in applied and _version(name) > _FIRST_WITH_LODE
    ]


def upgrade_queue(cursor: Cursor[Any]) -> None:
    """Apply what the installed procrastinate brings beyond what the queue has."""
    due = due_migrations(cursor)
    for name in due:
        _run(cursor, (Path(SchemaManager.get_migrations_path()) / name).read_text("utf-8"))
    _record(cursor, due)
    if due:
        _close(cursor)


def queue_faults(conn: Connection[Any]) -> list[str]:
    """What `lode db check` says of the queue's schema."""
    with conn.cursor() as cursor:
        applied, present = applied_migrations(cursor), package_migrations()
        if not applied:
            return ["there is no queue"]
        faults = [f"procrastinate's migration {name} is missing" for name in due_migrations(cursor)]
    newer = [name for name in applied if name not in present and _version(name) > _version(present[-1])]
    if newer:
        faults.append(
            f"the queue was upgraded by a newer procrastinate ({newer[-1]}): this machine's is too old for it"
        )
    return faults


def _version(name: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", name)
    if found is None:
        raise ValueError(f"procrastinate's migration {name} has no version in its name")
    return int(found.group(1)), int(found.group(2))


def _run(cursor: Cursor[Any], text: str) -> None:
    cursor.execute("select current_setting('search_path')")
    row = cursor.fetchone()
    cursor.execute("set local search_path = lode_queue, pg_catalog")
    cursor.execute(text.encode())
    cursor.execute("select set_config('search_path', %s, true)", (row[0] if row else "public",))


def _record(cursor: Cursor[Any], names: list[str]) -> None:
    for name in names:
        cursor.execute("insert into lode_queue.migration (name) values (%s)", (name,))


def _close(cursor: Cursor[Any]) -> None:
    """Fix the search path of every function of the queue, and take them from PUBLIC."""
    cursor.execute(
        "select p.oid::regprocedure::text from pg_proc p"
        " where p.pronamespace = 'lode_queue'::regnamespace order by 1"
    )
    for (signature,) in cursor.fetchall():
        cursor.execute(
            SQL("alter function {} set search_path = lode_queue, pg_catalog, pg_temp").format(SQL(signature))
        )
        cursor.execute(SQL("revoke execute on function {} from public").format(SQL(signature)))
        if signature.startswith("lode_queue.procrastinate_fetch_job"):
            # Without statistics, as after a campaign was asked for, it would sort all that wait for each job.
            for setting in ("enable_sort", "enable_bitmapscan"):
                cursor.execute(
                    SQL("alter function {} set {} = off").format(SQL(signature), Identifier(setting))
                )
