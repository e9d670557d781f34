"""A plain description of the catalogue: what the committed ``tests/db/catalogue.txt`` is compared with."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

_RELATIONS = """
select c.oid, n.nspname, c.relname,
  case c.relkind
    when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' else c.relkind::text
  end,
  coalesce(obj_description(c.oid, 'pg_class'), '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('lode', 'lode_api', 'lode_raster') and c.relkind in ('r', 'p', 'v', 'm')
  and not c.relispartition and c.relname !~ '^o_[0-9]+_' and c.relname <> 'alembic_version'
order by n.nspname, c.relname
"""

_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  case when a.attidentity <> '' then 'identity' else coalesce(pg_get_expr(d.adbin, d.adrelid), '') end,
  coalesce(col_description(a.attrelid, a.attnum), '')
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

_CONSTRAINTS = """
select conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid = %s and contype <> 't' order by conname
"""

_INDEXES = "select pg_get_indexdef(indexrelid) from pg_index where indrelid = %s order by 1"

_FUNCTIONS = """
select p.oid::regprocedure::text, coalesce(obj_description(p.oid, 'pg_proc'), '')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('lode', 'lode_api', 'lode_raster')
order by 1
"""


def describe_catalogue(conn: Connection[Any]) -> list[str]:
    """Lines that say what relations, columns, constraints, indexes and functions there are, with comments.

    Tile tables of scenes and runs are left out: they come and go with the data.
    """
    lines: list[str] = []
    for oid, schema, name, kind, comment in conn.execute(_RELATIONS).fetchall():
        lines.append(f"{kind} {schema}.{name} -- {comment}")
        for column, type_name, is_not_null, default, note in conn.execute(_COLUMNS, (oid,)).fetchall():
            parts = [column, type_name, "not null" if is_not_null else "", default and f"default {default}"]
            lines.append(f"  {' '.join(part for part in parts if part)} -- {note}")
        for constraint, definition in conn.execute(_CONSTRAINTS, (oid,)).fetchall():
            lines.append(f"  constraint {constraint}: {definition}")
        lines.extend(f"  {definition}" for (definition,) in conn.execute(_INDEXES, (oid,)).fetchall())
    lines.extend(f"function {name} -- {note}" for name, note in conn.execute(_FUNCTIONS).fetchall())
    return lines
