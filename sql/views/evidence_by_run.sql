-- Purpose: which runs the areas of a mine and year stand on, each with its scene and network.
-- Units: m2 (geodesic, WGS 84), ground resolution m, shares 0..1.
-- Rules: the pieces of evidence that a run found, of every class, added up by mine, year and run.
-- Used by: `lode report mine`, reviewers. Filter by mine_code. The sums are subqueries in the list of
--   columns: whoever asks for the first rows waits for those rows only.
create view lode_api.evidence_by_run as
select
  y.mine_year_id * 2147483648 + r.run_id as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  y.year,
  r.run_id,
  s.product,
  s.version as product_version,
  e.name as sensor,
  s.acquired_on,
  s.resolution_m,
  s.cloud_fraction,
  s.sha256 as scene_sha256,
  d.name as model,
  d.architecture,
  w.sha256 as model_sha256,
  r.requested_by,
  r.finished_at as run_finished_at,
  r.priority,
  (
    select count(distinct q.landcover_id)::integer
    from lode.mine_zone z
    join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id
    where z.mine_id = y.mine_id and q.year = y.year and q.run_id = r.run_id
  ) as polygon_count,
  (
    select sum(q.area_m2 order by q.area_m2)
    from lode.mine_zone z
    join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id
    where z.mine_id = y.mine_id and q.year = y.year and q.run_id = r.run_id
  ) as area_m2
from lode.mine_year y
join lode.mine m on m.mine_id = y.mine_id
join lode.run r on r.run_id = any(y.run_ids)
join lode.scene s on s.scene_id = r.scene_id
join lode.sensor e on e.sensor_id = s.sensor_id
join lode.model d on d.model_id = r.model_id
left join lode.model_weights w on w.model_id = d.model_id;

comment on view lode_api.evidence_by_run is
  'Runs whose ground counts for a mine and year, with scene and network; area of all classes. See evidence.';
comment on column lode_api.evidence_by_run.ogc_fid is 'Key';
comment on column lode_api.evidence_by_run.mine_code is 'Code of the mine';
comment on column lode_api.evidence_by_run.mine_name is 'Name of the mine';
comment on column lode_api.evidence_by_run.year is 'Year';
comment on column lode_api.evidence_by_run.run_id is 'The run';
comment on column lode_api.evidence_by_run.product is 'The scene';
comment on column lode_api.evidence_by_run.product_version is 'Version of the scene';
comment on column lode_api.evidence_by_run.sensor is 'Sensor of the scene';
comment on column lode_api.evidence_by_run.acquired_on is 'Day the scene was acquired (UTC)';
comment on column lode_api.evidence_by_run.resolution_m is 'Ground per pixel of the scene, m';
comment on column lode_api.evidence_by_run.cloud_fraction is 'Share of the scene under cloud, 0..1';
comment on column lode_api.evidence_by_run.scene_sha256 is 'SHA-256 of the scene''s source file';
comment on column lode_api.evidence_by_run.model is 'The network';
comment on column lode_api.evidence_by_run.architecture is 'Its architecture';
comment on column lode_api.evidence_by_run.model_sha256 is 'SHA-256 of its weights';
comment on column lode_api.evidence_by_run.requested_by is 'Database role that asked for the run';
comment on column lode_api.evidence_by_run.run_finished_at is 'When the run was published';
comment on column lode_api.evidence_by_run.priority is
  'Which of several runs owns ground that both saw: the higher';
comment on column lode_api.evidence_by_run.polygon_count is 'Published polygons of the run that count here';
comment on column lode_api.evidence_by_run.area_m2 is 'Their ground inside the mine, of every class, m2';
