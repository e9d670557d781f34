-- Purpose: register an overview as AddOverviewConstraints does, after its tiles are in.
-- Rules: with its owner's rights, on tables that create_tile_table made. The constraint looks its base table up in
--   raster_columns for every row, which takes longer than the row itself: it is added without checking the rows that
--   are there (not valid).
-- Used by: db/raster/tables.py.
create function lode_api.register_overview(base_table text, factor integer) returns void
language plpgsql volatile security definer
set search_path = lode, public, pg_temp
as $$
#variable_conflict use_variable
begin
  if coalesce(base_table !~ '^[a-z][a-z0-9_]{0,37}$', true) or factor is null then
    raise invalid_parameter_value using message = format('%L cannot name a raster table', base_table);
  end if;
  execute format(
    'alter table lode_raster.%I add constraint enforce_overview_rast'
    ' check (_overview_constraint(rast, %s, ''lode_raster'', %L, ''rast'')) not valid',
    format('o_%s_%s', factor, base_table), factor, base_table
  );
end
$$;

comment on function lode_api.register_overview(text, integer) is 'Register an overview of a table of tiles.';
