-- Purpose: the three series that tell how a mine's footprint grows: active, newly damaged, cumulative.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: active is the ground damaged in the year; newly what of it no earlier year saw damaged; cumulative
--   the ground that this or an earlier year saw damaged, counted once. In a mine's first observed year all
--   damage is newly seen, of whatever age. Active and newly are null in a year that did not observe the
--   mine; cumulative stays what earlier years knew, and is null until the first. Where a part was observed,
--   each is over what was seen, so at least that much.
-- Source: the series of SkyTruth's surface mining data (Pericak et al. 2018, doi
--   10.1371/journal.pone.0197758).
-- Used by: `lode report mine`, charts, analysts.
create view lode_api.active_newly_cumulative as
select
  o.ogc_fid,
  o.mine_code,
  o.mine_name,
  o.year,
  d.area_m2 as active_area_m2,
  case when d.area_m2 is not null then my.newly_area_m2 end as newly_area_m2,
  max(my.cumulative_area_m2) over (partition by o.mine_code order by o.year) as cumulative_area_m2,
  o.observed_fraction
from lode_api.observation_by_mine_year o
left join lode.mine_year my on my.mine_year_id = o.mine_year_id
left join (
  select a.mine_year_id, sum(a.area_m2 order by a.area_m2) as area_m2
  from lode.mine_area a
  join lode.land_class c on c.land_class_code = a.land_class_code
  where c.damage_kind in ('excavated', 'occupied', 'subsided')
  group by a.mine_year_id
) d on d.mine_year_id = o.mine_year_id;

comment on view lode_api.active_newly_cumulative is
  'Active, newly seen and cumulative damage by mine and year. In the first observed year all damage is newly '
  'seen, of whatever age.';
comment on column lode_api.active_newly_cumulative.ogc_fid is 'Key';
comment on column lode_api.active_newly_cumulative.mine_code is 'Code of the mine';
comment on column lode_api.active_newly_cumulative.mine_name is 'Name of the mine';
comment on column lode_api.active_newly_cumulative.year is 'Year';
comment on column lode_api.active_newly_cumulative.active_area_m2 is
  'Ground damaged in this year, over the observed part, m2; null: not observed';
comment on column lode_api.active_newly_cumulative.newly_area_m2 is
  'What of it no earlier year saw damaged, m2; null: not observed';
comment on column lode_api.active_newly_cumulative.cumulative_area_m2 is
  'Ground that this or an earlier year saw damaged, m2; null: never observed so far';
comment on column lode_api.active_newly_cumulative.observed_fraction is 'Share of the mine observed, 0..1';
