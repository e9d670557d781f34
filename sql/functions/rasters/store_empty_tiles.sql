-- Purpose: store tiles without any value in a table of tiles, or of an overview's, compressed whatever its storage is.
-- Rules: QGIS 3.22 draws 0 where a tile is not stored. Such a tile is one value throughout, so it takes less than a
--   hundredth when compressed; with the storage of imagery it would take as much as any other, as it does in a
--   restored dump. With its owner's rights, as PostgreSQL lets a table's owner alone change its storage, which
--   afterwards is what it was; into a table that create_tile_table made and that the caller may insert into, as
--   workers may until it is attached.
-- Arguments: table_name, factor, parent and owner_id as for create_tile_table; empty is a tile of nodata, west and
--   north are the upper left corners of tiles of its size, in units of the SRID.
-- Used by: db/raster/tables.py.
create function lode_api.store_empty_tiles(
  table_name text, factor integer, parent text, owner_id integer, empty raster,
  rids integer[], west double precision[], north double precision[]
)
returns void
language plpgsql volatile security definer
set search_path = lode, public, pg_temp
as $$
#variable_conflict use_variable
declare
  owner_key constant text := lode_api.tile_owner_key(parent);
  made constant text := case when factor = 1 then table_name else format('o_%s_%s', factor, table_name) end;
  storage "char";
begin
  if coalesce(table_name !~ '^[a-z][a-z0-9_]{0,37}$', true) or num_nulls(factor, owner_key, owner_id, empty) > 0 then
    raise invalid_parameter_value using message = 'an empty tile needs a raster table, its factor, parent and key';
  end if;
  select a.attstorage into storage
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attname = 'rast'
  where c.relnamespace = to_regnamespace('lode_raster') and c.relname = made and c.relkind = 'r'
    and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
    and has_table_privilege(session_user, c.oid, 'insert');
  if storage is null then
    raise undefined_table using message = format('there is no raster table %L of ours to be filled', made);
  end if;
  if storage = 'e' then
    execute format('alter table lode_raster.%I alter column rast set storage extended', made);
    if exists (
      select from pg_settings where name = 'default_toast_compression' and 'lz4' = any(enumvals)
    ) then
      execute format('alter table lode_raster.%I alter column rast set compression lz4', made);
    end if;
  end if;
  execute format(
    'insert into lode_raster.%I (rid, %s rast) select t.rid, %s st_setupperleft($1, t.west, t.north)'
    ' from unnest($2, $3, $4) as t(rid, west, north)',
    made, case when factor = 1 then format('%I,', owner_key) end, case when factor = 1 then format('%s,', owner_id) end
  ) using empty, rids, west, north;
  if storage = 'e' then
    execute format('alter table lode_raster.%I alter column rast set storage external', made);
    execute format('alter table lode_raster.%I alter column rast set compression default', made);
  end if;
end
$$;

comment on function lode_api.store_empty_tiles(
  text, integer, text, integer, raster, integer[], double precision[], double precision[]
) is 'Store tiles without any value, compressed.';
