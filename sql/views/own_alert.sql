-- Purpose: alerts of a mine owner's own mines.
-- Rules: as in damage_alert; without the rank among all mines, the inspectors' names and their notes.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: mine owners' logins (`lode role add NAME --as owner`).
create view lode_api.own_alert with (security_barrier = true) as
select
  a.ogc_fid,
  a.mine_code,
  a.mine_name,
  a.kind,
  a.level,
  a.year,
  a.from_year,
  a.area_m2,
  a.share,
  a.confidence,
  a.reason,
  a.reason_zh,
  a.state,
  a.reviewed_at,
  a.first_raised_at,
  a.start_date,
  a.end_date,
  a.geom::geometry(MultiPolygon, 4326) as geom
from lode_api.own_alert_rows() a;

comment on view lode_api.own_alert is
  'Alerts of your mines, with their state. EPSG:4326.';
comment on column lode_api.own_alert.ogc_fid is 'Key: alert_id';
comment on column lode_api.own_alert.mine_code is 'Code of the mine';
comment on column lode_api.own_alert.mine_name is 'Name of the mine';
comment on column lode_api.own_alert.kind is 'new_damage, outside_licence or tailings_growth';
comment on column lode_api.own_alert.level is 'notice, warning or severe, by lode.alert_rule';
comment on column lode_api.own_alert.year is 'Year it was seen in';
comment on column lode_api.own_alert.from_year is
  'Earlier year it is compared with; null: damage outside the licence';
comment on column lode_api.own_alert.area_m2 is 'Area of its ground, m2 (geodesic, WGS 84)';
comment on column lode_api.own_alert.share is
  'Share of what the kind of alert compares with, as in damage_alert';
comment on column lode_api.own_alert.confidence is
  'How sure it is that the ground is what the alert says, 0..1';
comment on column lode_api.own_alert.reason is 'Why it was raised, with the numbers, English';
comment on column lode_api.own_alert.reason_zh is 'Why it was raised, with the numbers, Chinese';
comment on column lode_api.own_alert.state is 'open, confirmed or rejected, as an inspector set it';
comment on column lode_api.own_alert.reviewed_at is
  'When it was last confirmed or rejected; null: it is open';
comment on column lode_api.own_alert.first_raised_at is 'When it was raised first';
comment on column lode_api.own_alert.start_date is 'First day it is shown for';
comment on column lode_api.own_alert.end_date is 'First day it is no longer shown for';
comment on column lode_api.own_alert.geom is 'The ground it speaks of, EPSG:4326';
