-- Purpose: drop a table of tiles, with its overviews, that nothing names any more.
-- Rules: with its owner's rights, as PostgreSQL lets a table's owner alone do so. Layers of evidence and geology
--   rasters only: they are replaced when something better comes. The table must be the partition of its key, and the
--   layer's row must be gone or name another table. Takes an exclusive lock on the table of all tiles of its kind
--   until the transaction ends: it is called last.
-- Used by: db/evidence.py, which bounds and repeats the wait for the lock, and db/geology_rasters.py, which gives up.
create function lode_api.drop_tile_table(parent text, owner_id integer, table_name text) returns void
language plpgsql volatile security definer
set search_path = lode, public, pg_temp
as $$
#variable_conflict use_variable
declare
  relation text;
begin
  if owner_id is null or coalesce(parent not in ('evidence_tile', 'geology_tile'), true) then
    raise invalid_parameter_value using message = format('tables of %L are not dropped', parent);
  end if;
  if not exists (
    select from pg_class c
    join pg_inherits h on h.inhrelid = c.oid and h.inhparent = to_regclass(format('lode_raster.%I', parent))
    where c.relnamespace = to_regnamespace('lode_raster') and c.relname = table_name and c.relkind = 'r'
      and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
      and pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES IN (%s)', owner_id)
  ) then
    raise invalid_parameter_value using message =
      format('%L is no raster table of %s %s', table_name, lode_api.tile_owner_key(parent), owner_id);
  end if;
  if lode_api.owns_tiles(parent, owner_id, table_name) then
    raise invalid_parameter_value using message =
      format('%L is in use: %s %s names it', table_name, lode_api.tile_owner_key(parent), owner_id);
  end if;
  for relation in
    select c.oid::regclass::text
    from pg_class c
    where c.relnamespace = to_regnamespace('lode_raster') and c.relkind = 'r'
      and (c.relname = table_name or regexp_replace(c.relname, '^o_[0-9]+_', '') = table_name)
      and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
    order by c.relname = table_name
  loop
    execute format('drop table %s', relation);
  end loop;
end
$$;

comment on function lode_api.drop_tile_table(text, integer, text) is
  'Drop a table of tiles, with its overviews, of a layer or geology raster that is gone.';
