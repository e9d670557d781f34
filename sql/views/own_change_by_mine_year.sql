-- Purpose: new, treated and remaining damage of a mine owner's own mines.
-- Rules: as in change_by_mine_year.
-- Units: m2 (geodesic, WGS 84).
-- Used by: mine owners' logins (`lode role add NAME --as owner`).
create view lode_api.own_change_by_mine_year with (security_barrier = true) as
select
  c.ogc_fid,
  c.mine_code,
  c.mine_name,
  c.from_year,
  c.to_year,
  c.kind,
  c.new_area_m2,
  c.treated_area_m2,
  c.persisting_area_m2,
  c.converted_from_area_m2,
  c.converted_to_area_m2,
  c.damage_from_area_m2,
  c.damage_to_area_m2,
  c.unobserved_area_m2,
  c.observed_fraction
from lode_api.own_change_rows() c;

comment on view lode_api.own_change_by_mine_year is
  'New, treated and remaining damage of your mines by pair of years and kind, over ground that both observed.';
comment on column lode_api.own_change_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.own_change_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.own_change_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.own_change_by_mine_year.from_year is 'Earlier year';
comment on column lode_api.own_change_by_mine_year.to_year is 'Later year';
comment on column lode_api.own_change_by_mine_year.kind is
  'Legal kind: excavated, occupied or subsided; any: all of them together';
comment on column lode_api.own_change_by_mine_year.new_area_m2 is
  'Of this kind in the later year, not damaged in the earlier, m2';
comment on column lode_api.own_change_by_mine_year.treated_area_m2 is
  'Of this kind in the earlier year, not damaged in the later, m2';
comment on column lode_api.own_change_by_mine_year.persisting_area_m2 is 'Of this kind in both years, m2';
comment on column lode_api.own_change_by_mine_year.converted_from_area_m2 is
  'Of this kind in the later year, of another kind in the earlier, m2';
comment on column lode_api.own_change_by_mine_year.converted_to_area_m2 is
  'Of this kind in the earlier year, of another kind in the later, m2';
comment on column lode_api.own_change_by_mine_year.damage_from_area_m2 is
  'Of this kind in the earlier year, over what both years observed, m2';
comment on column lode_api.own_change_by_mine_year.damage_to_area_m2 is
  'Of this kind in the later year, over what both years observed, m2';
comment on column lode_api.own_change_by_mine_year.unobserved_area_m2 is
  'Ground of the mine that not both years observed, m2';
comment on column lode_api.own_change_by_mine_year.observed_fraction is
  'Share of the mine that both years observed, 0..1';
