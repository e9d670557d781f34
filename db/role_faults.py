"""What is wrong with the roles of a server and with their rights in a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from psycopg import Connection, Cursor
from psycopg.sql import Identifier

from db.role_closed import open_to_all
from db.role_logins import former_owners, stale_owners
from db.role_planted import planted_objects, unusual_objects
from db.role_rights import makers, missing_grants, open_objects
from db.roles import READER, READER_SETTINGS, ROLES, foreign_objects, is_box_test_leakproof, missing_roles

_FEW = 3

_POWERS = """
select r.rolname::text, concat_ws(', ', case when r.rolsuper then 'is a superuser' end,
  case when r.rolcreaterole then 'may make roles' end, case when r.rolcreatedb then 'may make databases' end,
  case when r.rolbypassrls then 'passes row security' end,
  case when r.rolreplication then 'may replicate' end,
  case when r.rolcanlogin and not w.logs_in then 'can log in' end,
  case when w.logs_in and not r.rolcanlogin then 'cannot log in' end
)
from unnest(%s::text[], %s::boolean[]) with ordinality as w(name, logs_in, place)
join pg_roles r on r.rolname = w.name
order by w.place
"""

# Membership in a predefined role opens files and programs of the server.
_MEMBERSHIPS = """
select m.rolname::text, g.rolname::text
from pg_roles m
join pg_roles g on g.oid <> m.oid and pg_has_role(m.oid, g.oid, 'member')
where m.rolname = any(%s) and not m.rolsuper and (g.rolname ~ '^pg_' or g.rolsuper)
order by 1, 2
"""

_DEFINERS = """
select p.oid::regprocedure::text
from pg_proc p
join pg_roles r on r.oid = p.proowner
where p.pronamespace::regnamespace::text in ('lode', 'lode_api', 'lode_queue', 'lode_raster')
  and p.prosecdef and r.rolsuper
order by 1
"""


def role_faults(conn: Connection[Any]) -> list[str]:
    """What `lode db check` says of roles, owners and rights; empty when all is well."""
    with conn.cursor() as cursor:
        return list(_faults(cursor))


def _faults(cursor: Cursor[Any]) -> Iterator[str]:
    missing = missing_roles(cursor)
    if missing:
        yield f"the roles {', '.join(missing)} are missing: let a superuser run `lode db upgrade`"
    cursor.execute(_POWERS, ([role.name for role in ROLES], [role.options != "nologin" for role in ROLES]))
    yield from (f"the role {name} {powers}" for name, powers in cursor.fetchall() if powers)
    cursor.execute(_MEMBERSHIPS, ([role.name for role in ROLES],))
    yield from (f"the role {member} is a member of {group}" for member, group in cursor.fetchall())
    if READER not in missing:
        yield from _unset(cursor)
    foreign = [
        f"{kind} {name}"
        for tiles in (False, True)
        for kind, name, _role in foreign_objects(cursor, tiles=tiles, everything=True)
    ]
    if foreign:
        yield f"{len(foreign)} objects belong to other roles than they should: {_some(foreign)}"
    planted = [f"{kind} {name}" for kind, name in planted_objects(cursor)]
    if planted:
        yield (
            f"{len(planted)} things in Lode's schemas are of logins that may put nothing there:"
            f" {_some(planted)};"
            " drop them, or give them to an owner you trust, before anybody upgrades, dumps or restores"
        )
    unusual = [f"{kind} {name}" for kind, name in unusual_objects(cursor)]
    if unusual:
        yield f"Lode has neither rules nor row security, but there is: {_some(unusual)}"
    can_make = [f"{role} in {schema}" for role, schema in makers(cursor, everything=True)]
    if can_make:
        yield f"roles may make things where they should not: {_some(can_make)}"
    cursor.execute(_DEFINERS)
    above = [name for (name,) in cursor.fetchall()]
    if above:
        yield f"{len(above)} functions run with a superuser's rights: {_some(above)}"
    lacking = [
        f"{', '.join(privileges)} on {name} for {role}"
        for _kind, name, _column, role, privileges in missing_grants(cursor, everything=True)
        if _kind != "database"  # a copy made from a template has none of them, and everybody's are enough
    ]
    if lacking:
        yield f"{len(lacking)} grants are missing: {_some(lacking)}"
    opened = [
        f"{privilege} on {thing}"
        for thing, privilege in open_objects(cursor, everything=True)
        if not thing.startswith("database ")
    ]
    if opened:
        yield f"everybody has what nobody should: {_some(opened)}"
    callable_by_all = [signature for signature, _kind in open_to_all(cursor)]
    if callable_by_all and not missing:
        yield (
            "everybody may call what tells of other mines' ground, writes in read-only transactions or takes"
            f" Lode's locks: {_some(callable_by_all)}; let a superuser run `lode db upgrade`, also after an"
            " update of PostGIS"
        )
    yield from _owners(cursor)


def _unset(cursor: Cursor[Any]) -> Iterator[str]:
    cursor.execute(
        "select split_part(c.setting, '=', 1) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole"
        " cross join lateral unnest(s.setconfig) as c(setting) where r.rolname = %s"
        " and split_part(c.setting, '=', 2) !~ '^(off|false|no|0[a-z]*)$'",  # a login can lift its own
        (READER,),
    )
    found = {name for (name,) in cursor.fetchall()}
    absent = [name for name, _value in READER_SETTINGS if name not in found]
    if absent:
        yield f"the role {READER} has no {', '.join(absent)}: `alter role {READER} set ...` (docs/roles.md)"


def _owners(cursor: Cursor[Any]) -> Iterator[str]:
    stale = stale_owners(cursor.connection)
    gone = [name for name, is_there in stale.items() if not is_there]
    if gone:
        yield f"mines belong to logins that are no more: {_some(gone)}; `lode role remove` forgets them"
    strange = [name for name, is_there in stale.items() if is_there]
    if strange:
        names = ", ".join(Identifier(name).as_string(cursor) for name in strange)
        yield (
            f"mines are recorded under the names of roles that were not given them: {_some(strange)}; nobody"
            " sees them. Same persons, after a restore that left grants out: `grant execute on function"
            f" lode_api.own_mines() to {names}`; another: delete the name's rows of lode.mine_owner"
        )
    empty = former_owners(cursor.connection)
    if empty:
        yield (
            f"roles that own no mine may still ask for theirs: {_some(empty)}; `revoke execute on function"
            " lode_api.own_mines() from ...`"
        )
    cursor.execute("select exists (select from lode.mine_owner)")
    if (cursor.fetchone() or (False,))[0] and not is_box_test_leakproof(cursor):
        yield (
            "mine owners' maps do without the spatial index: let a superuser run `lode db upgrade`,"
            " also after an update of PostGIS"
        )


def _some(names: list[str]) -> str:
    rest = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {rest} more" if rest > 0 else "")
