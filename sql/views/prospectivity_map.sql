-- Purpose: cells of every search without labels that stands, with all its scores, for maps.
-- Units: prospectivity and favourability 0..1, anomaly in robust deviations. CRS: EPSG:4326.
-- Rules: as prospect_map. Prospectivity is made of ranks: it orders ground and is no probability.
-- Used by: QGIS, `lode report prospect`.
create view lode_api.prospectivity_map as
select
  p.prospect_id as ogc_fid,
  p.prospect_run_id,
  m.name as model,
  coalesce(s.product, a.name) as ground,
  p.probability as prospectivity,
  p.anomaly,
  p.favourability,
  p.prospectivity_spread,
  p.anomaly_spread,
  p.favourability_spread,
  p.rank,
  p.probability >= r.threshold as is_target,
  p.geom
from lode.prospect p
join lode.prospect_run r on r.prospect_run_id = p.prospect_run_id
join lode.model m on m.model_id = r.model_id
left join lode.scene s on s.scene_id = r.scene_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
where r.score_kind = 'prospectivity' and r.withdrawn_at is null and s.superseded_by is null;

comment on view lode_api.prospectivity_map is
  'Where ore may lie, learned without deposits: cells of the searches that stand, with their scores. EPSG:4326.';
comment on column lode_api.prospectivity_map.ogc_fid is 'Key: prospect_id';
comment on column lode_api.prospectivity_map.prospect_run_id is 'The search';
comment on column lode_api.prospectivity_map.model is 'The method';
comment on column lode_api.prospectivity_map.ground is 'Study area that was searched';
comment on column lode_api.prospectivity_map.prospectivity is
  'Rank of anomaly and favourability together, 0..1: an order of the ground, no probability';
comment on column lode_api.prospectivity_map.anomaly is
  'Excess of the ore elements over what the method expected, in robust deviations, or the method''s own measure';
comment on column lode_api.prospectivity_map.favourability is 'Of the mapped geology, 0..1';
comment on column lode_api.prospectivity_map.prospectivity_spread is 'Its standard deviation over seeds';
comment on column lode_api.prospectivity_map.anomaly_spread is 'Its standard deviation over seeds';
comment on column lode_api.prospectivity_map.favourability_spread is 'Its standard deviation over seeds';
comment on column lode_api.prospectivity_map.rank is '1 is the best of its search; ties share it';
comment on column lode_api.prospectivity_map.is_target is
  'Whether it belongs to a target: from the threshold of its search on';
comment on column lode_api.prospectivity_map.geom is 'The cell, EPSG:4326';
