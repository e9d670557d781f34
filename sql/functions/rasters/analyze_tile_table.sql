-- Purpose: gather the statistics of a table of tiles.
-- Rules: with its owner's rights, as PostgreSQL lets a table's owner alone do so; on tables that create_tile_table
--   made, no others.
-- Used by: db/raster/tables.py.
create function lode_api.analyze_tile_table(table_name text) returns void
language plpgsql volatile security definer
set search_path = lode, public, pg_temp
as $$
#variable_conflict use_variable
begin
  if not exists (
    select from pg_class c
    where c.relnamespace = to_regnamespace('lode_raster') and c.relname = table_name and c.relkind = 'r'
      and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
  ) then
    raise undefined_table using message = format('there is no raster table %L of ours', table_name);
  end if;
  execute format('analyze lode_raster.%I', table_name);
end
$$;

comment on function lode_api.analyze_tile_table(text) is 'Gather the statistics of a table of tiles.';
