-- Purpose: sample points as interpreters may see them: blind, without what the map shows.
-- CRS: EPSG:4326.
-- Used by: interpreters in QGIS, who add rows to lode.sample_answer with sample_point_id = ogc_fid.
create view lode_api.sample_task as
select
  p.sample_point_id as ogc_fid,
  a.name as assessment,
  a.year,
  p.number,
  (select count(*)::integer from lode.sample_answer n where n.sample_point_id = p.sample_point_id)
    as answer_count,
  p.geom::geometry(Point, 4326) as geom
from lode.sample_point p
join lode.assessment a on a.assessment_id = p.assessment_id;

comment on view lode_api.sample_task is
  'Sample points as interpreters may see them, without what the map shows. Answers go into '
  'lode.sample_answer. EPSG:4326.';
comment on column lode_api.sample_task.ogc_fid is 'Key: sample_point_id of lode.sample_answer';
comment on column lode_api.sample_task.assessment is 'Name of the assessment';
comment on column lode_api.sample_task.year is 'Year whose ground is to be interpreted';
comment on column lode_api.sample_task.number is 'Number of the point';
comment on column lode_api.sample_task.answer_count is 'Interpreters who have answered';
comment on column lode_api.sample_task.geom is 'Where it lies, EPSG:4326';
