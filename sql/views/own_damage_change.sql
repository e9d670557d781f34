-- Purpose: what is new, persists or was treated in a mine owner's own mines, patch by patch.
-- Rules: rows of the login's own mines alone. The join looks up mine by mine, in an index that holds mine and outline
--   together: it is lateral, and a union whose columns differ in type is not merged into the query around it, so that
--   no setting of the reader's makes the server scan other mines' outlines and EXPLAIN ANALYZE count them. Of what
--   the reader asks, box filters alone pass the barrier (public.geometry_overlaps is marked leakproof where a
--   superuser upgrades; else they are tried on the login's own rows). The outline is the index's expression: written
--   otherwise it would match the index over all mines.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: mine owners' logins (`lode role add NAME --as owner`).
create view lode_api.own_damage_change with (security_barrier = true) as
select
  d.ogc_fid,
  d.code,
  m.mine_code,
  m.mine_name,
  d.from_year,
  d.to_year,
  d.change,
  d.damage_kind,
  d.first_damaged_on,
  d.last_seen_on,
  d.area_m2,
  d.start_date,
  d.end_date,
  d.geom::geometry(MultiPolygon, 4326) as geom
from lode_api.own_mines() m
cross join lateral (
  select d.damage_change_id as ogc_fid, d.code, d.from_year, d.to_year, d.change, d.damage_kind,
    d.first_damaged_on, d.last_seen_on, d.area_m2, d.start_date, d.end_date,
    (st_multi(d.geom)::geometry(MultiPolygon, 4326)) as geom
  from lode.damage_change d
  where d.mine_id = m.mine_id and int4range(d.mine_id, d.mine_id, '[]') = int4range(m.mine_id, m.mine_id, '[]')
  union all
  select 0::integer, null, 0::smallint, 0::smallint, null, null, null, null, null, null, null,
    null::geometry(MultiPolygon, 4326)
  where false -- keeps the two apart
) d;

comment on view lode_api.own_damage_change is
  'What is new, persists or was treated in your mines between consecutive years. EPSG:4326.';
comment on column lode_api.own_damage_change.ogc_fid is 'Key: damage_change_id';
comment on column lode_api.own_damage_change.code is 'Code of the patch, the same from year to year';
comment on column lode_api.own_damage_change.mine_code is 'Code of the mine';
comment on column lode_api.own_damage_change.mine_name is 'Name of the mine';
comment on column lode_api.own_damage_change.from_year is 'Earlier year';
comment on column lode_api.own_damage_change.to_year is 'Later year';
comment on column lode_api.own_damage_change.change is 'new, persisting or treated';
comment on column lode_api.own_damage_change.damage_kind is
  'Kind of the patch: excavated, occupied or subsided';
comment on column lode_api.own_damage_change.first_damaged_on is 'Day it was first seen damaged';
comment on column lode_api.own_damage_change.last_seen_on is 'Latest day it was seen damaged';
comment on column lode_api.own_damage_change.area_m2 is 'Its area, m2 (geodesic, WGS 84)';
comment on column lode_api.own_damage_change.start_date is 'First day it is shown for';
comment on column lode_api.own_damage_change.end_date is 'First day it is no longer shown for';
comment on column lode_api.own_damage_change.geom is 'The ground, EPSG:4326';
