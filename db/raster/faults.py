"""Raster tables that GIS clients would misread: what is wrong and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.raster.tables import PARENT_KEYS, RASTER_SCHEMA


@dataclass(frozen=True)
class RasterFault:
    """A fault of a raster table.

    Attributes:
        table: name inside ``lode_raster``.
        fault: what is wrong.
        hint: what to do.

    """

    table: str
    fault: str
    hint: str


_EXPECTED = (
    "srid",
    "scalex",
    "scaley",
    "width",
    "height",
    "same_alignment",
    "num_bands",
    "nodata_values",
    "pixel_types",
    "out_db",
    "max_extent",
)

# Usage: one row per plain table with a raster column; everything from pg_catalog, no tile is read.
_TABLE_FACTS = """
select
  c.relname,
  c.relfilenode <> c.oid as is_rewritten,
  coalesce((
    select a.attname = 'rid' and cardinality(k.conkey) = 1
    from pg_constraint k
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
    where k.conrelid = c.oid and k.contype = 'p'
  ), false) as has_key,
  array(
    select k.conname::text from pg_constraint k where k.conrelid = c.oid and k.contype = 'u' order by 1
  ) as unique_constraints,
  array(select k.conname::text from pg_constraint k where k.conrelid = c.oid and k.contype = 'c') as checks,
  exists (
    select from pg_index i
    where i.indrelid = c.oid and i.indisvalid
      and pg_get_indexdef(i.indexrelid) like '%%USING gist (st_convexhull(rast))%%'
  ) as has_index,
  (
    select p.relname::text from pg_inherits h join pg_class p on p.oid = h.inhparent where h.inhrelid = c.oid
  ) as parent,
  exists (
    select from pg_attribute a
    where a.attrelid = c.oid and a.attname = any (%(keys)s) and not a.attisdropped
  ) as has_owner,
  o.r_table_name::text as overview_of,
  case -- format() refuses null names, and only an overview has a base
    when o.r_table_name is null then false
    else to_regclass(format('%%I.%%I', o.r_table_schema, o.r_table_name)) is not null
  end as has_base
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join raster_overviews o on o.o_table_schema = n.nspname and o.o_table_name = c.relname
where n.nspname = %(schema)s
  and c.relkind = 'r'
  and exists (
    select from pg_attribute a
    where a.attrelid = c.oid and a.attname = 'rast' and a.atttypid = 'raster'::regtype and not a.attisdropped
  )
order by c.relname
"""


def raster_table_faults(conn: Connection[Any]) -> list[RasterFault]:
    """Check all tables of ``lode_raster`` for what GDAL and QGIS depend on.

    Finds tables without the key ``rid``, tables rewritten by VACUUM FULL or CLUSTER (GDAL then loses the key
    and may show wrong pixels), UNIQUE constraints (GDAL may take them for the key), missing constraints or
    index, scene and probability tables that no parent has, and overviews that are not registered or have lost
    their table.
    """
    faults: list[RasterFault] = []
    reload = "load the raster again and drop this table"
    rows = conn.execute(_TABLE_FACTS, {"schema": RASTER_SCHEMA, "keys": list(PARENT_KEYS.values())})
    for table, is_rewritten, has_key, unique, checks, has_index, parent, has_owner, base, has_base in rows:
        if not has_key:
            faults.append(RasterFault(table, "it has no primary key (rid)", "add primary key (rid)"))
        if is_rewritten:
            faults.append(
                RasterFault(
                    table,
                    "it was rewritten (VACUUM FULL, CLUSTER or ALTER TABLE), so GDAL cannot find its key",
                    f"{reload}; use plain VACUUM on raster tables",
                )
            )
        faults += [
            RasterFault(
                table, f"GDAL may take constraint {name} for its key", "make it a unique index instead"
            )
            for name in unique
        ]
        missing = [name for name in _EXPECTED if f"enforce_{name}_rast" not in checks]
        if missing:
            faults.append(
                RasterFault(
                    table,
                    f"raster constraints are missing: {', '.join(missing)}",
                    f"select AddRasterConstraints('{RASTER_SCHEMA}', '{table}', 'rast')",
                )
            )
        if not has_index:
            faults.append(
                RasterFault(
                    table,
                    "it has no valid index on st_convexhull(rast)",
                    f"create index on {RASTER_SCHEMA}.{table} using gist (st_convexhull(rast))",
                )
            )
        if has_owner and parent not in PARENT_KEYS:
            faults.append(RasterFault(table, "no partitioned table has it", f"attach it, or {reload}"))
        if not has_owner and (base is None or not has_base):
            faults.append(RasterFault(table, "it is no registered overview of an existing table", "drop it"))
    return faults
