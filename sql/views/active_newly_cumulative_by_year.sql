-- Purpose: active, newly damaged and cumulative ground of all mines by year.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: as active_newly_cumulative; ground that lies in several mines counts once. A mine that a year did
--   not observe adds nothing to active and newly, and to cumulative what earlier years knew of it.
-- Used by: `lode report damage`, `lode report change`, charts.
create view lode_api.active_newly_cumulative_by_year as
with known as (
  select
    o.year,
    o.mine_year_id,
    my.exclusive_newly_area_m2,
    my.exclusive_observed_area_m2,
    max(my.exclusive_cumulative_area_m2) over (partition by o.mine_id order by o.year)
      as exclusive_cumulative_area_m2
  from lode_api.observation_by_mine_year o
  left join lode.mine_year my on my.mine_year_id = o.mine_year_id
),
active as (
  select a.mine_year_id, sum(a.exclusive_area_m2 order by a.exclusive_area_m2) as area_m2
  from lode.mine_area a
  join lode.land_class c on c.land_class_code = a.land_class_code
  where c.damage_kind in ('excavated', 'occupied', 'subsided')
  group by a.mine_year_id
)
select
  k.year as ogc_fid,
  k.year,
  sum(d.area_m2 order by d.area_m2) as active_area_m2,
  sum(k.exclusive_newly_area_m2 order by k.exclusive_newly_area_m2)
    filter (where d.mine_year_id is not null) as newly_area_m2,
  sum(k.exclusive_cumulative_area_m2 order by k.exclusive_cumulative_area_m2) as cumulative_area_m2,
  count(k.mine_year_id)::integer as observed_mine_count,
  count(*)::integer as mine_count,
  least(coalesce(
    sum(k.exclusive_observed_area_m2 order by k.exclusive_observed_area_m2) / max(g.area_m2), 0
  ), 1) as observed_fraction
from known k
cross join (select sum(z.area_m2 order by z.area_m2) as area_m2 from lode.mine_zone z where z.is_exclusive) g
left join active d on d.mine_year_id = k.mine_year_id
group by k.year;

comment on view lode_api.active_newly_cumulative_by_year is
  'Active, newly seen and cumulative damage of all mines by year; ground in several mines counts once.';
comment on column lode_api.active_newly_cumulative_by_year.ogc_fid is 'Key: the year';
comment on column lode_api.active_newly_cumulative_by_year.year is 'Year';
comment on column lode_api.active_newly_cumulative_by_year.active_area_m2 is
  'Ground damaged in this year, over what was observed, m2; null: nothing was observed';
comment on column lode_api.active_newly_cumulative_by_year.newly_area_m2 is
  'What of it no earlier year saw damaged, m2; null: nothing was observed';
comment on column lode_api.active_newly_cumulative_by_year.cumulative_area_m2 is
  'Ground that this or an earlier year saw damaged, m2; null: nothing was observed so far';
comment on column lode_api.active_newly_cumulative_by_year.observed_mine_count is
  'Mines observed, at least in part';
comment on column lode_api.active_newly_cumulative_by_year.mine_count is 'Mines in the database';
comment on column lode_api.active_newly_cumulative_by_year.observed_fraction is
  'Observed share of the ground of all mines, 0..1';
