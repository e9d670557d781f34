-- Purpose: put what runs observed and published into the year in which their scene was acquired.
-- Rules: a run owns no ground of its new year before that year's map is derived again.
-- Used by: the triggers on lode.scene (its day turns out to lie in another year) and lode.run (that happened while
--   it was being published), lode_api.derive_base. Returns the years that were left and entered; none where all
--   were right.
create function lode_api.date_runs(run_ids integer[]) returns integer[]
language plpgsql
as $$
declare
  moved integer[];
  years integer[];
begin
  select array_agg(m.run_id), array_agg(m.old_year) || array_agg(m.new_year) into moved, years
  from (
    select o.run_id, o.year as old_year, extract(year from s.acquired_on)::integer as new_year
    from lode.observation o
    join lode.run r on r.run_id = o.run_id
    join lode.scene s on s.scene_id = r.scene_id
    where o.run_id = any(run_ids)
  ) m
  where m.old_year <> m.new_year;
  if moved is null then
    return '{}';
  end if;

  update lode.observation o
  set year = extract(year from s.acquired_on)::integer, owned = null, owned_area_m2 = null
  from lode.run r
  join lode.scene s on s.scene_id = r.scene_id
  where r.run_id = o.run_id and o.run_id = any(moved);

  update lode.landcover l set start_date = make_date(o.year, 1, 1), end_date = make_date(o.year + 1, 1, 1)
  from lode.observation o
  where o.run_id = l.run_id and l.run_id = any(moved);

  return array(select distinct y from unnest(years) as y order by y);
end
$$;

comment on function lode_api.date_runs(integer[]) is
  'Put these runs into the year of their scene; returns the years that were left and entered.';
