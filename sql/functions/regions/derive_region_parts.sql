-- Purpose: divide regions into parts of few vertices, so that cutting something at a border of a hundred
--   thousand vertices costs what the border near by costs.
-- Rules: edges of a region are straight in longitude and latitude, as every client draws them; areas are
--   measured with vertices at least every 0.01 degree, so that geodesic edges between them are the same line.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_region, lode_api.derive_all_regions.
create function lode_api.derive_region_parts(region_ids integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.region_part where region_id = any(region_ids);

  insert into lode.region_part (region_id, geom, area_m2)
  select p.region_id, p.geom, st_area(st_segmentize(p.geom, 0.01)::geography)
  from (
    select r.region_id, st_multi(st_collectionextract(d.geom, 3)) as geom
    from lode.region r
    cross join lateral st_subdivide(r.geom, 200) as d(geom)
    where r.region_id = any(region_ids)
  ) p
  where not st_isempty(p.geom)
  order by p.region_id;
end
$$;

comment on function lode_api.derive_region_parts(integer[]) is
  'Derive lode.region_part of these regions again.';
