"""Checks of raster tables: what GIS clients need of them, and whose they are."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.checks.result import Check, Found, Limits
from db.raster.faults import raster_table_faults
from db.raster.tables import PARENT_KEYS, RASTER_SCHEMA


def _raster_tables(conn: Connection[Any], _limits: Limits) -> Found:
    # PostGIS lists a role only those overviews that it may read.
    rows = conn.execute(
        "select c.relname::text from pg_class c where c.relnamespace = to_regnamespace(%s)"
        " and c.relkind = 'r' and not has_table_privilege(c.oid, 'select')",
        (RASTER_SCHEMA,),
    )
    hidden = {name for (name,) in rows}
    found = Found(
        [
            f"{fault.table}: {fault.fault}; {fault.hint}"
            for fault in raster_table_faults(conn)
            if fault.table not in hidden
        ]
    )
    if hidden:
        found.unseen.append(f"{len(hidden)} raster tables that this role may not read")
    return found


# A partition names the one scene or run it is for: FOR VALUES IN (7).
_OWNED = """
select c.oid, c.relname::text as tile_table, p.relname::text as parent,
  (regexp_match(pg_get_expr(c.relpartbound, c.oid), '[0-9]+'))[1]::integer as owner_id
from pg_class c
join pg_inherits h on h.inhrelid = c.oid
join pg_class p on p.oid = h.inhparent
where c.relnamespace = to_regnamespace('lode_raster') and p.relnamespace = c.relnamespace
"""

_MISSING_TILES = f"""
with owned as ({_OWNED}),
named as (
  select 'scene_tile' as parent, s.scene_id as owner_id, s.tile_table, 'scene ' || s.product as said
  from lode.scene s
  union all
  select 'evidence_tile', e.evidence_layer_id, e.tile_table, format('layer %s of area %s', e.name, a.name)
  from lode.evidence_layer e
  join lode.evidence_area a using (evidence_area_id)
  union all
  select 'geology_tile', g.geology_raster_id, g.tile_table, format('geology raster %s', g.geology_raster_id)
  from lode.geology_raster g
  union all
  select 'prospect_score', r.prospect_run_id, r.tile_table, format('search %s for ore', r.prospect_run_id)
  from lode.prospect_run r
)
select n.said, n.parent, n.tile_table, to_regclass(format('lode_raster.%I', n.tile_table)) is not null,
  o.owner_id
from named n
left join owned o on o.tile_table = n.tile_table and o.parent = n.parent
where o.owner_id is distinct from n.owner_id
order by n.said
"""  # noqa: S608 - composed of constants


def _tiles(conn: Connection[Any], _limits: Limits) -> Found:
    found = Found()
    parents = conn.execute(
        "select t.name from unnest(%s::text[]) as t(name) where not exists (select from pg_class c"
        " where c.relnamespace = to_regnamespace(%s) and c.relname = t.name and c.relkind = 'p')",
        (list(PARENT_KEYS), RASTER_SCHEMA),
    )
    found.faults += [f"the partitioned table {RASTER_SCHEMA}.{name} is gone" for (name,) in parents]
    for owner, parent, table, is_there, owner_id in conn.execute(_MISSING_TILES.encode()):
        if not is_there:
            said = f"its tile table lode_raster.{table} is gone"
        elif owner_id is None:
            said = f"its tile table lode_raster.{table} is no part of lode_raster.{parent}"
        else:
            kind = PARENT_KEYS[parent].removesuffix("_id").replace("_", " ")
            said = f"its tile table lode_raster.{table} is attached for {kind} {owner_id}"
        found.faults.append(f"{owner}: {said}")
    return found


_UNKNOWN = f"""
with owned as ({_OWNED})
select
  case
    when o.parent = 'probability' and r.run_id is null
      then format('%s holds the probabilities of run %s, which is gone', o.tile_table, o.owner_id)
    when o.parent = 'probability' and r.status not in ('published', 'withdrawn')
      then format('%s holds the probabilities of run %s, which is %s', o.tile_table, o.owner_id, r.status)
    when not lode_api.owns_tiles(o.parent, o.owner_id, o.tile_table)
      then format('%s holds the tiles of %s %s, which is gone or has others', o.tile_table,
        replace(replace(lode_api.tile_owner_key(o.parent), '_id', ''), '_', ' '), o.owner_id)
  end as said
from owned o
left join lode.run r on o.parent = 'probability' and r.run_id = o.owner_id
union all
select format('%s is no raster table', c.relname)
from pg_class c
where c.relnamespace = to_regnamespace('lode_raster') and c.relkind in ('r', 'v', 'm', 'f')
  and not exists (
    select from pg_attribute a
    where a.attrelid = c.oid and a.atttypid = to_regtype('raster') and a.attnum > 0 and not a.attisdropped
  )
union all
select format('run %s is published, but its table probability_%s is gone', r.run_id, r.run_id)
from lode.run r
where r.status = 'published' and to_regclass(format('lode_raster.probability_%s', r.run_id)) is null
order by 1
"""  # noqa: S608 - composed of constants


def _unknown(conn: Connection[Any], _limits: Limits) -> Found:
    return Found(warnings=[said for (said,) in conn.execute(_UNKNOWN.encode()) if said is not None])


CHECKS = (
    Check(
        "Every raster table has its key, index and constraints",
        "never VACUUM FULL, CLUSTER or reload a raster table: GIS clients lose its key; ingest it again",
        _raster_tables,
    ),
    Check(
        "Every scene, layer and search has its tiles",
        "restore the table from a dump, or ingest, compute or search it again",
        _tiles,
    ),
    Check(
        "Every raster table belongs to a scene, run, layer or search",
        "a table that nobody knows only takes room: drop it (its overviews o_<factor>_<table> too)",
        _unknown,
    ),
)
