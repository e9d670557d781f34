-- Purpose: what depends on a run's polygons alone: large ones in parts, and outlines for maps of small scale.
-- Rules: rows of a run depend on no other run's, so runs may be derived side by side.
-- Used by: lode_api.derive_all and `lode db refresh`, after derive_base; the trigger on lode.run.
create function lode_api.derive_outlines(run_ids integer[]) returns void
language sql
begin atomic
  delete from lode.landcover_part where run_id = any(run_ids);
  select lode_api.derive_parts(run_ids);
  select lode_api.derive_general(run_ids);
end;

comment on function lode_api.derive_outlines(integer[]) is
  'Derive parts of large polygons and generalised outlines of these runs.';
