-- Purpose: which mines lie in a region, wholly or in part, and how much of each.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every region and mine that share ground; a mine that only touches the edge has none.
-- Used by: `lode report region`, analysts. Filter by layer and region_code: areas of mines on an edge are
--   measured when they are read.
create view lode_api.mine_in_region as
select
  x.region_mine_id as ogc_fid,
  l.key as layer,
  r.code as region_code,
  r.name as region_name,
  m.code as mine_code,
  m.name as mine_name,
  x.is_whole,
  b.area_m2 as mine_area_m2,
  i.area_m2 as inside_area_m2,
  least(i.area_m2 / b.area_m2, 1) as inside_share
from lode.region_mine x
join lode.region r on r.region_id = x.region_id
join lode.region_layer l on l.region_layer_id = r.region_layer_id
join lode.mine m on m.mine_id = x.mine_id
cross join lateral (
  select sum(z.area_m2 order by z.area_m2) as area_m2 from lode.mine_zone z where z.mine_id = x.mine_id
) b
cross join lateral (
  select case when x.is_whole then b.area_m2 else st_area(x.geom::geography) end as area_m2
  offset 0 -- measured once, not for area and share
) i;

comment on view lode_api.mine_in_region is
  'Mines that lie in a region, wholly or in part, and how much of each.';
comment on column lode_api.mine_in_region.ogc_fid is 'Key';
comment on column lode_api.mine_in_region.layer is 'Layer of regions, e.g. county';
comment on column lode_api.mine_in_region.region_code is 'Code of the region; unique in its layer';
comment on column lode_api.mine_in_region.region_name is 'Name of the region';
comment on column lode_api.mine_in_region.mine_code is 'Code of the mine';
comment on column lode_api.mine_in_region.mine_name is 'Name of the mine';
comment on column lode_api.mine_in_region.is_whole is 'The mine lies wholly in the region';
comment on column lode_api.mine_in_region.mine_area_m2 is 'Geodesic area of the mine, m2';
comment on column lode_api.mine_in_region.inside_area_m2 is 'The part of it in the region, m2';
comment on column lode_api.mine_in_region.inside_share is 'The same as a share of the mine, 0..1';
