-- Purpose: why the best cells of searches without labels score as they do.
-- Units: as the unit column says; deviations are robust standard deviations; share 0..1. CRS: EPSG:4326.
-- Rules: cells of searches that stand. A cell has several rows: elements first, then geology, each by its share.
-- Used by: QGIS, people who ask why.
create view lode_api.prospect_reason as
select
  w.prospect_reason_id as ogc_fid,
  p.prospect_id,
  w.prospect_run_id,
  m.name as model,
  coalesce(s.product, a.name) as ground,
  p.rank,
  p.probability as prospectivity,
  w.place,
  w.kind,
  w.name,
  w.value,
  w.unit,
  w.expected,
  w.deviations,
  w.share,
  p.geom
from lode.prospect_reason w
join lode.prospect p
  on p.prospect_run_id = w.prospect_run_id and p.row_px = w.row_px and p.col_px = w.col_px
join lode.prospect_run r on r.prospect_run_id = w.prospect_run_id
join lode.model m on m.model_id = r.model_id
left join lode.scene s on s.scene_id = r.scene_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
where r.withdrawn_at is null and s.superseded_by is null;

comment on view lode_api.prospect_reason is
  'Why cells score: elements that exceed what was expected there, and geology that favours ore. EPSG:4326.';
comment on column lode_api.prospect_reason.ogc_fid is 'Key: prospect_reason_id';
comment on column lode_api.prospect_reason.prospect_id is 'The cell, ogc_fid of prospectivity_map';
comment on column lode_api.prospect_reason.prospect_run_id is 'The search';
comment on column lode_api.prospect_reason.model is 'The method';
comment on column lode_api.prospect_reason.ground is 'Study area that was searched';
comment on column lode_api.prospect_reason.rank is 'Rank of the cell: 1 is the best of its search';
comment on column lode_api.prospect_reason.prospectivity is 'Of the cell, 0..1';
comment on column lode_api.prospect_reason.place is 'Elements first, then geology, each by its share';
comment on column lode_api.prospect_reason.kind is 'element, geophysics or geology';
comment on column lode_api.prospect_reason.name is 'Element, layer or geological feature';
comment on column lode_api.prospect_reason.value is 'What was found there, in unit';
comment on column lode_api.prospect_reason.unit is 'Unit of value and expected';
comment on column lode_api.prospect_reason.expected is
  'What the method expected there; null: it expects nothing';
comment on column lode_api.prospect_reason.deviations is 'How many robust deviations it exceeds that';
comment on column lode_api.prospect_reason.share is
  'Of the anomaly, or of the favourability, that it makes up, 0..1';
comment on column lode_api.prospect_reason.geom is 'The cell, EPSG:4326';
