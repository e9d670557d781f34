-- Purpose: the part of a shape inside a mine that a year observed.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_patch_history.
create function lode_api.seen_part(of_mine integer, of_year integer, shape geometry) returns geometry
language plpgsql stable
as $$
declare
  seen geometry;
begin
  if not exists (
    select from lode.mine_zone z
    left join lode.zone_year y on y.mine_zone_id = z.mine_zone_id and y.year = of_year
    where z.mine_id = of_mine and (y.zone_year_id is null or y.geom is not null)
  ) then
    return shape; -- every zone was seen whole
  end if;
  select st_union(coalesce(y.geom, z.geom) order by z.is_exclusive) into seen
  from lode.mine_zone z
  join lode.zone_year y on y.mine_zone_id = z.mine_zone_id and y.year = of_year
  where z.mine_id = of_mine;
  return case when seen is null then st_setsrid('multipolygon empty'::geometry, 4326)
    else lode_api.safe_intersection(shape, seen) end;
end
$$;

comment on function lode_api.seen_part(integer, integer, geometry) is
  'The part of a shape inside a mine that a year observed.';
