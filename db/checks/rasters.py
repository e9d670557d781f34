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
with owned as ({_OWNED})
select s.product, s.tile_table, to_regclass(format('lode_raster.%I', s.tile_table)) is not null, o.owner_id
from lode.scene s
left join owned o on o.tile_table = s.tile_table and o.parent = 'scene_tile'
where o.owner_id is distinct from s.scene_id
order by s.product
"""  # noqa: S608 - composed of constants


def _scene_tiles(conn: Connection[Any], _limits: Limits) -> Found:
    found = Found()
    parents = conn.execute(
        "select t.name from unnest(%s::text[]) as t(name) where not exists (select from pg_class c"
        " where c.relnamespace = to_regnamespace(%s) and c.relname = t.name and c.relkind = 'p')",
        (list(PARENT_KEYS), RASTER_SCHEMA),
    )
    found.faults += [f"the partitioned table {RASTER_SCHEMA}.{name} is gone" for (name,) in parents]
    for product, table, is_there, owner_id in conn.execute(_MISSING_TILES.encode()):
        if not is_there:
            said = f"its tile table lode_raster.{table} is gone"
        elif owner_id is None:
            said = f"its tile table lode_raster.{table} is no part of lode_raster.scene_tile"
        else:
            said = f"its tile table lode_raster.{table} is attached for scene {owner_id}"
        found.faults.append(f"scene {product}: {said}")
    return found


_UNKNOWN = f"""
with owned as ({_OWNED})
select
  case
    when o.parent = 'scene_tile' and s.scene_id is null
      then format('%s holds the tiles of scene %s, which is gone or has others', o.tile_table, o.owner_id)
    when o.parent = 'probability' and r.run_id is null
      then format('%s holds the probabilities of run %s, which is gone', o.tile_table, o.owner_id)
    when o.parent = 'probability' and r.status not in ('published', 'withdrawn')
      then format('%s holds the probabilities of run %s, which is %s', o.tile_table, o.owner_id, r.status)
  end as said
from owned o
left join lode.scene s on o.parent = 'scene_tile' and s.scene_id = o.owner_id and s.tile_table = o.tile_table
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
        "Every scene has its tiles",
        "restore the table from a dump, or ingest it again",
        _scene_tiles,
    ),
    Check(
        "Every raster table belongs to a scene or a run",
        "a table that nobody knows only takes room: drop it (its overviews o_<factor>_<table> too)",
        _unknown,
    ),
)
