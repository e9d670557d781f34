-- Purpose: new, treated and remaining damage of each mine between two years, by kind.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: only ground that both years observed is compared. New: damaged in the later year and not in the
--   earlier, by the kind it has now. Treated: damaged in the earlier year and not in the later, by the kind
--   it had. Ground that went from one kind to another is converted, neither new nor treated. Kind 'any'
--   takes all kinds together and is the sum of their new and treated areas. So for every row
--     damage_to = damage_from + new - treated + converted_from - converted_to.
--   A kind has a row where its classes were looked for or found; a mine has a pair of years when both
--   observed it. Pairs are of consecutive years that observed the mine, those that step over years which saw
--   less than half of it, and those of lode.report_period. Ground whose damage the models of the other year do
--   not map (unjudged) is not compared: it is a part of what counts as unobserved.
-- Used by: `lode report change`, reports, analysts.
create view lode_api.change_by_mine_year as
select
  ((c.mine_id::bigint * 10000 + c.from_year) * 1000 + (c.to_year - c.from_year)) * 10
    + case c.damage_kind when 'excavated' then 1 when 'occupied' then 2 when 'subsided' then 3 else 0 end
    as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  c.from_year,
  c.to_year,
  c.damage_kind as kind,
  c.new_area_m2,
  c.treated_area_m2,
  c.persisting_area_m2,
  c.converted_from_area_m2,
  c.converted_to_area_m2,
  c.interpreted_treated_area_m2,
  c.new_area_m2 - c.treated_area_m2 as net_area_m2,
  c.persisting_area_m2 + c.treated_area_m2 + c.converted_to_area_m2 as damage_from_area_m2,
  c.persisting_area_m2 + c.new_area_m2 + c.converted_from_area_m2 as damage_to_area_m2,
  c.unobserved_area_m2,
  coalesce(st_area(p.blind_geom::geography), 0) as unjudged_area_m2,
  p.observed_area_m2 / nullif(p.observed_area_m2 + p.unobserved_area_m2, 0) as observed_fraction,
  p.is_consecutive,
  p.is_bridging
from lode.mine_change c
join lode.mine_pair p on p.mine_pair_id = c.mine_pair_id
join lode.mine m on m.mine_id = c.mine_id;

comment on view lode_api.change_by_mine_year is
  'New, treated and remaining damage by mine, pair of years and kind, over ground that both years observed.';
comment on column lode_api.change_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.change_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.change_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.change_by_mine_year.from_year is 'Earlier year';
comment on column lode_api.change_by_mine_year.to_year is 'Later year';
comment on column lode_api.change_by_mine_year.kind is
  'Legal kind: excavated, occupied or subsided; any: all of them together';
comment on column lode_api.change_by_mine_year.new_area_m2 is
  'Of this kind in the later year, not damaged in the earlier, m2';
comment on column lode_api.change_by_mine_year.treated_area_m2 is
  'Of this kind in the earlier year, not damaged in the later, m2';
comment on column lode_api.change_by_mine_year.persisting_area_m2 is 'Of this kind in both years, m2';
comment on column lode_api.change_by_mine_year.converted_from_area_m2 is
  'Of this kind in the later year, of another kind in the earlier, m2';
comment on column lode_api.change_by_mine_year.converted_to_area_m2 is
  'Of this kind in the earlier year, of another kind in the later, m2';
comment on column lode_api.change_by_mine_year.interpreted_treated_area_m2 is
  'Part of treated_area_m2 that an interpreter drew as treated ground, m2';
comment on column lode_api.change_by_mine_year.net_area_m2 is 'New less treated, m2';
comment on column lode_api.change_by_mine_year.damage_from_area_m2 is
  'Of this kind in the earlier year, over what both years observed, m2';
comment on column lode_api.change_by_mine_year.damage_to_area_m2 is
  'Of this kind in the later year, over what both years observed, m2';
comment on column lode_api.change_by_mine_year.unobserved_area_m2 is
  'Ground of the mine that not both years observed, m2: neither new, treated nor undamaged';
comment on column lode_api.change_by_mine_year.unjudged_area_m2 is
  'Part of unobserved_area_m2 that both years saw: damaged in one of them, in the other undamaged to models that '
  'do not map the class of that damage, m2';
comment on column lode_api.change_by_mine_year.observed_fraction is
  'Share of the mine that both years observed, 0..1';
comment on column lode_api.change_by_mine_year.is_consecutive is
  'No year between them observed the mine';
comment on column lode_api.change_by_mine_year.is_bridging is
  'Steps over years that saw less than half of the mine, between two that saw at least half';
