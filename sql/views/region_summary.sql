-- Purpose: what regions there are: layer, names, area, and how many mines have ground in each.
-- Units: m2 (geodesic, WGS 84).
-- Used by: `lode report region`, forms that offer a choice of regions.
create view lode_api.region_summary as
select
  r.region_id as ogc_fid,
  l.key as layer,
  l.name as layer_name,
  l.name_zh as layer_name_zh,
  l.is_protected,
  r.code as region_code,
  r.name as region_name,
  r.name_zh as region_name_zh,
  (
    select sum(p.area_m2 order by p.area_m2) from lode.region_part p where p.region_id = r.region_id
  ) as area_m2,
  (select count(*)::integer from lode.region_mine x where x.region_id = r.region_id) as mine_count
from lode.region r
join lode.region_layer l on l.region_layer_id = r.region_layer_id;

comment on view lode_api.region_summary is 'Regions with layer, names, area and number of mines.';
comment on column lode_api.region_summary.ogc_fid is 'Key: region_id';
comment on column lode_api.region_summary.layer is 'Layer of regions, e.g. county';
comment on column lode_api.region_summary.layer_name is 'Name of the layer';
comment on column lode_api.region_summary.layer_name_zh is 'Name of the layer, Chinese';
comment on column lode_api.region_summary.is_protected is 'Ground that must not be damaged';
comment on column lode_api.region_summary.region_code is 'Code of the region; unique in its layer';
comment on column lode_api.region_summary.region_name is 'Name of the region';
comment on column lode_api.region_summary.region_name_zh is 'Name of the region, Chinese';
comment on column lode_api.region_summary.area_m2 is 'Geodesic area of the region, m2';
comment on column lode_api.region_summary.mine_count is 'Mines with ground in it, wholly or in part';
