"""Functions of PostGIS and PostgreSQL that everybody may call by default and that nobody should.

PostGIS's statistics functions ask for no right to the table whose extent and distribution they tell. Large
objects can be written in read-only transactions, by whoever only reads.
Advisory locks are known by number alone: whoever may take any holds up publications, ingests and upgrades.
"""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Cursor
from psycopg.sql import Identifier

from db.api import trusted

STATISTICS = (
    *("_postgis_stats", "_postgis_selectivity", "_postgis_join_selectivity", "_postgis_index_extent"),
    *("st_estimatedextent", "st_estimated_extent"),
)
"""Functions of PostGIS that look into statistics and indexes of any table."""

WRITING = (
    *("lo_create", "lo_creat", "lo_from_bytea", "lo_put", "lowrite", "lo_open"),
    *("lo_unlink", "lo_truncate", "lo_truncate64"),
)
"""Functions of PostgreSQL that write large objects, or open them to be written.

A dump names what was closed with its arguments: nothing whose arguments another version of PostgreSQL has
changed (`pg_logical_emit_message`) may stand here, or the dump cannot be restored there.
"""

LOCKS = (
    *("pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared"),
    *("pg_try_advisory_lock", "pg_try_advisory_lock_shared"),
    *("pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared"),
)
"""Functions of PostgreSQL that take advisory locks."""

KEEPERS = {
    "statistics": ("lode_reader", "lode_worker", "lode_owner"),
    "writing": (),
    "lock": ("lode_analyst", "lode_worker", "lode_owner"),
}
"""Who may go on calling them: who reads all tables with outlines anyway; who edits, computes and upgrades."""

_OPEN: LiteralString = """
select p.oid::regprocedure::text,
  case when p.proname = any(%(statistics)s) then 'statistics' when p.proname = any(%(locks)s) then 'lock'
    else 'writing' end
from pg_proc p
where has_function_privilege('public', p.oid, 'execute') and (
  p.pronamespace = 'pg_catalog'::regnamespace and (p.proname = any(%(writing)s) or p.proname = any(%(locks)s))
  or p.proname = any(%(statistics)s) and exists (
    select from pg_depend d
    join pg_extension e on e.oid = d.refobjid and e.extname = 'postgis'
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.refclassid = 'pg_extension'::regclass
  )
)
order by 1
"""


def open_to_all(cursor: Cursor[Any]) -> list[tuple[str, str]]:
    """Signatures of those that everybody may call, and what they are: of ``KEEPERS``."""
    cursor.execute(_OPEN, {"statistics": list(STATISTICS), "writing": list(WRITING), "locks": list(LOCKS)})
    return cursor.fetchall()


def close_to_all(cursor: Cursor[Any]) -> int:
    """Take them from everybody, where this login is a superuser's; an update of PostGIS may open them again.

    Returns:
        How many functions were closed.

    """
    cursor.execute("select rolsuper from pg_roles where rolname = current_user")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    needed = sorted({role for roles in KEEPERS.values() for role in roles})
    cursor.execute("select count(*) from pg_roles where rolname = any(%s)", (needed,))
    if cursor.fetchone() != (len(needed),):
        return 0
    due = open_to_all(cursor)
    for signature, kind in due:
        cursor.execute(trusted(f"revoke execute on function {signature} from public"))
        for role in KEEPERS[kind]:
            cursor.execute(trusted(f"grant execute on function {signature} to ") + Identifier(role))
    return len(due)
