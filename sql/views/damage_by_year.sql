-- Purpose: damaged area of all mines by year and class.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: ground that lies in several mines counts once; observed_fraction says how much of the mines'
--   ground (their union) the year saw, so that years can be compared. Rows as in damage_by_mine_year: a
--   class that only interpreters know has one where they drew it.
-- Used by: `lode report damage`, reports.
create view lode_api.damage_by_year as
select
  y.year * 1000 + c.land_class_code as ogc_fid,
  y.year,
  c.key as land_class,
  c.name_zh as land_class_name_zh,
  c.damage_kind as kind,
  f.area_m2,
  coalesce(f.observed_mine_count, 0) as observed_mine_count,
  g.mine_count,
  least(coalesce(o.observed_area_m2 / g.area_m2, 0), 1) as observed_fraction,
  not c.is_mapped as is_interpreted
from lode_api.report_year y
join lode.land_class c on c.damage_kind in ('excavated', 'occupied', 'subsided')
cross join (
  select
    count(distinct z.mine_id)::integer as mine_count,
    sum(z.area_m2 order by z.area_m2) filter (where z.is_exclusive) as area_m2
  from lode.mine_zone z
) g
left join (
  select
    my.year,
    a.land_class_code,
    sum(a.exclusive_area_m2 order by a.exclusive_area_m2) as area_m2,
    count(*)::integer as observed_mine_count
  from lode.mine_year my
  join lode.mine_area a on a.mine_year_id = my.mine_year_id
  group by my.year, a.land_class_code
) f on f.year = y.year and f.land_class_code = c.land_class_code
left join (
  select my.year,
    sum(my.exclusive_observed_area_m2 order by my.exclusive_observed_area_m2) as observed_area_m2
  from lode.mine_year my
  group by my.year
) o on o.year = y.year
where g.mine_count > 0 and (c.is_mapped or f.area_m2 > 0);

comment on view lode_api.damage_by_year is
  'Damaged area of all mines by year and class; ground in several mines counts once.';
comment on column lode_api.damage_by_year.ogc_fid is 'Key';
comment on column lode_api.damage_by_year.year is 'Year';
comment on column lode_api.damage_by_year.land_class is 'Class key';
comment on column lode_api.damage_by_year.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.damage_by_year.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.damage_by_year.area_m2 is
  'Geodesic area over what was observed, m2; null: nobody looked for the class in any mine';
comment on column lode_api.damage_by_year.observed_mine_count is
  'Mines in which the class was looked for, at least in a part';
comment on column lode_api.damage_by_year.mine_count is 'Mines in the database';
comment on column lode_api.damage_by_year.observed_fraction is
  'Observed share of the ground of all mines, 0..1';
comment on column lode_api.damage_by_year.is_interpreted is
  'The class is known from labels only: no network maps it';
