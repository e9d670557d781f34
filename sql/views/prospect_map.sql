-- Purpose: cells of every search for ore that stands, with their probability, for maps.
-- Units: probability 0..1. CRS: EPSG:4326.
-- Rules: a search stands that was not withdrawn, over a study area or over the version of its scene that counts.
--   is_target compares double with double, as the targets were found and as reports count: a probability that was
--   rounded to float32 below the threshold is below it. A filter by prospect_run_id finds an index, and so does a box.
--   Searches without labels have no probability: their cells are in prospectivity_map.
-- Used by: QGIS, `lode report prospect`.
create view lode_api.prospect_map as
select
  p.prospect_id as ogc_fid,
  p.prospect_run_id,
  m.name as model,
  coalesce(s.product, a.name) as ground,
  p.probability,
  p.rank,
  p.probability >= r.threshold as is_target,
  p.geom
from lode.prospect p
join lode.prospect_run r on r.prospect_run_id = p.prospect_run_id
join lode.model m on m.model_id = r.model_id
left join lode.scene s on s.scene_id = r.scene_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
where r.score_kind = 'probability' and r.withdrawn_at is null and s.superseded_by is null;

comment on view lode_api.prospect_map is
  'Where ore may lie: cells of the searches that stand, with their probability. EPSG:4326.';
comment on column lode_api.prospect_map.ogc_fid is 'Key: prospect_id';
comment on column lode_api.prospect_map.prospect_run_id is 'The search';
comment on column lode_api.prospect_map.model is 'The network';
comment on column lode_api.prospect_map.ground is 'Scene or study area that was searched';
comment on column lode_api.prospect_map.probability is
  'Probability of ore, 0..1: mean over the patches that hold the cell';
comment on column lode_api.prospect_map.rank is '1 is the most probable of its search; ties share it';
comment on column lode_api.prospect_map.is_target is
  'Whether it belongs to a target: from the threshold of its search on';
comment on column lode_api.prospect_map.geom is 'The cell, EPSG:4326';
