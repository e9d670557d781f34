-- Purpose: the years that reports speak of.
-- Rules: a year counts when a scene that no newer version replaced was acquired in it, or when a label that
--   counts describes it.
-- Used by: the views by mine and year, `lode report`, forms that offer a choice of years.
create view lode_api.report_year as
select
  y.year as ogc_fid,
  y.year,
  sum(y.scene_count)::integer as scene_count,
  sum(y.run_count)::integer as run_count
from (
  select
    extract(year from s.acquired_on)::integer as year,
    count(*) as scene_count,
    count(r.run_id) as run_count
  from lode.scene s
  left join lode.run r on r.scene_id = s.scene_id and r.is_current
  where s.superseded_by is null
  group by extract(year from s.acquired_on)
  union all
  select distinct g.year, 0, 0
  from lode.interpreted_ground g
) y
group by y.year;

comment on view lode_api.report_year is 'Years with a scene, or with a label that counts.';
comment on column lode_api.report_year.ogc_fid is 'Key: the year';
comment on column lode_api.report_year.year is 'Year';
comment on column lode_api.report_year.scene_count is 'Scenes acquired in it that no newer version replaced';
comment on column lode_api.report_year.run_count is 'Scenes of them that a current run interpreted';
