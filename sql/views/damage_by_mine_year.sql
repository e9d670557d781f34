-- Purpose: damaged area by mine, year and class, with the share of the mine that was observed.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every mine, every year of report_year and every damage class that networks map; a
--   class that only interpreters know (subsidence) has a row where one drew it. A mine that nobody observed
--   in a year has null and a reason, never 0. Where only a part was observed, area_m2 is the damage in that
--   part; where the models of a part do not map the class, it is at least so much. Water counts as excavated
--   because only ground inside the mine's boundary is counted here.
-- Used by: `lode report damage`, reports, analysts.
create view lode_api.damage_by_mine_year as
select
  o.ogc_fid * 1000 + c.land_class_code as ogc_fid,
  o.mine_code,
  o.mine_name,
  o.year,
  c.key as land_class,
  c.name_zh as land_class_name_zh,
  c.damage_kind as kind,
  a.area_m2,
  o.observed_fraction,
  a.exclusive_area_m2,
  a.interpreted_area_m2,
  not c.is_mapped as is_interpreted,
  case
    when a.judged_area_m2 < 0.995 * o.observed_area_m2 and c.is_mapped
      then 'at least; the models of a part do not map this class'
    when a.area_m2 is not null then null
    when o.mine_year_id is null then o.reason
    when o.run_count = 0 then 'only what interpreters drew is known: no current run observed it'
    else 'the models of this year do not map this class'
  end as reason
from lode_api.observation_by_mine_year o
join lode.land_class c on c.damage_kind in ('excavated', 'occupied', 'subsided')
left join lode.mine_area a
  on a.mine_year_id = o.mine_year_id and a.land_class_code = c.land_class_code
where c.is_mapped or a.area_m2 > 0;

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
comment on column lode_api.damage_by_mine_year.interpreted_area_m2 is
  'The part of area_m2 whose class an interpreter decided, m2';
comment on column lode_api.damage_by_mine_year.is_interpreted is
  'The class is known from labels only: no network maps it';
comment on column lode_api.damage_by_mine_year.reason is 'Why area_m2 is null';
