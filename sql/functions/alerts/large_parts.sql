-- Purpose: the parts of a shape that are no smaller than a mapped patch; slivers along edges are noise.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: the functions that find the ground of alerts. No row where nothing is left.
create function lode_api.large_parts(shape geometry, least_m2 double precision)
returns table (geom geometry, area_m2 double precision)
language sql immutable
begin atomic
  select st_multi(st_normalize(st_collect(p.geom))), sum(p.area_m2 order by p.area_m2)
  from (
    select d.geom, st_area(d.geom::geography) as area_m2
    from st_dump(st_collectionextract(shape, 3)) as d
    offset 0 -- measured once
  ) p
  where p.area_m2 >= least_m2
  having count(*) > 0;
end;

comment on function lode_api.large_parts(geometry, double precision) is
  'The parts of a shape that are at least so many m2, and their area; no row when there are none.';
