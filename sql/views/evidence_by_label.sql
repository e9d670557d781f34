-- Purpose: what interpreters decided in a mine and year: who, which class, how much, from which file.
-- Units: m2 (geodesic, WGS 84).
-- Rules: the pieces of evidence that labels decide, added up by mine, year, interpreter, class, day and file.
-- Used by: `lode report mine`, reviewers. Filter by mine_code.
create view lode_api.evidence_by_label as
select
  min(q.mine_piece_id) as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  q.year,
  t.interpreter,
  c.key as land_class,
  c.name_zh as land_class_name_zh,
  c.damage_kind as kind,
  t.valid_on,
  f.name as label_source,
  f.sha256 as label_source_sha256,
  count(distinct q.label_id)::integer as label_count,
  sum(q.area_m2 order by q.area_m2) as area_m2
from lode.mine m
join lode.mine_zone z on z.mine_id = m.mine_id
join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id
join lode.label t on t.label_id = q.label_id
join lode.land_class c on c.land_class_code = q.land_class_code
left join lode.feature_source f on f.feature_source_id = t.feature_source_id
group by m.mine_id, q.year, t.interpreter, c.land_class_code, t.valid_on, f.feature_source_id;

comment on view lode_api.evidence_by_label is
  'What interpreters decided for a mine and year, by interpreter, class, day and file. See evidence.';
comment on column lode_api.evidence_by_label.ogc_fid is
  'Key: the smallest mine_piece_id of the labels'' pieces';
comment on column lode_api.evidence_by_label.mine_code is 'Code of the mine';
comment on column lode_api.evidence_by_label.mine_name is 'Name of the mine';
comment on column lode_api.evidence_by_label.year is 'Year';
comment on column lode_api.evidence_by_label.interpreter is 'Who drew the labels; null: not recorded';
comment on column lode_api.evidence_by_label.land_class is 'Class key';
comment on column lode_api.evidence_by_label.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.evidence_by_label.kind is
  'Legal kind: excavated, occupied, subsided, treated or none';
comment on column lode_api.evidence_by_label.valid_on is 'Day of the image or visit the labels describe';
comment on column lode_api.evidence_by_label.label_source is
  'File the labels came from; null: drawn in a client';
comment on column lode_api.evidence_by_label.label_source_sha256 is 'SHA-256 of that file';
comment on column lode_api.evidence_by_label.label_count is 'Labels that decide ground here';
comment on column lode_api.evidence_by_label.area_m2 is 'Ground of the mine that they decide, m2';
