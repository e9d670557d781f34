-- Purpose: whether a table of tiles is the one that a scene, run, layer, ... names as its own.
-- Rules: a run names none, its tiles are probability_<run_id>.
-- Used by: create_tile_table, attach_tile_table, settle_tile_table.
create function lode_api.owns_tiles(parent text, owner_id integer, table_name text) returns boolean
language sql stable
set search_path = lode, pg_catalog, pg_temp
as $$
  select case parent
    when 'scene_tile' then exists (
      select from lode.scene s where s.scene_id = owner_id and s.tile_table = table_name
    )
    when 'probability' then exists (select from lode.run r where r.run_id = owner_id)
    when 'evidence_tile' then exists (
      select from lode.evidence_layer e where e.evidence_layer_id = owner_id and e.tile_table = table_name
    )
    when 'geology_tile' then exists (
      select from lode.geology_raster g where g.geology_raster_id = owner_id and g.tile_table = table_name
    )
    when 'prospect_score' then exists (
      select from lode.prospect_run r where r.prospect_run_id = owner_id and r.tile_table = table_name
    )
  end
$$;

comment on function lode_api.owns_tiles(text, integer, text) is
  'Whether a table of tiles is the one that a scene, run, layer, ... names as its own.';
