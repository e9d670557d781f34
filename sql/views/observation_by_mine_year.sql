-- Purpose: how much of each mine each year saw, and why not all of it. Areas by mine and year mean nothing
--   without it.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every mine and every year of report_year. Observed is what current runs saw, less
--   cloud and nodata, and what interpreters drew in labels that count. A reason stands where less than
--   0.995 of the mine was observed; the little below that is the jagged rim of pixels.
-- Used by: the other views by mine and year, `lode report`, analysts.
create view lode_api.observation_by_mine_year as
select
  m.mine_id::bigint * 10000 + y.year as ogc_fid,
  m.mine_id,
  m.code as mine_code,
  m.name as mine_name,
  y.year,
  my.mine_year_id,
  b.boundary_area_m2,
  coalesce(my.observed_area_m2, 0) as observed_area_m2,
  greatest(b.boundary_area_m2 - coalesce(my.observed_area_m2, 0), 0) as unobserved_area_m2,
  least(coalesce(my.observed_area_m2 / my.boundary_area_m2, 0), 1) as observed_fraction,
  my.interpreted_area_m2,
  coalesce(cardinality(my.run_ids), 0) as run_count,
  my.first_acquired_on,
  my.last_acquired_on,
  w.reason
from lode.mine m
cross join lode_api.report_year y
left join lode.mine_year my on my.mine_id = m.mine_id and my.year = y.year
cross join lateral (
  select coalesce(
    my.boundary_area_m2,
    (select sum(z.area_m2 order by z.area_m2) from lode.mine_zone z where z.mine_id = m.mine_id)
  ) as boundary_area_m2
  offset 0 -- worked out once by mine and year, and not at all where nobody reads it; so below
) b
cross join lateral (
  select case
    when my.observed_area_m2 >= 0.995 * my.boundary_area_m2 then null
    when cardinality(my.run_ids) = 0
      then 'only what interpreters drew is known: no current run observed it'
    when y.scene_count > y.run_count and exists (
      select from lode.mine n
      join lode.scene s on st_intersects(s.footprint, n.boundary)
      where n.mine_id = m.mine_id
        and s.superseded_by is null
        and extract(year from s.acquired_on) = y.year
        and not exists (select from lode.run r where r.scene_id = s.scene_id and r.is_current)
    ) then case
      when my.mine_year_id is null then 'a scene of this year covers it, but no current run observed it'
      else 'a part was not observed; a scene that no current run interpreted covers the mine'
    end
    when my.mine_year_id is not null then 'the rest is under cloud or outside the scenes'
    when exists (
      select from lode.mine n
      join lode.scene s on st_intersects(s.footprint, n.boundary)
      where n.mine_id = m.mine_id
        and s.superseded_by is null
        and extract(year from s.acquired_on) = y.year
    ) then 'scenes of this year cover it, but only cloud or nodata was seen there'
    else 'no scene of this year covers it'
  end as reason
  offset 0
) w;

comment on view lode_api.observation_by_mine_year is
  'Observed part of each mine by year, with the reason where a part or all of it was not observed.';
comment on column lode_api.observation_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.observation_by_mine_year.mine_id is 'Key of the mine';
comment on column lode_api.observation_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.observation_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.observation_by_mine_year.year is 'Year';
comment on column lode_api.observation_by_mine_year.mine_year_id is
  'Key of the derived row; null: nothing was observed';
comment on column lode_api.observation_by_mine_year.boundary_area_m2 is 'Geodesic area of the mine, m2';
comment on column lode_api.observation_by_mine_year.observed_area_m2 is 'Part of it that was observed, m2';
comment on column lode_api.observation_by_mine_year.unobserved_area_m2 is
  'Part of it that was not observed, m2';
comment on column lode_api.observation_by_mine_year.observed_fraction is 'Share of the mine observed, 0..1';
comment on column lode_api.observation_by_mine_year.interpreted_area_m2 is
  'Observed ground whose class an interpreter decided, m2; null: nothing was observed';
comment on column lode_api.observation_by_mine_year.run_count is 'Current runs whose ground counts here';
comment on column lode_api.observation_by_mine_year.first_acquired_on is
  'Day of the earliest scene or label that counts here';
comment on column lode_api.observation_by_mine_year.last_acquired_on is
  'Day of the latest scene or label that counts here';
comment on column lode_api.observation_by_mine_year.reason is
  'Why the mine, or a part of it, was not observed; null: it was (0.995 of it or more)';
