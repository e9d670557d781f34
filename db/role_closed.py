"""Functions of PostGIS and PostgreSQL that everybody may call by default and that nobody should.

PostGIS's statistics functions ask for no right to the table whose extent and distribution they tell. Large
objects can be written in read-only transactions, by whoever may only read.
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

LARGE_OBJECTS = (
    *("lo_create", "lo_creat", "lo_from_bytea", "lo_put", "lowrite", "lo_open"),
    *("lo_unlink", "lo_truncate", "lo_truncate64"),
)
"""Functions of PostgreSQL that write large objects, or open them to be written."""

STATISTICS_READERS = ("lode_reader", "lode_worker", "lode_owner")
"""Roles that may read all tables with outlines anyway."""

_OPEN: LiteralString = """
select p.oid::regprocedure::text, p.proname = any(%(statistics)s)
from pg_proc p
where has_function_privilege('public', p.oid, 'execute') and (
  p.pronamespace = 'pg_catalog'::regnamespace and p.proname = any(%(objects)s)
  or p.proname = any(%(statistics)s) and exists (
    select from pg_depend d
    join pg_extension e on e.oid = d.refobjid and e.extname = 'postgis'
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.refclassid = 'pg_extension'::regclass
  )
)
order by 1
"""


def open_to_all(cursor: Cursor[Any]) -> list[tuple[str, bool]]:
    """Signatures of those that everybody may call, and whether they tell statistics."""
    cursor.execute(_OPEN, {"statistics": list(STATISTICS), "objects": list(LARGE_OBJECTS)})
    return cursor.fetchall()


def close_to_all(cursor: Cursor[Any]) -> int:
    """Take them from everybody, where this login is a superuser's; an update of PostGIS may open them again.

    Returns:
        How many functions were closed.

    """
    cursor.execute("select rolsuper from pg_roles where rolname = current_user")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    cursor.execute("select rolname::text from pg_roles where rolname = any(%s)", (list(STATISTICS_READERS),))
    roles = [name for (name,) in cursor.fetchall()]
    if len(roles) < len(STATISTICS_READERS):
        return 0
    due = open_to_all(cursor)
    for signature, tells_statistics in due:
        cursor.execute(trusted(f"revoke execute on function {signature} from public"))
        if tells_statistics:
            for role in roles:
                cursor.execute(trusted(f"grant execute on function {signature} to ") + Identifier(role))
    return len(due)
