-- Purpose: which pairs of years are to be compared for these mines.
-- Rules: consecutive years that observed the mine. Where the year before saw less than half of it (a sliver of
--   a scene, one label), a year that saw at least half is also compared with the latest earlier one that did
--   (is_bridging), so that a thin year between them hides no change. And the periods of lode.report_period
--   whose years both observed the mine. What was once compared stays so, whatever years come later.
-- Used by: lode_api.derive_change.
create function lode_api.wanted_pairs(mine_ids integer[])
returns table (
  mine_id integer, from_year integer, to_year integer, is_consecutive boolean, is_bridging boolean
)
language sql stable
as $$
  with seen as materialized (
    select y.mine_id, y.year, y.observed_area_m2 >= 0.5 * y.boundary_area_m2 as is_half,
      lag(y.year) over w as year_before,
      lag(y.observed_area_m2 >= 0.5 * y.boundary_area_m2) over w as was_half
    from lode.mine_year y
    where y.mine_id = any(mine_ids)
    window w as (partition by y.mine_id order by y.year)
  ),
  wanted as (
    select s.mine_id, s.year_before as from_year, s.year as to_year, true as is_consecutive,
      false as is_bridging
    from seen s
    where s.year_before is not null
    union all
    select s.mine_id, b.year, s.year, false, true
    from seen s
    cross join lateral (
      select max(e.year) as year from seen e where e.mine_id = s.mine_id and e.year < s.year and e.is_half
    ) b
    where s.is_half and not s.was_half and b.year is not null
    union all
    select s.mine_id, p.from_year, p.to_year, false, false
    from lode.report_period p
    join seen s on s.year = p.from_year
    join seen e on e.mine_id = s.mine_id and e.year = p.to_year
  )
  select w.mine_id, w.from_year, w.to_year, bool_or(w.is_consecutive), bool_or(w.is_bridging)
  from wanted w
  group by w.mine_id, w.from_year, w.to_year
$$;

comment on function lode_api.wanted_pairs(integer[]) is
  'Pairs of years that are compared for these mines: consecutive ones, bridges over thin years, report periods.';
