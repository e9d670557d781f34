-- Purpose: sample points as interpreters may see them: blind, with nothing but their own answers.
-- Rules: whoever looks sees the answers of that database login (session_user), neither what the map shows nor
--   what others answered, or whether they did. land_class, answered_on and note are edited here, nothing else.
-- CRS: EPSG:4326.
-- Used by: interpreters in QGIS, who need no right but to select from and update this view.
create view lode_api.sample_task as
select
  p.sample_point_id as ogc_fid,
  a.name as assessment,
  a.year,
  p.number,
  n.land_class,
  n.answered_on,
  n.note,
  p.geom::geometry(Point, 4326) as geom
from lode.sample_point p
join lode.assessment a on a.assessment_id = p.assessment_id
left join lateral (
  select coalesce(c.key, 'cannot tell') as land_class, r.answered_on, r.note
  from lode.sample_answer r
  left join lode.land_class c on c.land_class_code = r.land_class_code
  where r.sample_point_id = p.sample_point_id and r.interpreter = session_user::text
  offset 0 -- keeps functions of the reader's own from being called with others' answers
) n on true;

create trigger answer instead of update on lode_api.sample_task
for each row execute function lode_api.answer_sample_task();

comment on view lode_api.sample_task is
  'Sample points as interpreters may see them, without what the map shows and with their own answers alone: '
  'fill land_class. EPSG:4326.';
comment on column lode_api.sample_task.ogc_fid is 'Key: sample_point_id';
comment on column lode_api.sample_task.assessment is 'Name of the assessment';
comment on column lode_api.sample_task.year is 'Year whose ground is to be interpreted';
comment on column lode_api.sample_task.number is 'Number of the point';
comment on column lode_api.sample_task.land_class is
  'Your answer, may be edited: a class by key, code or name, or cannot tell; empty: the point waits';
comment on column lode_api.sample_task.answered_on is
  'Day of your answer, may be edited; empty: the day on which it is stored';
comment on column lode_api.sample_task.note is 'What you want to be known, may be edited';
comment on column lode_api.sample_task.geom is 'Where it lies, EPSG:4326';
