-- Purpose: whether a mine damaged ground outside its licence in a year, or why nobody can say.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every mine and year of report_year. finding tells apart what looks alike in a table:
--   `no licence boundary` (none is stored, so nothing is known), `not observed`, `none found` (looked for and
--   not found where it was observed), `found`. unlicensed_area_m2 adds up outside_licence over classes; it is
--   over the observed part (observed_fraction), so at least that much where reason says what is missing.
-- Used by: `lode report mine`, `lode report licence`, inspectors.
create view lode_api.outside_licence_by_mine_year as
select
  o.ogc_fid,
  o.mine_code,
  o.mine_name,
  o.year,
  case
    when m.licence_boundary is null then 'no licence boundary'
    when d.area_m2 is null then 'not observed'
    when d.unlicensed_area_m2 > 1e-3 then 'found' -- less is rounding
    else 'none found'
  end as finding,
  d.area_m2 as damaged_area_m2,
  d.unlicensed_area_m2,
  d.unlicensed_area_m2 / nullif(d.area_m2, 0) as share_of_damage,
  o.observed_fraction,
  case
    when m.licence_boundary is null then 'no licence boundary of this mine is stored'
    when d.area_m2 is null then coalesce(o.reason, 'nobody looked for damage in this year')
    when d.mapped_count < g.mapped_count or d.judged_area_m2 < 0.995 * o.observed_area_m2 then 'the models of this year do not map every class of damage'
    else o.reason
  end as reason
from lode_api.observation_by_mine_year o
join lode.mine m on m.mine_id = o.mine_id
cross join (
  select count(*) as mapped_count
  from lode.land_class c
  where c.is_mapped and c.damage_kind in ('excavated', 'occupied', 'subsided')
) g
left join (
  select a.mine_year_id, sum(a.area_m2 order by a.area_m2) as area_m2,
    sum(a.unlicensed_area_m2 order by a.unlicensed_area_m2) as unlicensed_area_m2,
    count(*) filter (where c.is_mapped) as mapped_count,
    min(a.judged_area_m2) filter (where c.is_mapped) as judged_area_m2
  from lode.mine_area a
  join lode.land_class c on c.land_class_code = a.land_class_code
  where c.damage_kind in ('excavated', 'occupied', 'subsided')
  group by a.mine_year_id
) d on d.mine_year_id = o.mine_year_id;

comment on view lode_api.outside_licence_by_mine_year is
  'Whether a mine damaged ground outside its licence, by year: found, none found, not observed, or no licence '
  'boundary stored.';
comment on column lode_api.outside_licence_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.outside_licence_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.outside_licence_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.outside_licence_by_mine_year.year is 'Year';
comment on column lode_api.outside_licence_by_mine_year.finding is
  'found; none found (where it was observed); not observed; no licence boundary (none is stored)';
comment on column lode_api.outside_licence_by_mine_year.damaged_area_m2 is
  'Damage of all classes inside the mine, over the observed part, m2; null: not observed';
comment on column lode_api.outside_licence_by_mine_year.unlicensed_area_m2 is
  'The part of it outside the licence, m2; null: not observed, or no licence boundary is stored';
comment on column lode_api.outside_licence_by_mine_year.share_of_damage is
  'unlicensed_area_m2 over damaged_area_m2, 0..1; null: no damage, or unlicensed_area_m2 is null';
comment on column lode_api.outside_licence_by_mine_year.observed_fraction is
  'Share of the mine observed, 0..1';
comment on column lode_api.outside_licence_by_mine_year.reason is
  'Why nothing, or not everything, is known; null: all of the mine was observed for every class';
