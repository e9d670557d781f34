-- Purpose: the reference class of every sample point: the answer that counts where several people answered.
-- Rules: the answer given most often counts, `cannot tell` being an answer like any other. Where two answers
--   were given equally often nobody can tell (tie). By kind, answers of one kind are one answer.
-- Used by: lode_api.error_matrix, lode_api.area_uncertainty, `lode assess report`, reviewers. Not for
--   interpreters: it shows the mapped class.
create view lode_api.sample_reference as
with vote as (
  select n.sample_point_id, c.class_key, count(*) as vote_count
  from lode.sample_answer n
  join lode.sample_point p on p.sample_point_id = n.sample_point_id
  join lode.assessment a on a.assessment_id = p.assessment_id
  left join lode_api.assessed_class c
    on c.stratified_by = a.stratified_by and c.land_class_code = n.land_class_code
  group by n.sample_point_id, c.class_key
),
ranked as (
  select v.sample_point_id, v.class_key, v.vote_count,
    rank() over (partition by v.sample_point_id order by v.vote_count desc) as place
  from vote v
),
settled as (
  select r.sample_point_id, sum(r.vote_count)::integer as answer_count, count(*) as different_count,
    count(*) filter (where r.place = 1) as leader_count,
    max(r.class_key) filter (where r.place = 1) as leader
  from ranked r
  group by r.sample_point_id
)
select
  p.sample_point_id as ogc_fid,
  a.name as assessment,
  a.year,
  p.number,
  coalesce(c.key, s.damage_kind) as map_class,
  case when t.leader_count = 1 then t.leader end as reference_class,
  case
    when t.sample_point_id is null then 'unanswered'
    when t.leader_count > 1 then 'tie'
    when t.leader is null then 'cannot tell'
    else 'answered'
  end as status,
  coalesce(t.answer_count, 0) as answer_count,
  case when t.answer_count > 1 then t.different_count = 1 end as is_agreed,
  p.geom::geometry(Point, 4326) as geom
from lode.sample_point p
join lode.assessment a on a.assessment_id = p.assessment_id
join lode.assessment_stratum s on s.assessment_stratum_id = p.assessment_stratum_id
left join lode.land_class c on c.land_class_code = s.land_class_code
left join settled t on t.sample_point_id = p.sample_point_id;

comment on view lode_api.sample_reference is
  'Sample points with the mapped class and the reference class that counts. Not for interpreters, who must '
  'not know what the map shows. EPSG:4326.';
comment on column lode_api.sample_reference.ogc_fid is 'Key: sample_point_id';
comment on column lode_api.sample_reference.assessment is 'Name of the assessment';
comment on column lode_api.sample_reference.year is 'Year of the map';
comment on column lode_api.sample_reference.number is 'Number interpreters know the point by';
comment on column lode_api.sample_reference.map_class is 'Stratum: what the map shows there';
comment on column lode_api.sample_reference.reference_class is
  'What most interpreters saw there; null: nobody can tell, or nobody answered';
comment on column lode_api.sample_reference.status is
  'answered, cannot tell, tie (two answers given equally often) or unanswered';
comment on column lode_api.sample_reference.answer_count is 'Interpreters who answered';
comment on column lode_api.sample_reference.is_agreed is
  'All of several interpreters gave the same answer; null: fewer than two answered';
comment on column lode_api.sample_reference.geom is 'Where it lies, EPSG:4326';
