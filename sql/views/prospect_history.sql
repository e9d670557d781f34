-- Purpose: every search for ore, also those that stand no more.
-- Rules: withdrawn goes before superseded: somebody said so, and why.
-- Used by: `lode prospect list`, reviewers.
create view lode_api.prospect_history as
select
  r.prospect_run_id as ogc_fid,
  m.name as model,
  m.architecture,
  w.sha256 as model_sha256,
  coalesce(s.product, a.name) as ground,
  case
    when r.withdrawn_at is not null then 'withdrawn'
    when s.superseded_by is not null then 'superseded'
    else 'published'
  end as status,
  r.threshold,
  r.cell_m,
  (r.figures->>'cells')::integer as cells,
  (r.figures->>'targets')::integer as targets,
  r.tile_table,
  r.published_by,
  r.published_at,
  r.withdrawn_by,
  r.withdrawn_at,
  r.withdrawn_reason,
  r.score_kind
from lode.prospect_run r
join lode.model m on m.model_id = r.model_id
left join lode.scene s on s.scene_id = r.scene_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
left join lode.model_weights w on w.model_id = r.model_id;

comment on view lode_api.prospect_history is
  'Searches for ore: which network over which ground, by whom, and whether it stands.';
comment on column lode_api.prospect_history.ogc_fid is 'Key: prospect_run_id';
comment on column lode_api.prospect_history.model is 'The network';
comment on column lode_api.prospect_history.architecture is 'Its architecture';
comment on column lode_api.prospect_history.model_sha256 is 'SHA-256 of its weights';
comment on column lode_api.prospect_history.ground is 'Scene or study area that was searched';
comment on column lode_api.prospect_history.status is
  'published: it stands; superseded: a newer version of its scene counts; or withdrawn';
comment on column lode_api.prospect_history.threshold is
  'Probability from which a cell belongs to a target, 0..1';
comment on column lode_api.prospect_history.cell_m is 'Edge of the cells, m';
comment on column lode_api.prospect_history.cells is 'Cells that were scored';
comment on column lode_api.prospect_history.targets is 'Target areas';
comment on column lode_api.prospect_history.tile_table is 'Scores as a raster in schema lode_raster';
comment on column lode_api.prospect_history.published_by is 'Who published it';
comment on column lode_api.prospect_history.published_at is 'When';
comment on column lode_api.prospect_history.withdrawn_by is 'Who withdrew it';
comment on column lode_api.prospect_history.withdrawn_at is 'When; null: it was not';
comment on column lode_api.prospect_history.withdrawn_reason is 'Why';
comment on column lode_api.prospect_history.score_kind is
  'What its cells hold: probability of ore, or prospectivity, which is a rank';
