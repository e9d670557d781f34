-- Purpose: derive what stands on ground that changed: the mines it lies in, and what lies outside them.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_ground, after the year map; the trigger on lode.label, whose labels leave it as it is.
--   Its callers hold the accounting lock.
create function lode_api.derive_standing(changed geometry[], years integer[]) returns void
language plpgsql
as $$
declare
  mine_ids integer[];
begin
  select array_agg(distinct m.mine_id order by m.mine_id) into mine_ids
  from unnest(changed) as c(geom)
  join lode.mine m on m.boundary && c.geom and lode_api.meets(m.boundary, c.geom);
  perform lode_api.derive_mines(mine_ids, years);
  perform lode_api.derive_outside(changed, years);
end
$$;

comment on function lode_api.derive_standing(geometry[], integer[]) is
  'Derive again what stands on the ground inside these outlines in these years, in mines and outside.';
