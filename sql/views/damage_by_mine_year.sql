-- Purpose: damaged area by mine, year and class, with the share of the mine that was observed.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every mine, every year in which any scene was acquired and every damage class that
--   networks map. A mine that no current run observed in a year has null and a reason, never 0. Where only a
--   part was observed, area_m2 is the damage in that part. Water counts as excavated because only ground
--   inside the mine's boundary is counted here.
-- Used by: `lode report damage`, reports, analysts.
create view lode_api.damage_by_mine_year as
with scene_year as (
  select distinct extract(year from acquired_on)::integer as year
  from lode.scene
  where superseded_by is null
)
select
  (m.mine_id::bigint * 10000 + y.year) * 1000 + c.land_class_code as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  y.year,
  c.key as land_class,
  c.name_zh as land_class_name_zh,
  c.damage_kind as kind,
  a.area_m2,
  case -- least() passes over nulls, so a mine-year without a row is told apart first
    when my.mine_year_id is null then 0
    else least(my.observed_area_m2 / my.boundary_area_m2, 1)
  end as observed_fraction,
  a.exclusive_area_m2,
  case
    when a.area_m2 is not null then null
    when my.mine_year_id is not null then 'the models of this year do not map this class'
    when exists (
      select from lode.scene s
      where s.superseded_by is null
        and extract(year from s.acquired_on) = y.year
        and st_intersects(s.footprint, m.boundary)
    ) then 'a scene of this year covers it, but no current run observed it'
    else 'no scene of this year covers it'
  end as reason
from lode.mine m
cross join scene_year y
join lode.land_class c on c.damage_kind in ('excavated', 'occupied', 'subsided') and c.is_mapped
left join lode.mine_year my on my.mine_id = m.mine_id and my.year = y.year
left join lode.mine_area a
  on a.mine_year_id = my.mine_year_id and a.land_class_code = c.land_class_code;

comment on view lode_api.damage_by_mine_year is
  'Damaged area by mine, year and class. Null where nothing was observed, with the reason; where a part was '
  'observed (observed_fraction), the damage in that part. Water counts as excavated, inside the mine only.';
comment on column lode_api.damage_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.damage_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.damage_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.damage_by_mine_year.year is 'Year';
comment on column lode_api.damage_by_mine_year.land_class is 'Class key';
comment on column lode_api.damage_by_mine_year.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.damage_by_mine_year.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.damage_by_mine_year.area_m2 is
  'Geodesic area of the class inside the mine, over the observed part, m2; null: not observed';
comment on column lode_api.damage_by_mine_year.observed_fraction is 'Share of the mine observed, 0..1';
comment on column lode_api.damage_by_mine_year.exclusive_area_m2 is
  'The part of area_m2 outside every mine of smaller code, m2: sums over mines count no ground twice';
comment on column lode_api.damage_by_mine_year.reason is 'Why area_m2 is null';
