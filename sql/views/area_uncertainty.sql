-- Purpose: areas by class as a sample estimates them, with standard error, 95 % interval and accuracies.
-- Rules: Olofsson et al. 2014 (Remote Sensing of Environment 148:42-57). W_i: mapped share of stratum i; n_ij:
--   its points found to be j; n_i: its points with a reference class; U, P, O: user's, producer's, overall
--   accuracy; A: area of all strata.
--     p_ij = W_i n_ij / n_i                                                                        (4)
--     O = sum_i p_ii             V(O) = sum_i W_i^2 U_i (1 - U_i) / (n_i - 1)                      (1, 5)
--     U_i = n_ii / n_i           V(U_i) = U_i (1 - U_i) / (n_i - 1)                                (2, 6)
--     P_j = p_jj / p_j           V(P_j) = ((1 - P_j)^2 v_jj + P_j^2 sum_(i<>j) v_ij) / p_j^2       (3, 7)
--     p_j = sum_i p_ij           V(p_j) = sum_i v_ij                                               (9, 10)
--     with v_ij = W_i^2 (n_ij / n_i) (1 - n_ij / n_i) / (n_i - 1); area_j = A p_j, interval +- 1.96 A S(p_j) (11)
--   Strata are the classes of the map that was sampled, so that the estimators of Stehman 2014 for strata of
--   another kind (International Journal of Remote Sensing 35:4923-4939) come to the same.
--   The interval is cut at 0 and at A. Where a stratum has fewer than two points with a reference class, or
--   the sample is no longer the one that was drawn (lode_api.assessment_seal), every figure of the assessment
--   is null, with the reason.
--   is_outdated compares with the map of today the areas of the strata, to 0.1 m2 or 1e-9 of A (classes of less
--   than 1 m2 are no strata), and the class at each point: classes may change places and keep their areas.
--   The estimates stay those of the ground that was sampled.
-- Units: m2 (geodesic, WGS 84), accuracies 0..1.
-- Used by: `lode assess report`, analysts.
create view lode_api.area_uncertainty as
with name as (
  select distinct c.stratified_by, c.class_number, c.class_key
  from lode_api.assessed_class c
),
drawn as (
  select a.assessment_id, a.name as assessment, coalesce(c.key, s.damage_kind) as class_key, s.area_m2,
    s.sample_count
  from lode.assessment a
  join lode.assessment_stratum s on s.assessment_id = a.assessment_id
  left join lode.land_class c on c.land_class_code = s.land_class_code
),
cell as (
  select e.assessment, e.map_class, e.reference_class, e.reference_class_name_zh,
    e.answered_count, e.fault, e.area_proportion as p, s.share,
    e.mapped_proportion ^ 2 * s.share * (1 - s.share) / nullif(e.answered_count - 1, 0) as v,
    s.share * (1 - s.share) / nullif(e.answered_count - 1, 0) as share_v
  from lode_api.error_matrix e
  cross join lateral (
    select e.point_count / nullif(e.answered_count, 0)::double precision as share
  ) s
),
answered as (
  select distinct c.assessment, c.map_class, c.answered_count, c.fault from cell c
),
fault as (
  select d.assessment, coalesce(
    min(t.fault),
    'fewer than two points with a reference class in stratum '
      || string_agg(format('%s (%s of %s)', d.class_key, t.answered_count, d.sample_count), ', '
        order by d.class_key) filter (where t.answered_count < 2)
  ) as reason
  from drawn d
  join answered t on t.assessment = d.assessment and t.map_class = d.class_key
  group by d.assessment
),
overall as (
  select c.assessment, sum(c.p order by c.p) as accuracy, sqrt(sum(c.v order by c.v)) as accuracy_se
  from cell c
  where c.map_class = c.reference_class
  group by c.assessment
),
class as (
  select c.assessment, c.reference_class, c.reference_class_name_zh,
    sum(c.p order by c.p) as p, sum(c.v order by c.v) as v,
    coalesce(sum(c.p order by c.p) filter (where c.map_class = c.reference_class), 0) as own_p,
    coalesce(sum(c.v order by c.v) filter (where c.map_class = c.reference_class), 0) as own_v,
    coalesce(sum(c.v order by c.v) filter (where c.map_class <> c.reference_class), 0) as other_v,
    sum(c.share order by c.share) filter (where c.map_class = c.reference_class) as users,
    sqrt(sum(c.share_v order by c.share_v) filter (where c.map_class = c.reference_class)) as users_se
  from cell c
  group by c.assessment, c.reference_class, c.reference_class_name_zh
),
producer as (
  select c.assessment, c.reference_class, x.accuracy,
    sqrt((1 - x.accuracy) ^ 2 * c.own_v + x.accuracy ^ 2 * c.other_v) / nullif(c.p, 0) as accuracy_se
  from class c
  cross join lateral (select c.own_p / nullif(c.p, 0) as accuracy) x
),
class_now as materialized ( -- by class first: joined to the names row by row it takes ten times as long
  select null::integer as assessment_id, y.year, r.land_class_code,
    sum(r.exclusive_area_m2 order by r.exclusive_area_m2) as area_m2
  from lode.mine_area r
  join lode.mine_year y on y.mine_year_id = r.mine_year_id
  where y.year in (select a.year from lode.assessment a where a.mine_codes is null)
  group by y.year, r.land_class_code
  union all
  -- The rules of lode_api.assessed_ground, which asks for rights to tables that readers of this view lack.
  select a.assessment_id, a.year, q.land_class_code, sum(x.area_m2 order by x.area_m2)
  from lode.assessment a
  join lode.mine m on m.code = any(a.mine_codes)
  join lode.mine_zone z on z.mine_id = m.mine_id
  join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = a.year
  left join lode.landcover l on l.landcover_id = q.landcover_id and q.geom is null
  left join lateral (
    select st_union(n.boundary order by n.code collate "C") as geom
    from lode.mine n
    where n.code = any(a.mine_codes)
      and n.code collate "C" < m.code collate "C"
      and n.boundary && z.geom
  ) o on not z.is_exclusive
  cross join lateral (
    select case
      when o.geom is null then q.area_m2
      else st_area(st_collectionextract(st_difference(coalesce(q.geom, l.geom), o.geom), 3)::geography)
    end as area_m2
    offset 0 -- measured once
  ) x
  group by a.assessment_id, a.year, q.land_class_code
),
map_now as (
  select a.assessment_id, k.class_key, sum(n.area_m2 order by n.area_m2) as area_m2
  from lode.assessment a
  join class_now n on n.year = a.year
    and n.assessment_id is not distinct from case when a.mine_codes is not null then a.assessment_id end
  join lode_api.assessed_class k
    on k.stratified_by = a.stratified_by and k.land_class_code = n.land_class_code
  group by a.assessment_id, k.class_key
),
moved as materialized ( -- once, not once a row
  select distinct coalesce(d.assessment_id, n.assessment_id) as assessment_id
  from drawn d
  full join map_now n on n.assessment_id = d.assessment_id and n.class_key = d.class_key
  join lode.assessment a on a.assessment_id = coalesce(d.assessment_id, n.assessment_id)
  where case
    when d.class_key is null then n.area_m2 >= 1
    else abs(coalesce(n.area_m2, 0) - d.area_m2) > greatest(0.1, 1e-9 * a.total_area_m2)
  end
),
shown as materialized (
  select c.stratified_by, c.land_class_code, c.class_key
  from lode_api.assessed_class c
),
strayed as materialized ( -- assessments with points where the map of today shows another class, or nothing
  select distinct a.assessment_id
  from lode.assessment a
  join lode.sample_point p on p.assessment_id = a.assessment_id
  join lode.assessment_stratum s on s.assessment_stratum_id = p.assessment_stratum_id
  left join lode.land_class c on c.land_class_code = s.land_class_code
  where a.assessment_id not in (select v.assessment_id from moved v) and not exists (
    select
    from (
      select z.mine_zone_id
      from lode.mine_zone z
      join lode.mine m on m.mine_id = z.mine_id
      where z.geom && p.geom and (a.mine_codes is null and z.is_exclusive or m.code = any(a.mine_codes))
      offset 0 -- mines first: looking into all pieces of the year takes a hundred times as long
    ) z
    cross join lateral (
      select coalesce(q.geom, l.geom) as geom
      from lode.mine_piece q
      join shown k on k.stratified_by = a.stratified_by and k.land_class_code = q.land_class_code
      left join lode.landcover l on l.landcover_id = q.landcover_id and q.geom is null
      where q.mine_zone_id = z.mine_zone_id
        and q.year = a.year
        and k.class_key = coalesce(c.key, s.damage_kind)
      offset 0
    ) q
    where q.geom && p.geom and st_intersects(q.geom, p.geom)
  )
),
waiting as (
  select p.assessment_id, count(*)::integer as point_count
  from lode.sample_point p
  where not exists (select from lode.sample_answer n where n.sample_point_id = p.sample_point_id)
  group by p.assessment_id
)
select
  a.assessment_id::bigint * 1000 + n.class_number as ogc_fid,
  a.name as assessment,
  a.year,
  c.reference_class as land_class,
  c.reference_class_name_zh as land_class_name_zh,
  coalesce(d.area_m2, 0) as mapped_area_m2,
  x.area_m2 as estimated_area_m2,
  x.area_se_m2 as standard_error_m2,
  x.lower_m2,
  x.upper_m2,
  case when f.reason is null then c.users end as users_accuracy,
  case when f.reason is null then c.users_se end as users_accuracy_se,
  case when f.reason is null then p.accuracy end as producers_accuracy,
  case when f.reason is null then p.accuracy_se end as producers_accuracy_se,
  case when f.reason is null then o.accuracy end as overall_accuracy,
  case when f.reason is null then o.accuracy_se end as overall_accuracy_se,
  coalesce(d.sample_count, 0) as sample_count,
  coalesce(t.answered_count, 0) as answered_count,
  case
    when f.reason is not null then f.reason
    when d.class_key is null then 'the map shows no such ground: no user''s accuracy'
    when c.p = 0 then 'no point was found to be such ground: no producer''s accuracy'
  end as reason,
  m.assessment_id is not null or r.assessment_id is not null as is_outdated,
  coalesce(w.point_count, 0) as unanswered_count
