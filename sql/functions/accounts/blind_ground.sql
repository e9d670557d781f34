-- Purpose: ground of a mine that one year saw damaged and that a run of another year, whose network does not map
--   the class of that damage, found undamaged.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_blind_pairs, derive_blind_years.
create function lode_api.blind_ground(
  of_mine integer, damaged_year integer, damaged_code integer, blind_year integer, blind_run integer
)
returns table (is_exclusive boolean, land_class_code integer, geom geometry)
language sql stable
begin atomic
  select z.is_exclusive, u.land_class_code, x.geom
  from lode.mine_zone z
  join lode.mine_piece d
    on d.mine_zone_id = z.mine_zone_id and d.year = damaged_year and d.land_class_code = damaged_code
  left join lode.landcover dl on d.geom is null and dl.landcover_id = d.landcover_id
  join lode.mine_piece u
    on u.mine_zone_id = z.mine_zone_id and u.year = blind_year and u.run_id = blind_run
  join lode.land_class k
    on k.land_class_code = u.land_class_code and k.damage_kind not in ('excavated', 'occupied', 'subsided')
  left join lode.landcover ul on u.geom is null and ul.landcover_id = u.landcover_id
  cross join lateral (
    select st_force2d(coalesce(d.geom, dl.geom)) as damaged, st_force2d(coalesce(u.geom, ul.geom)) as blind
    offset 0
  ) g
  cross join lateral (
    select st_collectionextract(lode_api.safe_intersection(
      lode_api.near_part(g.damaged, g.blind), lode_api.near_part(g.blind, g.damaged)
    ), 3) as geom
    offset 0
  ) x
  where z.mine_id = of_mine and g.damaged && g.blind and not st_isempty(x.geom);
end;

comment on function lode_api.blind_ground(integer, integer, integer, integer, integer) is
  'Ground damaged in one year that a run of another, which does not map that class, found undamaged; its class '
  'there.';
