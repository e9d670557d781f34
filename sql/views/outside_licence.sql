-- Purpose: damage beyond the licence: what a mine dug or heaped up where it has no right to.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: mines with a licence boundary only; for the others nobody can say. Rows as in damage_by_mine_year:
--   null where the mine was not observed, 0 where nothing lies outside. Only ground inside the mine's
--   boundary is counted; reason says why there is no number. Whether a mine has a licence boundary, and what
--   a year found of all classes: outside_licence_by_mine_year. share_of_damage is over the damage of all
--   classes of the mine and year, so that the shares of its classes add up to the share of its damage that
--   lies outside the licence.
-- Used by: `lode report licence`, alerts, inspectors.
create view lode_api.outside_licence as
select
  o.ogc_fid * 1000 + c.land_class_code as ogc_fid,
  o.mine_code,
  o.year,
  c.key as land_class,
  c.damage_kind as kind,
  a.unlicensed_area_m2,
  a.unlicensed_area_m2 / nullif(d.area_m2, 0) as share_of_damage,
  o.observed_fraction,
  case
    when a.unlicensed_area_m2 is not null then null
    when o.mine_year_id is null then o.reason
    when o.run_count = 0 then 'only what interpreters drew is known: no current run observed it'
    else 'the models of this year do not map this class'
  end as reason
from lode_api.observation_by_mine_year o
join lode.mine m on m.mine_id = o.mine_id and m.licence_boundary is not null
join lode.land_class c on c.damage_kind in ('excavated', 'occupied', 'subsided')
left join lode.mine_area a
  on a.mine_year_id = o.mine_year_id and a.land_class_code = c.land_class_code
left join (
  select b.mine_year_id, sum(b.area_m2 order by b.area_m2) as area_m2
  from lode.mine_area b
  join lode.land_class e on e.land_class_code = b.land_class_code
  where e.damage_kind in ('excavated', 'occupied', 'subsided')
  group by b.mine_year_id
) d on d.mine_year_id = o.mine_year_id
where c.is_mapped or a.area_m2 > 0;

comment on view lode_api.outside_licence is
  'Damage outside the licence by mine, year and class; mines without a licence boundary are left out.';
comment on column lode_api.outside_licence.ogc_fid is 'Key';
comment on column lode_api.outside_licence.mine_code is 'Code of the mine';
comment on column lode_api.outside_licence.year is 'Year';
comment on column lode_api.outside_licence.land_class is 'Class key';
comment on column lode_api.outside_licence.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.outside_licence.unlicensed_area_m2 is
  'Ground of the class inside the mine and outside its licence, over what was observed, m2; null: see '
  'damage_by_mine_year';
comment on column lode_api.outside_licence.share_of_damage is
  'Share of the mine''s damage of that year, of all classes, 0..1; null: no damage, or not observed';
comment on column lode_api.outside_licence.observed_fraction is 'Share of the mine observed, 0..1';
comment on column lode_api.outside_licence.reason is 'Why unlicensed_area_m2 is null';
