"""The roles of a Lode server, whom its objects belong to, and what may not stay open to everybody.

Roles belong to the whole server, objects and grants to one database. The roles are made once, by the first
``lode db upgrade`` whose login may make roles; several databases, and several upgrades at a time, share them.
Where they are missing and cannot be made, everything belongs to the login that upgrades, as it works without
them. What each may do is a table, ``db.role_grants``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import Connection, Cursor, errors
from psycopg.sql import SQL, Identifier, Literal

from db.api import installed_api, trusted
from db.role_planted import CLEAN_TILES, TILE_TABLE, TRUSTED

OWNER = "lode_owner"
WORKER = "lode_worker"
ANALYST = "lode_analyst"
READER = "lode_reader"
MINE_OWNER = "lode_mine_owner"

SCHEMAS = ("lode", "lode_api", "lode_raster", "lode_queue")

READER_SETTINGS: tuple[tuple[str, str], ...] = (
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
)
"""Bounds of whoever only reads. A role's settings hold for that login alone: members do not inherit them."""


@dataclass(frozen=True)
class Role:
    """A role of every Lode server.

    Attributes:
        name: its name.
        options: how it is made.
        settings: settings its own sessions begin with.
        member_of: roles whose rights it has too.
        purpose: its comment.

    """

    name: str
    options: LiteralString
    settings: tuple[tuple[str, str], ...]
    member_of: tuple[str, ...]
    purpose: str


ROLES = (
    Role(WORKER, "login", (), (), "Lode: brings scenes in, interprets them, trains"),
    Role(OWNER, "nologin", (), (WORKER,), "Lode: owns the schemas; what derives areas runs as it"),
    Role(READER, "login connection limit 20", READER_SETTINGS, (), "Lode: reads maps and reports"),
    Role(ANALYST, "login", (), (READER,), "Lode: edits labels, mines and maps, reviews, asks for work"),
    Role(MINE_OWNER, "nologin", (), (), "Lode: group of mine owners' logins, who see their own mines"),
)

Report = Callable[[str], None]


def missing_roles(cursor: Cursor[Any]) -> list[str]:
    """Names of those of ``ROLES`` that the server lacks."""
    cursor.execute(
        "select w.name from unnest(%s::text[]) with ordinality as w(name, place)"
        " where not exists (select from pg_roles r where r.rolname = w.name) order by w.place",
        ([role.name for role in ROLES],),
    )
    return [name for (name,) in cursor.fetchall()]


def make_roles(conn: Connection[Any], report: Report) -> None:
    """Make the roles that the server lacks, each in a transaction of its own.

    Upgrades of other databases may be at it: who comes second waits for the first and finds the role made.
    What an administrator changed of a role that exists is left as it is.

    Args:
        conn: connection outside a transaction.
        report: takes a line where roles are missing and this login may not make them.

    """
    with conn.transaction(), conn.cursor() as cursor:
        missing = missing_roles(cursor)
        cursor.execute("select rolsuper, rolcreaterole from pg_roles where rolname = current_user")
        is_superuser, may_create = cursor.fetchone() or (False, False)
    if not missing:
        return
    if not (is_superuser or may_create):
        report(
            f"the roles {', '.join(missing)} are missing and this login may not make them; "
            "let a superuser run `lode db upgrade` (docs/roles.md)"
        )
        return
    for role in ROLES:
        if role.name in missing:
            _make_role(conn, role, is_superuser=is_superuser)
    for role in ROLES:
        for group in role.member_of:
            _add_member(conn, group, role.name)


def _make_role(conn: Connection[Any], role: Role, *, is_superuser: bool) -> None:
    name = Identifier(role.name)
    try:
        with conn.transaction():
            conn.execute(SQL("create role {} {}").format(name, SQL(role.options)))
            for setting, value in role.settings:
                conn.execute(
                    SQL("alter role {} set {} = {}").format(name, Identifier(setting), Literal(value))
                )
            conn.execute(SQL("comment on role {} is {}").format(name, Literal(role.purpose)))
            if not is_superuser:  # whoever is not above all roles must be in this one to work as it
                conn.execute(SQL("grant {} to current_user").format(name))
    except (errors.DuplicateObject, errors.UniqueViolation):
        pass  # another upgrade was first


def _add_member(conn: Connection[Any], group: str, member: str) -> None:
    row = conn.execute(
        "select pg_has_role(m.oid, g.oid, 'member') from pg_roles m, pg_roles g"
        " where m.rolname = %s and g.rolname = %s",
        (member, group),
    ).fetchone()
    conn.commit()
    if row is None or row[0]:
        return
    try:
        with conn.transaction():
            conn.execute(SQL("grant {} to {}").format(Identifier(group), Identifier(member)))
    except (errors.UniqueViolation, errors.InternalError_):
        pass  # another upgrade granted it at the same moment


def may_act_as(cursor: Cursor[Any], role: str) -> bool:
    """Whether the role exists and this login may work as it."""
    cursor.execute("select pg_has_role(oid, 'member') from pg_roles where rolname = %s", (role,))
    row = cursor.fetchone()
    return row is not None and bool(row[0])


def act_as_owner(cursor: Cursor[Any]) -> None:
    """Work as ``lode_owner`` to the end of the transaction, where this login may."""
    if may_act_as(cursor, OWNER):
        cursor.execute(SQL("set local role {}").format(Identifier(OWNER)))


