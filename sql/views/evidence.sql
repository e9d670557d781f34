-- Purpose: open a number down to what it stands on: polygon, run, scene and network, or label and
--   interpreter.
-- Units: m2 (geodesic, WGS 84), probability 0..1. CRS: EPSG:4326.
-- Rules: one row for every piece of ground that counts for a mine and year, of every class. The areas of a
--   mine, year and class add up to damage_by_mine_year.area_m2; with is_exclusive, to exclusive_area_m2. A
--   piece that is a part of its polygon carries its own outline; a whole one that of the polygon. For a
--   label the scene is the one it was drawn on, where that is known.
--   Cut pieces and whole ones stand apart, with the same columns, so that the box of a map and a mine each find
--   an index; a page of all pieces of a province does not.
-- Used by: `lode report evidence`, reviewers. Filter by mine_code and year.
create view lode_api.evidence as
select
  p.mine_piece_id as ogc_fid,
  m.code as mine_code,
  p.year,
  c.key as land_class,
  c.damage_kind as kind,
  p.area_m2,
  z.is_exclusive,
  p.unlicensed_area_m2,
  p.landcover_id,
  l.mean_probability,
  p.run_id,
  r.finished_at as run_finished_at,
  d.name as model,
  w.sha256 as model_sha256,
  s.product,
  s.version as product_version,
  s.sha256 as scene_sha256,
  s.acquired_on,
  p.label_id,
  t.interpreter,
  t.valid_on,
  f.name as label_source,
  p.geom
from lode.mine_piece p
join lode.mine_zone z on z.mine_zone_id = p.mine_zone_id
join lode.mine m on m.mine_id = z.mine_id
join lode.land_class c on c.land_class_code = p.land_class_code
left join lode.landcover l on l.landcover_id = p.landcover_id
left join lode.run r on r.run_id = p.run_id
left join lode.model d on d.model_id = r.model_id
left join lode.model_weights w on w.model_id = d.model_id
left join lode.label t on t.label_id = p.label_id
left join lode.scene s on s.scene_id = coalesce(r.scene_id, t.scene_id)
left join lode.feature_source f on f.feature_source_id = t.feature_source_id
where p.geom is not null
union all
select
  p.mine_piece_id,
  m.code,
  p.year,
  c.key,
  c.damage_kind,
  p.area_m2,
  z.is_exclusive,
  p.unlicensed_area_m2,
  p.landcover_id,
  l.mean_probability,
  p.run_id,
  r.finished_at,
  d.name,
  w.sha256,
  s.product,
  s.version,
  s.sha256,
  s.acquired_on,
  p.label_id,
  t.interpreter,
  t.valid_on,
  f.name,
  l.geom
from lode.mine_piece p
join lode.mine_zone z on z.mine_zone_id = p.mine_zone_id
join lode.mine m on m.mine_id = z.mine_id
join lode.land_class c on c.land_class_code = p.land_class_code
join lode.landcover l on l.landcover_id = p.landcover_id
left join lode.run r on r.run_id = p.run_id
left join lode.model d on d.model_id = r.model_id
left join lode.model_weights w on w.model_id = d.model_id
left join lode.label t on t.label_id = p.label_id
left join lode.scene s on s.scene_id = coalesce(r.scene_id, t.scene_id)
left join lode.feature_source f on f.feature_source_id = t.feature_source_id
where p.geom is null;

comment on view lode_api.evidence is
  'Every piece of ground that counts for a mine and year, with the polygon, run, scene and network, or the '
  'label and interpreter, it comes from. Areas add up to damage_by_mine_year. EPSG:4326.';
comment on column lode_api.evidence.ogc_fid is 'Key: mine_piece_id';
comment on column lode_api.evidence.mine_code is 'Code of the mine';
comment on column lode_api.evidence.year is 'Year';
comment on column lode_api.evidence.land_class is 'Class key';
comment on column lode_api.evidence.kind is 'Legal kind: excavated, occupied, subsided, treated or none';
comment on column lode_api.evidence.area_m2 is 'Geodesic area of the piece, m2';
comment on column lode_api.evidence.is_exclusive is
  'Outside every mine of smaller code: sums over mines count this ground';
comment on column lode_api.evidence.unlicensed_area_m2 is
  'The part of it outside the licence, m2; null: the mine has no licence boundary, or it is no damage';
comment on column lode_api.evidence.landcover_id is 'The published polygon it is a part of';
comment on column lode_api.evidence.mean_probability is
  'Mean probability of the class over that polygon, 0..1';
comment on column lode_api.evidence.run_id is 'The run that found it; null: an interpreter did';
comment on column lode_api.evidence.run_finished_at is 'When the run was published';
comment on column lode_api.evidence.model is 'The network';
comment on column lode_api.evidence.model_sha256 is 'SHA-256 of its weights';
comment on column lode_api.evidence.product is
  'The scene it was seen in; of a label, the scene it was drawn on';
comment on column lode_api.evidence.product_version is 'Version of the scene';
comment on column lode_api.evidence.scene_sha256 is 'SHA-256 of the scene''s source file';
comment on column lode_api.evidence.acquired_on is 'Day the scene was acquired (UTC)';
comment on column lode_api.evidence.label_id is 'The label it is a part of';
comment on column lode_api.evidence.interpreter is 'Who drew the label';
comment on column lode_api.evidence.valid_on is 'Day of the image or visit the label describes';
comment on column lode_api.evidence.label_source is 'File the label came from; null: drawn in a client';
comment on column lode_api.evidence.geom is 'Outline of the piece, EPSG:4326';
