-- Purpose: target areas of every search for ore that stands, ranked, with what speaks for them.
-- Units: m, m2 (geodesic, WGS 84), probability 0..1, or prospectivity 0..1 where score_kind says so. CRS: EPSG:4326.
-- Rules: a search stands that was not withdrawn, over a study area or over the version of its scene that counts.
--   Distances are those of the geology that was searched with, in the plane of the grid.
-- Used by: QGIS, `lode report prospect`.
create view lode_api.prospect_target as
select
  t.prospect_target_id as ogc_fid,
  t.prospect_run_id,
  m.name as model,
  coalesce(s.product, a.name) as ground,
  t.rank,
  t.mean_probability,
  t.highest_probability,
  t.area_m2,
  t.cells,
  t.fault_distance_m,
  t.pluton_distance_m,
  t.deposit_distance_m,
  d.name as nearest_deposit,
  (
    select string_agg(format('%s %s%s (%s)', e.item->>'name', e.item->>'value', ' ' || (e.item->>'unit'),
      e.item->>'deviations'), '; ' order by e.place)
    from jsonb_array_elements(t.evidence) with ordinality as e(item, place)
  ) as evidence,
  r.threshold,
  r.published_at,
  r.score_kind,
  t.geom
from lode.prospect_target t
join lode.prospect_run r on r.prospect_run_id = t.prospect_run_id
join lode.model m on m.model_id = r.model_id
left join lode.scene s on s.scene_id = r.scene_id
left join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id
left join lode.deposit d on d.deposit_id = t.deposit_id
where r.withdrawn_at is null and s.superseded_by is null;

comment on view lode_api.prospect_target is
  'Areas to look at in the field: connected cells of high probability, ranked within their search. EPSG:4326.';
comment on column lode_api.prospect_target.ogc_fid is 'Key: prospect_target_id';
comment on column lode_api.prospect_target.prospect_run_id is 'The search';
comment on column lode_api.prospect_target.model is 'The network';
comment on column lode_api.prospect_target.ground is 'Scene or study area that was searched';
comment on column lode_api.prospect_target.rank is '1 is the first to be looked at';
comment on column lode_api.prospect_target.mean_probability is
  'Mean probability over its cells, 0..1; mean prospectivity where score_kind says so';
comment on column lode_api.prospect_target.highest_probability is
  'Probability of its best cell, 0..1; its prospectivity where score_kind says so';
comment on column lode_api.prospect_target.area_m2 is 'Geodesic area, m2';
comment on column lode_api.prospect_target.cells is 'Cells it consists of';
comment on column lode_api.prospect_target.fault_distance_m is
  'To the nearest fault when it was searched, m; null: none was mapped';
comment on column lode_api.prospect_target.pluton_distance_m is
  'To the nearest pluton when it was searched, m, 0 inside; null: none was mapped';
comment on column lode_api.prospect_target.deposit_distance_m is
  'To the nearest deposit known when it was searched, m; null: none was';
comment on column lode_api.prospect_target.nearest_deposit is 'Name of that deposit';
comment on column lode_api.prospect_target.evidence is
  'What speaks for it: name, value and, in brackets, deviations above its surroundings';
comment on column lode_api.prospect_target.threshold is
  'Probability from which a cell belongs to a target, 0..1';
comment on column lode_api.prospect_target.published_at is 'When the search was published';
comment on column lode_api.prospect_target.score_kind is
  'What its probabilities are: probability of ore, or prospectivity, which is a rank';
comment on column lode_api.prospect_target.geom is 'Outline, EPSG:4326';
