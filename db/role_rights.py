"""Granting what the table says, taking from everybody what nobody should have, finding what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from psycopg import Connection, Cursor
from psycopg.sql import SQL, Composed, Identifier

from db.api import trusted
from db.role_grants import DEFAULTS, GRANTS, Default
from db.role_planted import TRUSTED
from db.roles import ANALYST, MINE_OWNER, OWNER, READER, SCHEMAS, WORKER

# What a login may not grant is left out here and told by role_faults.
_MISSING = """
with wanted as (
  select w.role, w.kind, w.schema, w.names, w.columns, p.privilege
  from jsonb_to_recordset(%(grants)s::jsonb)
    as w(role text, kind text, schema text, names text[], columns text[], privileges text[])
  join pg_roles r on r.rolname = w.role
  cross join lateral unnest(w.privileges) as p(privilege)
),
atom as (
  select w.role, 'database' as kind, quote_ident(d.datname) as name, null as attribute, w.privilege,
    d.datdba as owner, has_database_privilege(w.role, d.oid, w.privilege) as has
  from wanted w
  join pg_database d on d.datname = current_database()
  where w.kind = 'database'
  union all
  select w.role, 'schema', quote_ident(n.nspname), null, w.privilege, n.nspowner,
    has_schema_privilege(w.role, n.oid, w.privilege)
  from wanted w
  join pg_namespace n on n.nspname = w.schema
  where w.kind = 'schema'
  union all
  select w.role, 'table', format('%%I.%%I', n.nspname, c.relname), a.attname, w.privilege, c.relowner,
    case
      when a.attname is null then has_table_privilege(w.role, c.oid, w.privilege)
      else has_column_privilege(w.role, c.oid, a.attnum, w.privilege)
    end
  from wanted w
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm')
    and (w.names is null or c.relname = any(w.names))
  left join pg_attribute a on a.attrelid = c.oid and a.attname = any(w.columns)
  where w.kind = 'table' and (cardinality(w.columns) = 0 or a.attname is not null)
  union all
  select w.role, 'sequence', format('%%I.%%I', n.nspname, c.relname), null, w.privilege, c.relowner,
    has_sequence_privilege(w.role, c.oid, w.privilege)
  from wanted w
  join pg_namespace n on n.nspname = w.schema
  join pg_class c on c.relnamespace = n.oid and c.relkind = 'S'
    and (w.names is null or c.relname = any(w.names))
  where w.kind = 'sequence'
  union all
  select w.role, 'function', p.oid::regprocedure::text, null, w.privilege, p.proowner,
    has_function_privilege(w.role, p.oid, w.privilege)
  from wanted w
  join pg_namespace n on n.nspname = w.schema
  join pg_proc p on p.pronamespace = n.oid and (w.names is null or p.proname = any(w.names))
  where w.kind = 'function' or w.kind = 'computation' and not p.prosecdef and p.provolatile <> 'v'
    and p.prorettype <> 'trigger'::regtype
)
select a.kind, a.name, a.attribute, a.role, array_agg(distinct a.privilege order by a.privilege)
from atom a
where not a.has and (%(all)s or pg_has_role(a.owner, 'usage'))
group by a.kind, a.name, a.attribute, a.role
order by a.kind, a.name, a.attribute, a.role
"""


def missing_grants(
    cursor: Cursor[Any], *, everything: bool = False
) -> list[tuple[str, str, str | None, str, list[str]]]:
    """Kind, name, column, role and privileges of what the table grants and a role has not.

    Args:
        cursor: cursor.
        everything: also what this login may not grant.

    """
    grants = json.dumps([{**asdict(grant), "names": grant.names} for grant in GRANTS])
    cursor.execute(_MISSING, {"grants": grants, "all": everything})
    return cursor.fetchall()


# Everybody may by default call functions and make temporary tables; in databases made before PostgreSQL 15
# tables in public too. A view or table that somebody opened to everybody by hand stays open, and is told.
_OPEN = """
select 'database ' || quote_ident(d.datname), 'temporary', d.datdba as owner
from pg_database d
where d.datname = current_database() and has_database_privilege('public', d.oid, 'temporary')
union all
select 'schema ' || quote_ident(n.nspname), lower(a.privilege_type), n.nspowner
from pg_namespace n
cross join lateral aclexplode(n.nspacl) as a
where a.grantee = 0 and (n.nspname = any(%(schemas)s) or n.nspname = 'public' and a.privilege_type = 'CREATE')
union all
select 'function ' || p.oid::regprocedure::text, 'execute', p.proowner
from pg_proc p
where p.pronamespace = any(%(schemas)s::regnamespace[]) and has_function_privilege('public', p.oid, 'execute')
  and (p.prosecdef or p.provolatile = 'v' or not exists ({called}))
