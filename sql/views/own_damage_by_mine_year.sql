-- Purpose: damaged area of a mine owner's own mines by year and class.
-- Rules: as in damage_by_mine_year; without exclusive_area_m2, which tells of neighbours' boundaries.
-- Units: m2 (geodesic, WGS 84).
-- Used by: mine owners' logins (`lode role add NAME --as owner`).
create view lode_api.own_damage_by_mine_year with (security_barrier = true) as
select
  d.ogc_fid,
  d.mine_code,
  d.mine_name,
  d.year,
  d.land_class,
  d.land_class_name_zh,
  d.kind,
  d.area_m2,
  d.observed_fraction,
  d.interpreted_area_m2,
  d.is_interpreted,
  d.reason
from lode_api.own_damage_rows() d;

comment on view lode_api.own_damage_by_mine_year is
  'Damaged area of your mines by year and class; null where nothing was observed, with the reason.';
comment on column lode_api.own_damage_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.own_damage_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.own_damage_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.own_damage_by_mine_year.year is 'Year';
comment on column lode_api.own_damage_by_mine_year.land_class is 'Class key';
comment on column lode_api.own_damage_by_mine_year.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.own_damage_by_mine_year.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.own_damage_by_mine_year.area_m2 is
  'Geodesic area of the class inside the mine, over the observed part, m2; null: not observed';
comment on column lode_api.own_damage_by_mine_year.observed_fraction is 'Share of the mine observed, 0..1';
comment on column lode_api.own_damage_by_mine_year.interpreted_area_m2 is
  'The part of area_m2 whose class an interpreter decided, m2';
comment on column lode_api.own_damage_by_mine_year.is_interpreted is
  'The class is known from labels only: no network maps it';
comment on column lode_api.own_damage_by_mine_year.reason is 'Why area_m2 is null';
