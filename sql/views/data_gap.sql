-- Purpose: what reports do not know: mines that a year did not observe, or not wholly, and why.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: rows where less than 0.995 of a mine was observed in a year of report_year; see
--   observation_by_mine_year.
-- Used by: `lode report gaps`, planners of acquisitions, analysts.
create view lode_api.data_gap as
select
  o.ogc_fid,
  o.mine_code,
  o.mine_name,
  o.year,
  o.boundary_area_m2,
  o.unobserved_area_m2,
  o.observed_fraction,
  o.reason
from lode_api.observation_by_mine_year o
where o.observed_fraction < 0.995;

comment on view lode_api.data_gap is
  'Mines that a year did not observe, or less than 0.995 of them, with the reason.';
comment on column lode_api.data_gap.ogc_fid is 'Key';
comment on column lode_api.data_gap.mine_code is 'Code of the mine';
comment on column lode_api.data_gap.mine_name is 'Name of the mine';
comment on column lode_api.data_gap.year is 'Year';
comment on column lode_api.data_gap.boundary_area_m2 is 'Geodesic area of the mine, m2';
comment on column lode_api.data_gap.unobserved_area_m2 is 'Part of it that was not observed, m2';
comment on column lode_api.data_gap.observed_fraction is 'Share of the mine observed, 0..1';
comment on column lode_api.data_gap.reason is 'Why it was not observed';
