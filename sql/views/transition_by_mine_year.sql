-- Purpose: from which class to which the ground of each mine went between two years: the change matrix.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: only ground that both years observed; the cells of a mine and pair of years add up to it. Cells
--   without ground have no row. All classes, damaged or not.
-- Used by: `lode report change`, reports, analysts.
create view lode_api.transition_by_mine_year as
select
  t.mine_transition_id as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  p.from_year,
  p.to_year,
  b.key as from_class,
  b.name_zh as from_class_name_zh,
  a.key as to_class,
  a.name_zh as to_class_name_zh,
  t.area_m2,
  t.area_m2 / nullif(p.observed_area_m2, 0) as share
from lode.mine_transition t
join lode.mine_pair p on p.mine_pair_id = t.mine_pair_id
join lode.mine m on m.mine_id = p.mine_id
join lode.land_class b on b.land_class_code = t.from_class_code
join lode.land_class a on a.land_class_code = t.to_class_code;

comment on view lode_api.transition_by_mine_year is
  'Area by class in the earlier and in the later year, by mine and pair of years, over what both observed.';
comment on column lode_api.transition_by_mine_year.ogc_fid is 'Key: mine_transition_id';
comment on column lode_api.transition_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.transition_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.transition_by_mine_year.from_year is 'Earlier year';
comment on column lode_api.transition_by_mine_year.to_year is 'Later year';
comment on column lode_api.transition_by_mine_year.from_class is 'Class in the earlier year, key';
comment on column lode_api.transition_by_mine_year.from_class_name_zh is 'Class in the earlier year, Chinese';
comment on column lode_api.transition_by_mine_year.to_class is 'Class in the later year, key';
comment on column lode_api.transition_by_mine_year.to_class_name_zh is 'Class in the later year, Chinese';
comment on column lode_api.transition_by_mine_year.area_m2 is
  'Ground that went from the one to the other, m2';
comment on column lode_api.transition_by_mine_year.share is
  'Share of the ground that both years observed, 0..1';