"""

# A view reads its tables in its owner's name, but calls its functions in that of whoever looks.
_CALLED = """
select from pg_depend d
join pg_rewrite w on w.oid = d.objid
join pg_class v on v.oid = w.ev_class and v.relnamespace = to_regnamespace('lode_api')
where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid
"""

_CLOSED = f"""
select p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = to_regnamespace('lode_api') and not p.prosecdef and p.provolatile <> 'v'
  and pg_has_role(p.proowner, 'usage') and not has_function_privilege('public', p.oid, 'execute')
  and exists ({_CALLED})
order by 1
"""  # noqa: S608 - composed of constants


def open_objects(cursor: Cursor[Any], *, everything: bool = False) -> list[tuple[str, str]]:
    """Object and privilege of what everybody has and should not.

    Args:
        cursor: cursor.
        everything: also what this login may not close.

    """
    cursor.execute(
        f"select o.* from ({_OPEN.format(called=_CALLED)}) as o(thing, privilege, owner)"  # noqa: S608 - constants
        " where %(all)s or pg_has_role(o.owner, 'usage') order by 1, 2",
        {"schemas": _present_schemas(cursor), "all": everything},
    )
    return [(thing, privilege) for thing, privilege, _owner in cursor.fetchall()]


# Whoever may make things in our schemas could make what others run.
_MAKERS = f"""
select r.rolname::text, quote_ident(n.nspname)
from pg_namespace n
cross join lateral aclexplode(n.nspacl) as a
join pg_roles r on r.oid = a.grantee
where n.nspname = any(%(schemas)s) and a.privilege_type = 'CREATE' and r.oid <> n.nspowner
  and r.oid not in ({TRUSTED}) and (%(all)s or pg_has_role(n.nspowner, 'usage') and r.rolname = any(%(ours)s))
order by 1, 2
"""  # noqa: S608 - composed of constants


def makers(cursor: Cursor[Any], *, everything: bool = False) -> list[tuple[str, str]]:
    """Roles that may create in a schema of ours and should not, and that schema.

    Args:
        cursor: cursor.
        everything: also those that are not of ours, from which an upgrade takes nothing.

    """
    ours = [WORKER, ANALYST, READER, MINE_OWNER]
    cursor.execute(_MAKERS, {"schemas": list(SCHEMAS), "all": everything, "ours": ours})
    return cursor.fetchall()


def _present_schemas(cursor: Cursor[Any]) -> list[str]:
    cursor.execute("select nspname::text from pg_namespace where nspname = any(%s)", (list(SCHEMAS),))
    return [name for (name,) in cursor.fetchall()]


def missing_defaults(cursor: Cursor[Any]) -> Iterator[Default]:
    """Those of ``DEFAULTS`` that are not set and that this login may set."""
    for default in DEFAULTS:
        cursor.execute(
            "select not exists (select from pg_default_acl d, aclexplode(d.defaclacl) a"
            " where d.defaclrole = m.oid and d.defaclobjtype = %(kind)s"
            " and d.defaclnamespace = coalesce(to_regnamespace(nullif(%(schema)s, ''))::oid, 0)"
            " and a.grantee = case when %(role)s = '' then m.oid else r.oid end"
            " and lower(a.privilege_type) = %(privilege)s)"
            " from pg_roles m left join pg_roles r on r.rolname = nullif(%(role)s, '')"
            " where m.rolname = %(maker)s and pg_has_role(m.oid, 'member')"
            " and (%(role)s = '' or r.oid is not null)"
            " and (%(schema)s = '' or to_regnamespace(nullif(%(schema)s, '')) is not null)",
            asdict(default),
        )
        row = cursor.fetchone()
        if row is not None and row[0]:
            yield default


# Whoever upgraded and ingested until now may have said who reads what is made later.
_INHERITED = """
select format(
  'alter default privileges for role %%I in schema %%I grant %%s on tables to %%s%%s', m.rolname, n.nspname,
  lower(a.privilege_type), coalesce(quote_ident(r.rolname), 'public'),
  case when a.is_grantable then ' with grant option' else '' end
)
from pg_default_acl d
join pg_namespace n on n.oid = d.defaclnamespace and n.nspname = any(%(schemas)s)
join pg_roles m on m.rolname = %(owner)s
cross join lateral aclexplode(d.defaclacl) as a
left join pg_roles r on r.oid = a.grantee
where d.defaclobjtype = 'r' and d.defaclrole = current_user::regrole and d.defaclrole <> m.oid
  and a.grantee <> d.defaclrole and pg_has_role(m.oid, 'member')
  and not exists (
    select from pg_default_acl e
    cross join lateral aclexplode(e.defaclacl) as b
    where e.defaclrole = m.oid and e.defaclnamespace = d.defaclnamespace and e.defaclobjtype = 'r'
      and b.grantee = a.grantee and b.privilege_type = a.privilege_type
  )
