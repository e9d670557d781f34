-- Purpose: damaged ground in a mine owner's own mines, as one shape for each mine, year and kind.
-- Rules: rows of the login's own mines alone. The join looks up mine by mine, in an index that holds mine and outline
--   together: it is lateral, and a union whose columns differ in type is not merged into the query around it, so that
--   no setting of the reader's makes the server scan other mines' outlines and EXPLAIN ANALYZE count them. Of what
--   the reader asks, box filters alone pass the barrier (public.geometry_overlaps is marked leakproof where a
--   superuser upgrades; else they are tried on the login's own rows). The outline is the index's expression: written
--   otherwise it would match the index over all mines.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: mine owners' logins (`lode role add NAME --as owner`).
create view lode_api.own_mine_damage with (security_barrier = true) as
select
  d.ogc_fid,
  m.mine_code,
  m.mine_name,
  d.year,
  d.damage_kind,
  d.area_m2,
  d.start_date,
  d.end_date,
  d.geom::geometry(MultiPolygon, 4326) as geom
from lode_api.own_mines() m
cross join lateral (
  select d.mine_damage_id as ogc_fid, d.year, d.damage_kind, d.area_m2, d.start_date, d.end_date,
    (st_multi(d.geom)::geometry(MultiPolygon, 4326)) as geom
  from lode.mine_damage d
  where d.mine_id = m.mine_id and int4range(d.mine_id, d.mine_id, '[]') = int4range(m.mine_id, m.mine_id, '[]')
  union all
  select 0::integer, 0::smallint, null, null, null, null, null::geometry(MultiPolygon, 4326)
  where false -- keeps the two apart
) d;

comment on view lode_api.own_mine_damage is
  'Damaged ground in your mines by year and kind, as one shape each. EPSG:4326.';
comment on column lode_api.own_mine_damage.ogc_fid is 'Key: mine_damage_id';
comment on column lode_api.own_mine_damage.mine_code is 'Code of the mine';
comment on column lode_api.own_mine_damage.mine_name is 'Name of the mine';
comment on column lode_api.own_mine_damage.year is 'Year';
comment on column lode_api.own_mine_damage.damage_kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.own_mine_damage.area_m2 is 'Its area, m2 (geodesic, WGS 84)';
comment on column lode_api.own_mine_damage.start_date is 'First day it is shown for';
comment on column lode_api.own_mine_damage.end_date is 'First day it is no longer shown for';
comment on column lode_api.own_mine_damage.geom is 'Damaged ground, EPSG:4326';
