"""What lies in our schemas and is neither ours nor an administrator's: nobody may run it.

Who upgrades, restores or checks a database runs what is planted in it: triggers, checks, policies, defaults
and index expressions run with the rights of whoever touches their table. Trusted are superusers, the owner
of the database and of the schema ``lode``, ``lode_owner``, its members, and who upgrades.
"""

from __future__ import annotations

from typing import Any

from psycopg import Cursor

from db.errors import UsageError

TILE_TABLE = "^(o_[0-9]{1,4}_)?(scene|probability|evidence|geology|prospect_score)_[a-z0-9_]+$"
"""Names of tables of tiles, as ingests and runs give them."""

TRUSTED = """
select r.oid
from pg_roles r
where r.rolsuper or r.rolname in ('lode_owner', current_user)
  or r.oid in (select d.datdba from pg_database d where d.datname = current_database())
  or r.oid in (select n.nspowner from pg_namespace n where n.nspname = 'lode')
  or exists (select from pg_roles o where o.rolname = 'lode_owner' and pg_has_role(r.oid, o.oid, 'member'))
"""
"""Roles whose objects may stand in our schemas."""

_EXPRESSIONS = (
    "check|any|st_srid|round|st_scalex|st_scaley|st_width|st_height|st_samealignment|st_numbands|st_envelope"
    "|_raster_constraint_nodata_values|_raster_constraint_pixel_types|_raster_constraint_out_db"
    "|_overview_constraint|st_convexhull|btree|gist|key"
)

# Functions are looked for by name too: on PostgreSQL's own nothing depends, and some run any query. They are
# public's, as no strange one may stand behind the table.
CLEAN_TILES = f"""
select c.oid
from pg_class c
where c.relnamespace = to_regnamespace('lode_raster') and c.relkind = 'r' and c.relname ~ '{TILE_TABLE}'
  and not (c.relhastriggers or c.relhasrules or c.relrowsecurity or c.relforcerowsecurity)
  and not exists (select from pg_policy p where p.polrelid = c.oid)
  and not exists (select from pg_attrdef d where d.adrelid = c.oid)
  and not exists (
    select from (
      select pg_get_constraintdef(k.oid) from pg_constraint k where k.conrelid = c.oid and k.contype = 'c'
      union all
      select regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '', 'i')
      from pg_index i where i.indrelid = c.oid
    ) as e(words)
    cross join lateral regexp_matches(
      regexp_replace(e.words, '''([^'']|'''')*''', '', 'g'), '([[:alnum:]_$"]+)\\s*\\(', 'g'
    ) as m(called)
    where m.called[1] !~* '^({_EXPRESSIONS})$'
  )
  and not exists (
    select from pg_depend d
    left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
    left join pg_index i on d.classid = 'pg_class'::regclass and i.indexrelid = d.objid
    join pg_shdepend s on s.deptype = 'o' and s.classid = d.refclassid and s.objid = d.refobjid
      and s.dbid = (select b.oid from pg_database b where b.datname = current_database())
      and d.refclassid <> 'pg_class'::regclass
    where (k.conrelid = c.oid or i.indrelid = c.oid or d.classid = 'pg_class'::regclass and d.objid = c.oid)
      and d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass)
      and s.refobjid not in ({TRUSTED})
  )
"""  # noqa: S608 - composed of constants
"""Tables of tiles in which nothing would run but what PostGIS checks tiles with."""

_PLANTED = f"""
select o.type as kind, o.identity
from pg_shdepend s
cross join lateral pg_identify_object(s.classid, s.objid, s.objsubid) as o
where s.deptype = 'o' and s.dbid = (select d.oid from pg_database d where d.datname = current_database())
  and s.refclassid = 'pg_authid'::regclass and s.refobjid not in ({TRUSTED})
  and (o.schema = any(%(schemas)s) or o.type = 'schema' and o.name = any(%(schemas)s)
    or o.type = 'event trigger')
  and not (s.classid = 'pg_class'::regclass and s.objid in ({CLEAN_TILES}))
union all
select 'trigger', format('%%I on %%s', t.tgname, c.oid::regclass)
from pg_trigger t
join pg_class c on c.oid = t.tgrelid and c.relnamespace::regnamespace::text = any(%(schemas)s)
join pg_proc p on p.oid = t.tgfoid
where p.proowner not in ({TRUSTED})
union all
select 'event trigger', e.evtname::text
from pg_event_trigger e
join pg_proc p on p.oid = e.evtfoid
where p.proowner not in ({TRUSTED})
union all
select 'constraint', format('%%I on %%s', k.conname, k.conrelid::regclass)
from pg_constraint k
join pg_depend d on d.classid = 'pg_constraint'::regclass and d.objid = k.oid
  and d.refclassid = 'pg_proc'::regclass
join pg_proc p on p.oid = d.refobjid
where k.connamespace::regnamespace::text = any(%(schemas)s) and p.proowner not in ({TRUSTED})
order by 1, 2
"""  # noqa: S608 - composed of constants

_UNUSUAL = """
select 'rule', format('%%I on %%s', w.rulename, c.oid::regclass)
from pg_rewrite w
join pg_class c on c.oid = w.ev_class
where w.rulename <> '_RETURN' and c.relnamespace::regnamespace::text = any(%(schemas)s)
union all
select 'policy', format('%%I on %%s', p.polname, c.oid::regclass)
from pg_policy p
join pg_class c on c.oid = p.polrelid
where c.relnamespace::regnamespace::text = any(%(schemas)s)
union all
select 'row security', c.oid::regclass::text
from pg_class c
where c.relnamespace::regnamespace::text = any(%(schemas)s) and (c.relrowsecurity or c.relforcerowsecurity)
order by 1, 2
"""

SCHEMAS = ["lode", "lode_api", "lode_queue", "lode_raster"]


def planted_objects(cursor: Cursor[Any]) -> list[tuple[str, str]]:
    """Kind and name of what strangers put into our schemas; clean tables of tiles are not."""
    cursor.execute(_PLANTED, {"schemas": SCHEMAS})
    return list(dict.fromkeys(cursor.fetchall()))


def unusual_objects(cursor: Cursor[Any]) -> list[tuple[str, str]]:
    """Kind and name of rules, policies and row security in our schemas, where Lode has none, whosever."""
    cursor.execute(_UNUSUAL, {"schemas": SCHEMAS})
    return cursor.fetchall()


def refuse_planted(cursor: Cursor[Any]) -> None:
    """Refuse to go on where something planted would run; a stranger's view is only read by who reads it.

    Raises:
        UsageError: something of a stranger's lies in our schemas; the message names it.

    """
    found = [f"{kind} {name}" for kind, name in planted_objects(cursor) if kind != "view"]
    if found:
        rest = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise UsageError(
            "something in Lode's schemas belongs to a login that may put nothing there, and an upgrade would"
            f" run it with its own rights: {', '.join(found[:5])}{rest}\n"
            "Nothing was changed. Find out how it came there; then drop it, or give it to an owner you trust."
        )