def act_as_self(cursor: Cursor[Any]) -> None:
    """Work as the login again."""
    cursor.execute("set local role none")


# In lode_api only what an upgrade made is ours: a view that somebody added there would get its new owner's
# rights. In lode_raster nothing is but the parents and tables of tiles. Of a stranger's nothing is taken over
# but tables of tiles in which nothing runs.
_FOREIGN = f"""
with thing as (
  select 'schema' as kind, quote_ident(n.nspname) as name, n.nspowner as owner, n.nspname,
    n.nspname::text as plain, false as is_tiles, null::oid as relation
  from pg_namespace n
  union all
  select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
      else 'table' end,
    format('%%I.%%I', n.nspname, c.relname), c.relowner, n.nspname, c.relname::text,
    n.nspname = 'lode_raster' and c.relkind = 'r', c.oid
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'lode_raster' and (
      c.relkind = 'p' and c.relname in (
        'scene_tile', 'probability', 'evidence_tile', 'geology_tile', 'prospect_score'
      )
      or c.relkind = 'r' and c.relname ~ '{TILE_TABLE}'
    )
    or n.nspname <> 'lode_raster' and (
      c.relkind in ('r', 'p', 'v', 'm') or c.relkind = 'S' and not exists ( -- others follow their table
        select from pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
          and d.refclassid = 'pg_class'::regclass
      )
    )
  union all
  select 'function', p.oid::regprocedure::text, p.proowner, n.nspname, p.proname::text, false, null
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace and n.nspname <> 'lode_raster'
  union all
  select 'type', format('%%I.%%I', n.nspname, t.typname), t.typowner, n.nspname, t.typname::text, false, null
  from pg_type t
  join pg_namespace n on n.oid = t.typnamespace and n.nspname <> 'lode_raster'
  left join pg_class c on c.oid = t.typrelid
  where t.typtype in ('e', 'd', 'r') or c.relkind = 'c'
)
select t.kind, t.name, r.rolname::text
from thing t
join pg_roles r on r.rolname = %(owner)s
where t.nspname = any(%(schemas)s) and t.owner <> r.oid and t.is_tiles = %(tiles)s
  and (t.nspname <> 'lode_api' or t.kind = 'schema' or t.plain = any(%(made)s))
  and (
    %(all)s or pg_has_role(t.owner, 'usage') and pg_has_role(r.oid, 'member')
      and (t.owner in ({TRUSTED}) or t.relation in ({CLEAN_TILES}))
  )
order by t.kind <> 'schema', t.name
"""  # noqa: S608 - composed of constants


def foreign_objects(
    cursor: Cursor[Any], *, tiles: bool, everything: bool = False
) -> list[tuple[str, str, str]]:
    """Kind and name of what belongs to another role than it should, and that role.

    Args:
        cursor: cursor.
        tiles: the tables of tiles, of which there is one for every scene; else all others.
        everything: also what this login may not hand over.

    """
    made = [name for kind, name, _digest in installed_api(cursor) if kind != "trigger"]
    cursor.execute(
        _FOREIGN,
        {
            "owner": OWNER,
            "schemas": list(SCHEMAS),
            "tiles": tiles,
            "made": made,
            "all": everything,
        },
    )
    return cursor.fetchall()


def hand_over(cursor: Cursor[Any], *, tiles: bool = False, most: int | None = None) -> int:
    """Give what an older upgrade, or an ingest as another role, left to the role it should belong to.

    Args:
        cursor: cursor, working as the login.
        tiles: the tables of tiles; else all others.
        most: how many at most; each is locked to the end of the transaction.

    Returns:
        How many were handed over.

    """
    found = foreign_objects(cursor, tiles=tiles)[:most]
    for kind, name, role in found:
        # Kind and name come quoted from the catalogue.
        words = trusted(f"alter {'routine' if kind == 'function' else kind} {name} owner to ")
        cursor.execute(words + Identifier(role))
    return len(found)


# What && of two geometries calls: it compares their boxes and says nothing of them.
_BOX_TEST = """
select p.oid::regprocedure::text, p.proleakproof
from pg_operator o
join pg_proc p on p.oid = o.oprcode
where o.oprname = '&&' and o.oprleft = to_regtype('public.geometry') and o.oprright = o.oprleft
"""


def is_box_test_leakproof(cursor: Cursor[Any]) -> bool:
    """Whether a box filter reaches the spatial index of the table behind a view with a barrier."""
    cursor.execute(_BOX_TEST)
    return all(is_leakproof for _signature, is_leakproof in cursor.fetchall())


def mark_leakproof(cursor: Cursor[Any]) -> int:
    """Let box filters pass the barrier of a mine owner's views, where this login is a superuser's.

    A superuser alone may say so of a function. An update of PostGIS, and a restore, forget it.

    Returns:
        How many functions were marked.

    """
    cursor.execute("select rolsuper from pg_roles where rolname = current_user")
    if not (cursor.fetchone() or (False,))[0]:
        return 0
    cursor.execute(_BOX_TEST)
    due = [signature for signature, is_leakproof in cursor.fetchall() if not is_leakproof]
    for signature in due:
        cursor.execute(trusted(f"alter function {signature} leakproof"))
    return len(due)


def role_faults(conn: Connection[Any]) -> list[str]:
    """What `lode db check` says of roles, owners and rights; empty when all is well."""
    from db.role_faults import role_faults as faults  # it reads the table of grants, which names these roles

    return faults(conn)
