-- Purpose: derive what stands on ground that changed: another current run, a superseded scene, other labels.
-- CRS: EPSG:4326.
-- Used by: the triggers on lode.run, lode.scene, lode.observation and lode.label. `changed` are the outlines of
--   what came or went, `years` the years it counts in.
create function lode_api.derive_ground(changed geometry[], years integer[]) returns void
language plpgsql
as $$
declare
  box geometry := (select st_setsrid(st_extent(c.geom)::geometry, 4326) from unnest(changed) as c(geom));
  mine_ids integer[];
  of_year integer;
begin
  if box is null or coalesce(cardinality(years), 0) = 0 then
    return;
  end if;
  perform lode_api.lock_accounts();
  foreach of_year in array years loop
    perform lode_api.derive_ownership(box, of_year);
  end loop;
  select array_agg(distinct m.mine_id order by m.mine_id) into mine_ids
  from unnest(changed) as c(geom)
  join lode.mine m on m.boundary && c.geom and st_intersects(m.boundary, c.geom);
  perform lode_api.derive_mines(mine_ids, years);
  perform lode_api.derive_outside(changed, years);
end
$$;

comment on function lode_api.derive_ground(geometry[], integer[]) is
  'Derive again what stands on the ground inside these outlines in these years.';