from class c
join lode.assessment a on a.name = c.assessment
join name n on n.stratified_by = a.stratified_by and n.class_key = c.reference_class
join fault f on f.assessment = c.assessment
left join overall o on o.assessment = c.assessment
left join producer p on p.assessment = c.assessment and p.reference_class = c.reference_class
left join drawn d on d.assessment = c.assessment and d.class_key = c.reference_class
left join answered t on t.assessment = c.assessment and t.map_class = c.reference_class
left join moved m on m.assessment_id = a.assessment_id
left join strayed r on r.assessment_id = a.assessment_id
left join waiting w on w.assessment_id = a.assessment_id
left join lateral (
  select e.area_m2, e.area_se_m2,
    greatest(e.area_m2 - 1.96 * e.area_se_m2, 0) as lower_m2,
    least(e.area_m2 + 1.96 * e.area_se_m2, a.total_area_m2) as upper_m2
  from (values (a.total_area_m2 * c.p, a.total_area_m2 * sqrt(c.v))) as e(area_m2, area_se_m2)
) x on f.reason is null; -- greatest() and least() pass over nulls, so there is no row then

comment on view lode_api.area_uncertainty is
  'Areas by class as a stratified random sample estimates them, with standard error, 95 % interval and the '
  'map''s accuracies (Olofsson et al. 2014). Null where a stratum has fewer than two answers, with the reason.';