"""


def pass_on_defaults(cursor: Cursor[Any]) -> int:
    """Let what this login said of its later tables hold for those that our roles make in its place.

    Returns:
        How many statements it took.

    """
    cursor.execute(_INHERITED, {"schemas": list(SCHEMAS), "owner": OWNER})
    found = cursor.fetchall()
    for (statement,) in found:
        cursor.execute(statement)
    return len(found)


def _routine(thing: str) -> str:
    """The same with the word that stands for functions and procedures alike."""
    return f"routine {thing.removeprefix('function ')}" if thing.startswith("function ") else thing


def apply_grants(cursor: Cursor[Any]) -> int:
    """Grant what is missing and close what stands open, as far as this login may.

    Args:
        cursor: cursor, working as the login.

    Returns:
        How many statements it took; 0 when everything was as it should be.

    """
    count = pass_on_defaults(cursor)
    for thing, privilege in open_objects(cursor):
        cursor.execute(trusted(f"revoke {privilege} on {_routine(thing)} from public"))
        count += 1
    for role, schema in makers(cursor):
        cursor.execute(trusted(f"revoke create on schema {schema} from ") + Identifier(role))
        count += 1
    cursor.execute(_CLOSED)
    for (signature,) in cursor.fetchall():
        cursor.execute(trusted(f"grant execute on function {signature} to public"))
        count += 1
    for default in list(missing_defaults(cursor)):
        head = SQL("alter default privileges for role {}").format(Identifier(default.maker))
        things = {"r": "tables", "f": "functions"}[default.kind]
        if default.role:
            words = f" in schema {default.schema} grant {default.privilege} on {things} to "
            tail = trusted(words) + Identifier(default.role)
        else:
            tail = Composed([trusted(f" revoke {default.privilege} on {things} from public")])
        cursor.execute(head + tail)
        count += 1
    for kind, name, attribute, role, privileges in missing_grants(cursor):
        column = SQL(" ({})").format(Identifier(attribute)) if attribute else SQL("")
        listed = SQL(", ").join(trusted(privilege) + column for privilege in privileges)
        on = trusted(f" on {'routine' if kind == 'function' else kind} {name} to ")
        cursor.execute(SQL("grant ") + listed + on + Identifier(role))
        count += 1
    return count


def grant_styles(conn: Connection[Any]) -> None:
    """Let readers and analysts find the styles that QGIS opens layers with, and workers check them."""
    for role in (READER, WORKER, MINE_OWNER):
        row = conn.execute(
            "select has_table_privilege(r.oid, c.oid, 'select') or not pg_has_role(c.relowner, 'usage')"
            " from pg_roles r, pg_class c"
            " where r.rolname = %s and c.oid = to_regclass('public.layer_styles')",
            (role,),
        ).fetchone()
        if row is not None and not row[0]:
            conn.execute(SQL("grant select on public.layer_styles to {}").format(Identifier(role)))
