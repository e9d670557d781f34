-- Purpose: the column that says whose tiles a partition of a table of tiles holds; null: no such table.
-- Used by: create_tile_table, attach_tile_table, settle_tile_table; db/raster/tables.py knows the same.
create function lode_api.tile_owner_key(parent text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select case parent
    when 'scene_tile' then 'scene_id'
    when 'probability' then 'run_id'
    when 'evidence_tile' then 'evidence_layer_id'
    when 'geology_tile' then 'geology_raster_id'
    when 'prospect_score' then 'prospect_run_id'
  end
$$;

comment on function lode_api.tile_owner_key(text) is
  'Name of the key by which a table of tiles is partitioned; null for other tables.';
