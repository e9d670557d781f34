"""Styles in QGIS's own table public.layer_styles, so that a layer opens as it is meant to look.

QGIS finds a style by the name of the database, so that a database restored under another name needs them
again. Only rows that say that Lode wrote them are ever changed; a style that somebody saved stays, and stays
the default where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.qgis.layers import land_classes, layer_look, published_layers
from db.qgis.prospects import prospect_scores
from db.qgis.qml import write_qml

STYLE_NAMES = {False: "Lode", True: "Lode 中文"}
"""Name of the style in both languages, and of that in Chinese only."""

STYLE_LOCK = 0x10DE0005
"""Key of the advisory lock under which styles are written: QGIS's table has no key to refuse twins."""

MARK = "Written by Lode; save changes under another name"
"""Description of a style that is ours."""

# QGIS's own layout of the table, as it makes it when a style is saved for the first time.
_TABLE = """
create table if not exists public.layer_styles (
  id serial primary key,
  f_table_catalog varchar,
  f_table_schema varchar,
  f_table_name varchar,
  f_geometry_column varchar,
  stylename text,
  styleqml xml,
  stylesld xml,
  useasdefault boolean,
  description text,
  owner varchar(63) default current_user,
  ui xml,
  update_time timestamp default current_timestamp,
  type varchar
)
"""

_SAME_LAYER = """
  f_table_catalog = current_database() and f_table_schema = %(schema)s and f_table_name = %(table)s
    and f_geometry_column is not distinct from %(column)s
"""

# Ours first: somebody may have saved a style of the same name.
_FIND = f"""
select id, description, styleqml::text = %(qml)s from public.layer_styles
where {_SAME_LAYER} and stylename = %(name)s
order by (description is not distinct from %(mark)s) desc, id limit 1
"""  # noqa: S608 - composed of constants

_HAS_DEFAULT = f"""
select exists (select from public.layer_styles where {_SAME_LAYER} and useasdefault)
"""  # noqa: S608 - composed of constants

# Ours that are for a database of another name, or for a layer that is no more.
_REMOVE = """
delete from public.layer_styles s
where s.description = %(mark)s and (
  s.f_table_catalog <> current_database()
  or not exists (
    select from unnest(%(schemas)s::text[], %(tables)s::text[]) as w(schema_name, table_name)
    where w.schema_name = s.f_table_schema and w.table_name = s.f_table_name
  )
)
"""

_MAY_INSTALL = """
select case
  when to_regclass('public.layer_styles') is null then has_schema_privilege('public', 'create')
  else (
    select bool_and(has_table_privilege(to_regclass('public.layer_styles'), p.privilege))
    from (values ('select'), ('insert'), ('update'), ('delete')) as p(privilege)
  ) and coalesce(
    has_sequence_privilege(pg_get_serial_sequence('public.layer_styles', 'id')::regclass, 'usage'), true
  )
end
"""


@dataclass(frozen=True)
class Style:
    """A style for a layer; ``column`` is None for a table without geometry."""

    schema: str
    table: str
    column: str | None
    name: str
    qml: str
    is_default: bool


def wanted_styles(conn: Connection[Any]) -> list[Style]:
    """The styles of all published layers: in both languages (the default) and in Chinese only.

    A layer of several scores has a style for each, of which the first is the default.
    """
    classes = land_classes(conn)
    return [
        Style(
            layer.schema,
            layer.table,
            layer.column or None,
            f"{name} {score}" if place else name,
            write_qml(layer_look(layer, classes, chinese_only=chinese_only, score=score)),
            not (chinese_only or place),
        )
        for layer in published_layers(conn)
        for place, score in enumerate(prospect_scores(layer.table) or (None,))
        for chinese_only, name in STYLE_NAMES.items()
    ]


def install_styles(conn: Connection[Any]) -> int:
    """Write the styles that are missing, old or meant for a database of another name.

    Works in the caller's transaction.

    Args:
        conn: connection.

    Returns:
        How many rows were written or removed.

    """
    conn.execute("select pg_advisory_xact_lock(%s)", (STYLE_LOCK,))
    if not has_style_table(conn):
        conn.execute(_TABLE)
        conn.execute("comment on table public.layer_styles is 'Styles of layers, kept by QGIS'")
    wanted = wanted_styles(conn)
    removed = conn.execute(
        _REMOVE,
        {
            "mark": MARK,
            "schemas": [each.schema for each in wanted],
            "tables": [each.table for each in wanted],
        },
    ).rowcount
    return removed + sum(_install(conn, style) for style in wanted)


def _install(conn: Connection[Any], style: Style) -> bool:
    values: dict[str, Any] = {
        "schema": style.schema,
        "table": style.table,
        "column": style.column,
        "name": style.name,
        "qml": style.qml,
        "mark": MARK,
    }
    row = conn.execute(_FIND, values).fetchone()
    if row is None:
        values["default"] = style.is_default and not _has_default(conn, values)
        conn.execute(
            "insert into public.layer_styles (f_table_catalog, f_table_schema, f_table_name,"
            " f_geometry_column, stylename, styleqml, useasdefault, description)"
            " values (current_database(), %(schema)s, %(table)s, %(column)s, %(name)s,"
            " xmlparse(document %(qml)s), %(default)s, %(mark)s)",
            values,
        )
        return True
    style_id, description, is_same = row
    if description != MARK or is_same:  # somebody made it his own, or there is nothing to do
        return False
    conn.execute(
        "update public.layer_styles set styleqml = xmlparse(document %(qml)s), update_time = now()"
        " where id = %(id)s",
        {**values, "id": style_id},
    )
    return True


def _has_default(conn: Connection[Any], values: dict[str, Any]) -> bool:
    row = conn.execute(_HAS_DEFAULT, values).fetchone()
    return row is not None and bool(row[0])


def has_style_table(conn: Connection[Any]) -> bool:
    """Whether QGIS's table of styles is there."""
    row = conn.execute("select to_regclass('public.layer_styles') is not null").fetchone()
    return row is not None and bool(row[0])


def may_install_styles(conn: Connection[Any]) -> bool:
    """Whether this role may write styles: the table is there and it may fill it, or it may make the table."""
    row = conn.execute(_MAY_INSTALL).fetchone()
    return row is not None and bool(row[0])


def style_faults(conn: Connection[Any]) -> list[str]:
    """What keeps QGIS from finding our styles: none at all, or all for a database of another name."""
    row = conn.execute("select current_database()").fetchone()
    name = row[0] if row else ""
    if not has_style_table(conn):
        return ["there is no table public.layer_styles: QGIS draws every layer in a colour of its own choice"]
    counts = dict(
        conn.execute(
            "select f_table_catalog, count(*) from public.layer_styles where description = %s group by 1",
            (MARK,),
        ).fetchall()
    )
    if counts.get(name):
        return []
    others = ", ".join(sorted(other for other in counts if other))
    if others:
        return [f"the styles in public.layer_styles are for a database named {others}, this one is {name}"]
    return [f"public.layer_styles holds no style of Lode for the database {name}"]
