-- Purpose: whether the sample of an assessment is still the one that was drawn.
-- Rules: SHA-256 over UTF-8 lines joined by line feeds: the design, then the strata, then the points, each by
--   key. A line is a JSON array with a blank after each comma, ["point", 1, 1, 1, "4055c...", "4046..."]:
--     "design", assessment_id, name, year, stratified_by, scope, mine_codes, total_area_m2, seed,
--       requested_by, created_at
--     "stratum", assessment_stratum_id, land_class_code, damage_kind, area_m2, sample_count
--     "point", sample_point_id, assessment_stratum_id, number, longitude, latitude
--   created_at is microseconds since 1970 UTC; areas, longitudes and latitudes are the hexadecimal digits of
--   their IEEE 754 doubles, first byte first, so that no client's settings round them. Answers have a sum of
--   their own: ["answer", number, interpreter, land_class_code, answered_on, note], by number and interpreter.
--   Triggers keep a drawn sample as it is; the sum finds what was changed behind them. Whoever can do that
--   can store another sum too: `lode assess sample` and `lode assess report` print it for the files.
-- Used by: lode_api.error_matrix, `lode assess sample`, `lode assess report`, `lode db check`.
create view lode_api.assessment_seal as
select
  a.assessment_id as ogc_fid,
  a.name as assessment,
  a.year,
  a.drawn_sha256,
  f.found_sha256,
  coalesce(a.drawn_sha256 = f.found_sha256, false) as is_intact,
  case
    when a.drawn_sha256 is null then
      'the draw is not over: the sum of design, strata and points is kept when its transaction ends'
    when a.drawn_sha256 <> f.found_sha256 then
      'the design, the strata or the points are no longer those that were drawn: their SHA-256 is '
      || f.found_sha256 || ', at the draw it was ' || a.drawn_sha256
  end as fault,
  n.answers_sha256
from lode.assessment a
cross join lateral (
  select encode(sha256(convert_to(string_agg(l.line, E'\n' order by l.place, l.key), 'UTF8')), 'hex')
    as found_sha256
  from (
    select 0 as place, 0 as key,
      jsonb_build_array('design', a.assessment_id, a.name, a.year, a.stratified_by, a.scope, a.mine_codes,
        encode(float8send(a.total_area_m2), 'hex'), a.seed, a.requested_by,
        (extract(epoch from a.created_at) * 1000000)::bigint)::text as line
    union all
    select 1, s.assessment_stratum_id,
      jsonb_build_array('stratum', s.assessment_stratum_id, s.land_class_code, s.damage_kind,
        encode(float8send(s.area_m2), 'hex'), s.sample_count)::text
    from lode.assessment_stratum s
    where s.assessment_id = a.assessment_id
    union all
    select 2, p.sample_point_id,
      jsonb_build_array('point', p.sample_point_id, p.assessment_stratum_id, p.number,
        encode(float8send(st_x(p.geom)), 'hex'), encode(float8send(st_y(p.geom)), 'hex'))::text
    from lode.sample_point p
    where p.assessment_id = a.assessment_id
  ) l
) f
cross join lateral (
  select encode(sha256(convert_to(string_agg(
    jsonb_build_array('answer', p.number, n.interpreter, n.land_class_code, n.answered_on, n.note)::text,
    E'\n' order by p.number, n.interpreter collate "C"
  ), 'UTF8')), 'hex') as answers_sha256
  from lode.sample_answer n
  join lode.sample_point p on p.sample_point_id = n.sample_point_id
  where p.assessment_id = a.assessment_id
) n;

comment on view lode_api.assessment_seal is
  'Whether the sample of each assessment is still the one that was drawn: SHA-256 of its design, strata and '
  'points, as kept at the draw and as found now.';
comment on column lode_api.assessment_seal.ogc_fid is 'Key: assessment_id';
comment on column lode_api.assessment_seal.assessment is 'Name of the assessment';
comment on column lode_api.assessment_seal.year is 'Year of the map';
comment on column lode_api.assessment_seal.drawn_sha256 is
  'SHA-256 of design, strata and points when they were drawn; null: the draw is not over';
comment on column lode_api.assessment_seal.found_sha256 is 'SHA-256 of design, strata and points now';
comment on column lode_api.assessment_seal.is_intact is
  'Both are the same: nothing was changed after the draw';
comment on column lode_api.assessment_seal.fault is 'What is wrong; null: nothing';
comment on column lode_api.assessment_seal.answers_sha256 is
  'SHA-256 of the answers now, which may be given and corrected at any time; null: there is none';
