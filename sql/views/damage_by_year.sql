-- Purpose: damaged area of all mines by year and class.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: ground that lies in several mines counts once; observed_fraction says how much of the mines' ground
--   the year's runs saw, so that years can be compared.
-- Used by: `lode report damage`, reports.
create view lode_api.damage_by_year as
select
  d.year * 1000 + c.land_class_code as ogc_fid,
  d.year,
  d.land_class,
  d.land_class_name_zh,
  d.kind,
  sum(d.exclusive_area_m2) as area_m2,
  count(d.area_m2)::integer as observed_mine_count,
  count(*)::integer as mine_count,
  coalesce(max(y.observed_area_m2) / nullif(max(y.boundary_area_m2), 0), 0) as observed_fraction
from lode_api.damage_by_mine_year d
join lode.land_class c on c.key = d.land_class
left join (
  select
    my.year,
    sum(least(my.observed_area_m2, my.boundary_area_m2)) as observed_area_m2,
    (select sum(st_area(m.boundary::geography)) from lode.mine m) as boundary_area_m2
  from lode.mine_year my
  group by my.year
) y on y.year = d.year
group by d.year, c.land_class_code, d.land_class, d.land_class_name_zh, d.kind;

comment on view lode_api.damage_by_year is
  'Damaged area of all mines by year and class; ground in several mines counts once.';
comment on column lode_api.damage_by_year.ogc_fid is 'Key';
comment on column lode_api.damage_by_year.year is 'Year';
comment on column lode_api.damage_by_year.land_class is 'Class key';
comment on column lode_api.damage_by_year.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.damage_by_year.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.damage_by_year.area_m2 is 'Geodesic area, m2; null: nothing was observed';
comment on column lode_api.damage_by_year.observed_mine_count is 'Mines observed, at least in part';
comment on column lode_api.damage_by_year.mine_count is 'Mines in the database';
comment on column lode_api.damage_by_year.observed_fraction is
  'Observed share of the summed area of the mines, 0..1';
