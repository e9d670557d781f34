-- Purpose: the three series that tell how the damage of a region grows: active, newly damaged, cumulative.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: as in active_newly_cumulative, over all mines of the region, ground counted once, and over damaged
--   ground outside mines. A year that observed nothing of the region has null, and keeps what is known of
--   earlier ones as cumulative; a region never observed has null there too.
-- Source: the series of SkyTruth's surface mining data (Pericak et al. 2018, doi 10.1371/journal.pone.0197758).
-- Used by: `lode report region`, charts, analysts.
create view lode_api.active_newly_cumulative_by_region as
select
  r.region_id::bigint * 10000 + y.year as ogc_fid,
  l.key as layer,
  r.code as region_code,
  r.name as region_name,
  y.year,
  ry.damaged_area_m2 as active_area_m2,
  ry.newly_area_m2,
  max(ry.cumulative_area_m2) over (partition by r.region_id order by y.year) as cumulative_area_m2,
  least(coalesce(ry.observed_area_m2 / ry.region_area_m2, 0), 1) as observed_fraction
from lode.region r
join lode.region_layer l on l.region_layer_id = r.region_layer_id
cross join lode_api.report_year y
left join lode.region_year ry on ry.region_id = r.region_id and ry.year = y.year;

comment on view lode_api.active_newly_cumulative_by_region is
  'Active, newly seen and cumulative damage by region and year, in mines and outside; ground counts once. In '
  'the first observed year all damage is newly seen, of whatever age.';
comment on column lode_api.active_newly_cumulative_by_region.ogc_fid is 'Key';
comment on column lode_api.active_newly_cumulative_by_region.layer is 'Layer of regions, e.g. county';
comment on column lode_api.active_newly_cumulative_by_region.region_code is
  'Code of the region; unique in its layer';
comment on column lode_api.active_newly_cumulative_by_region.region_name is 'Name of the region';
comment on column lode_api.active_newly_cumulative_by_region.year is 'Year';
comment on column lode_api.active_newly_cumulative_by_region.active_area_m2 is
  'Ground damaged in this year, over the observed part, m2; null: not observed';
comment on column lode_api.active_newly_cumulative_by_region.newly_area_m2 is
  'What of it no earlier year saw damaged, m2; null: not observed';
comment on column lode_api.active_newly_cumulative_by_region.cumulative_area_m2 is
  'Ground that this or an earlier year saw damaged, m2; null: never observed so far';
comment on column lode_api.active_newly_cumulative_by_region.observed_fraction is
  'Share of the region observed, 0..1';