comment on column lode_api.area_uncertainty.ogc_fid is 'Key';
comment on column lode_api.area_uncertainty.assessment is 'Name of the assessment';
comment on column lode_api.area_uncertainty.year is 'Year of the map';
comment on column lode_api.area_uncertainty.land_class is
  'Class key, or kind of damage where the assessment is by kind';
comment on column lode_api.area_uncertainty.land_class_name_zh is 'The same, Chinese';
comment on column lode_api.area_uncertainty.mapped_area_m2 is
  'Area on the map when it was sampled, m2 (geodesic, WGS 84)';
comment on column lode_api.area_uncertainty.estimated_area_m2 is 'Area as the sample estimates it, m2';
comment on column lode_api.area_uncertainty.standard_error_m2 is 'Standard error of the estimate, m2';
comment on column lode_api.area_uncertainty.lower_m2 is 'Lower end of the 95 % interval, m2; not below 0';
comment on column lode_api.area_uncertainty.upper_m2 is
  'Upper end of the 95 % interval, m2; not above the area that was sampled';
comment on column lode_api.area_uncertainty.users_accuracy is
  'Share of what is mapped as the class that is the class, 0..1';
comment on column lode_api.area_uncertainty.users_accuracy_se is 'Its standard error';
comment on column lode_api.area_uncertainty.producers_accuracy is
  'Share of what is the class that is mapped as the class, 0..1';
comment on column lode_api.area_uncertainty.producers_accuracy_se is 'Its standard error';
comment on column lode_api.area_uncertainty.overall_accuracy is
  'Share of all ground that is mapped as what it is, 0..1; the same in all rows of an assessment';
comment on column lode_api.area_uncertainty.overall_accuracy_se is 'Its standard error';
comment on column lode_api.area_uncertainty.sample_count is 'Points drawn where the map shows the class';
comment on column lode_api.area_uncertainty.answered_count is 'Of them, points with a reference class';
comment on column lode_api.area_uncertainty.reason is 'Why figures are null';
comment on column lode_api.area_uncertainty.is_outdated is
  'The map has changed since it was sampled: the estimates are of the map as it was';
comment on column lode_api.area_uncertainty.unanswered_count is
  'Points of the whole assessment that nobody has answered yet: above 0 the figures will change';
