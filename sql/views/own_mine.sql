-- Purpose: a mine owner's own mines.
-- Rules: rows of the login's own mines alone (lode_api.own_mines).
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: mine owners' logins (`lode role add NAME --as owner`).
create view lode_api.own_mine with (security_barrier = true) as
select
  m.ogc_fid,
  m.mine_code,
  m.mine_name,
  m.mineral,
  m.mining_method,
  m.boundary::geometry(MultiPolygon, 4326) as boundary,
  m.licence_boundary::geometry(MultiPolygon, 4326) as licence_boundary
from lode_api.own_mine_rows() m;

comment on view lode_api.own_mine is
  'Your mines: those that lode.mine_owner gives to this login. EPSG:4326.';
comment on column lode_api.own_mine.ogc_fid is 'Key: mine_id';
comment on column lode_api.own_mine.mine_code is 'Code of the mine';
comment on column lode_api.own_mine.mine_name is 'Name of the mine';
comment on column lode_api.own_mine.mineral is 'What is mined';
comment on column lode_api.own_mine.mining_method is 'open_cast, underground, ...';
comment on column lode_api.own_mine.boundary is 'Area the mine answers for, EPSG:4326';
comment on column lode_api.own_mine.licence_boundary is 'Licensed area, EPSG:4326; null: none is known';
