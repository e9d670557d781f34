-- Purpose: what was interpreted when, by which network, and how it ended.
-- Units: seconds, square kilometres.
-- Used by: operators, reviewers who open a number down to its run.
create view lode_api.run_history as
select
  r.run_id as ogc_fid,
  s.product,
  s.version as product_version,
  s.acquired_on,
  m.name as model,
  r.status,
  r.is_current,
  r.priority,
  r.attempt,
  r.requested_by,
  r.requested_at,
  r.started_at,
  r.finished_at,
  extract(epoch from r.finished_at - r.started_at)::double precision as duration_s,
  r.device,
  o.area_m2 / 1e6 as observed_area_km2,
  o.owned_area_m2 / 1e6 as owned_area_km2,
  r.parameters,
  r.versions,
  r.error,
  r.withdrawn_at,
  r.withdrawn_by,
  r.withdrawn_reason
from lode.run r
join lode.scene s on s.scene_id = r.scene_id
join lode.model m on m.model_id = r.model_id
left join lode.observation o on o.run_id = r.run_id;

comment on view lode_api.run_history is 'Interpretations: scene, model, status, duration and error.';
comment on column lode_api.run_history.ogc_fid is 'Key: run_id';
comment on column lode_api.run_history.product is 'Scene';
comment on column lode_api.run_history.product_version is 'Version of the scene';
comment on column lode_api.run_history.acquired_on is 'Day the scene was acquired (UTC)';
comment on column lode_api.run_history.model is 'Network';
comment on column lode_api.run_history.status is 'requested, running, published, failed, cancelled or withdrawn';
comment on column lode_api.run_history.is_current is 'Its polygons stand for the scene in maps and areas';
comment on column lode_api.run_history.priority is
  'Analyst''s choice where runs overlap; the higher one owns the ground';
comment on column lode_api.run_history.attempt is 'Times it was started';
comment on column lode_api.run_history.requested_by is 'Who asked';
comment on column lode_api.run_history.requested_at is 'When it was asked for';
comment on column lode_api.run_history.started_at is 'Start of the last attempt';
comment on column lode_api.run_history.finished_at is 'When it was published, failed or was cancelled';
comment on column lode_api.run_history.duration_s is 'Duration of the last attempt, s';
comment on column lode_api.run_history.device is 'What computed it';
comment on column lode_api.run_history.observed_area_km2 is 'Area observed, km2';
comment on column lode_api.run_history.owned_area_km2 is 'Area that counts in the year map, km2';
comment on column lode_api.run_history.parameters is 'Settings of the interpretation';
comment on column lode_api.run_history.versions is 'Versions of the software';
comment on column lode_api.run_history.error is 'Why the last attempt failed';
comment on column lode_api.run_history.withdrawn_at is 'When it was withdrawn; null: it was not';
comment on column lode_api.run_history.withdrawn_by is 'Who withdrew it';
comment on column lode_api.run_history.withdrawn_reason is 'Why it was withdrawn';
