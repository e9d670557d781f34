-- Purpose: the error matrix of every assessment: what the map shows against what interpreters saw.
-- Rules: Olofsson et al. 2014 (Remote Sensing of Environment 148:42-57), equation 4: cell (i, j) estimates the
--   proportion of area mapped as i that is j, p_ij = W_i n_ij / n_i, with W_i the mapped share of the area.
--   n_i counts points of stratum i with a reference class; points nobody can tell are left out, as if they
--   had not been drawn. Of a sample that was changed after the draw (lode_api.assessment_seal) the proportions
--   are null.
-- Units: m2 (geodesic, WGS 84), proportions 0..1.
-- Used by: lode_api.area_uncertainty, `lode assess report`.
create view lode_api.error_matrix as
with name as (
  select distinct c.stratified_by, c.class_number, c.class_key, c.class_name_zh
  from lode_api.assessed_class c
),
stratum as (
  select a.assessment_id, a.name as assessment, a.year, a.stratified_by, s.area_m2,
    s.area_m2 / sum(s.area_m2) over (
      partition by a.assessment_id order by s.area_m2
      rows between unbounded preceding and unbounded following
    ) as weight,
    n.class_number, n.class_key, n.class_name_zh
  from lode.assessment a
  join lode.assessment_stratum s on s.assessment_id = a.assessment_id
  left join lode.land_class c on c.land_class_code = s.land_class_code
  join name n on n.stratified_by = a.stratified_by and n.class_key = coalesce(c.key, s.damage_kind)
),
found as (
  select r.assessment, r.map_class, r.reference_class, count(*) as point_count
  from lode_api.sample_reference r
  where r.reference_class is not null
  group by r.assessment, r.map_class, r.reference_class
),
answered as (
  select f.assessment, f.map_class, sum(f.point_count) as answered_count
  from found f
  group by f.assessment, f.map_class
),
sealed as materialized ( -- once, not once a cell
  select l.assessment, l.fault
  from lode_api.assessment_seal l
),
legend as (
  select s.assessment, s.stratified_by, s.class_key from stratum s
  union
  select f.assessment, a.stratified_by, f.reference_class
  from found f
  join lode.assessment a on a.name = f.assessment
)
select
  (s.assessment_id::bigint * 1000 + s.class_number) * 1000 + n.class_number as ogc_fid,
  s.assessment,
  s.year,
  s.class_key as map_class,
  s.class_name_zh as map_class_name_zh,
  n.class_key as reference_class,
  n.class_name_zh as reference_class_name_zh,
  s.area_m2 as mapped_area_m2,
  s.weight as mapped_proportion,
  coalesce(t.answered_count, 0)::integer as answered_count,
  coalesce(f.point_count, 0)::integer as point_count,
  case
    when k.fault is null then s.weight * coalesce(f.point_count, 0) / t.answered_count::double precision
  end as area_proportion,
  k.fault
from stratum s
join sealed k on k.assessment = s.assessment
join legend l on l.assessment = s.assessment
join name n on n.stratified_by = l.stratified_by and n.class_key = l.class_key
left join answered t on t.assessment = s.assessment and t.map_class = s.class_key
left join found f
  on (f.assessment, f.map_class, f.reference_class) = (s.assessment, s.class_key, n.class_key);

comment on view lode_api.error_matrix is
  'Error matrix of each assessment: mapped class against reference class, in points and in shares of the area '
  '(Olofsson et al. 2014).';
comment on column lode_api.error_matrix.ogc_fid is 'Key';
comment on column lode_api.error_matrix.assessment is 'Name of the assessment';
comment on column lode_api.error_matrix.year is 'Year of the map';
comment on column lode_api.error_matrix.map_class is 'Stratum: what the map shows';
comment on column lode_api.error_matrix.map_class_name_zh is 'The same, Chinese';
comment on column lode_api.error_matrix.reference_class is 'What interpreters saw';
comment on column lode_api.error_matrix.reference_class_name_zh is 'The same, Chinese';
comment on column lode_api.error_matrix.mapped_area_m2 is
  'Area of the stratum when it was sampled, m2 (geodesic, WGS 84)';
comment on column lode_api.error_matrix.mapped_proportion is 'Its share of the area of all strata, 0..1';
comment on column lode_api.error_matrix.answered_count is 'Points of the stratum with a reference class';
comment on column lode_api.error_matrix.point_count is 'Of them, points with this reference class';
comment on column lode_api.error_matrix.area_proportion is
  'Estimated share of the area that is mapped as the one and is the other, 0..1; null: no point was answered, '
  'or see fault';
comment on column lode_api.error_matrix.fault is
  'Why the sample proves nothing: it is not the one that was drawn; null: it is';
