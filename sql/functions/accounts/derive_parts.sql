-- Purpose: cut the largest published polygons into parts, once, so that mines need not each be cut out of an
--   outline of a million vertices (the undamaged ground of a whole scene hangs together).
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_outlines.
create function lode_api.derive_parts(run_ids integer[]) returns void
language sql
begin atomic
  insert into lode.landcover_part (landcover_id, run_id, geom)
  select l.landcover_id, l.run_id, p.geom
  from lode.landcover l
  cross join lateral lode_api.halves(l.geom, 32768) as p(geom)
  where l.run_id = any(run_ids) and st_npoints(l.geom) > 32768
  order by l.landcover_id;
end;

comment on function lode_api.derive_parts(integer[]) is
  'Cut the large polygons of these runs, which have no parts yet, into parts.';
