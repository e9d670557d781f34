-- Purpose: the settings of an interpretation; with scene and network they say which run it is.
-- Units: pixels, m, m2 by class code.
-- Rules: block_px is the least size of the strips that a large scene is split into, 4096 x 4096 px, or what
--   `alter database ... set lode.block_px` says; strips are the same whoever computes them.
-- Used by: lode_api.ask_run.
create function lode_api.run_parameters(model_id integer, overlap_px integer)
returns jsonb
language sql stable
set search_path = lode, pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'overlap_px', coalesce(run_parameters.overlap_px, m.tile_px / 4),
    'tile_px', m.tile_px,
    'max_segment_m', 500,
    'min_patch_m2', (
      select coalesce(jsonb_object_agg(c.land_class_code, c.min_patch_m2), '{}')
      from lode.land_class c
      where c.is_mapped
    ),
    'block_px', greatest(1, coalesce(nullif(current_setting('lode.block_px', true), '')::integer, 16777216))
  )
  from lode.model m
  where m.model_id = run_parameters.model_id
$$;

comment on function lode_api.run_parameters(integer, integer) is
  'Settings of an interpretation by a network; overlap of windows in pixels, null: a quarter of the window.';
