-- Purpose: which pairs of years are to be compared for these mines.
-- Rules: consecutive years that observed the mine. Where the year before saw less than half of it (a sliver of
--   a scene, one label, or networks that do not map a class of damage known in the mine by then), a year that saw at least half is also compared with the latest earlier one that did
--   (is_bridging), so that a thin year between them hides no change. And the periods of lode.report_period
--   whose years both observed the mine. What was once compared stays so, whatever years come later.
-- Used by: lode_api.derive_change.
create function lode_api.wanted_pairs(mine_ids integer[])
returns table (
  mine_id integer, from_year integer, to_year integer, is_consecutive boolean, is_bridging boolean
)
language sql stable
begin atomic
  with class_area as materialized ( -- of damage that networks map
    select y.mine_id, y.year, a.land_class_code, a.area_m2, a.judged_area_m2
    from lode.mine_year y
    join lode.mine_area a on a.mine_year_id = y.mine_year_id
    join lode.land_class c on c.land_class_code = a.land_class_code and c.is_mapped
    where y.mine_id = any(mine_ids) and c.damage_kind in ('excavated', 'occupied', 'subsided')
  ),
  known as materialized (
    select a.mine_id, a.land_class_code, min(a.year) as since
    from class_area a
    where a.area_m2 > 0
    group by a.mine_id, a.land_class_code
  ),
  judged as materialized ( -- of the classes known by then that of which least ground was judged
    select y.mine_id, y.year, least(y.observed_area_m2, coalesce(
      (
        select min(coalesce(a.judged_area_m2, 0))
        from known k
        left join class_area a
          on a.mine_id = k.mine_id and a.year = y.year and a.land_class_code = k.land_class_code
        where k.mine_id = y.mine_id and k.since <= y.year
      ),
      (select max(a.judged_area_m2) from class_area a where a.mine_id = y.mine_id and a.year = y.year),
      0
    )) >= 0.5 * y.boundary_area_m2 as is_half
    from lode.mine_year y
    where y.mine_id = any(mine_ids)
  ),
  seen as materialized (
    select j.mine_id, j.year, j.is_half, lag(j.year) over w as year_before, lag(j.is_half) over w as was_half
    from judged j
    window w as (partition by j.mine_id order by j.year)
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
  group by w.mine_id, w.from_year, w.to_year;
end;

comment on function lode_api.wanted_pairs(integer[]) is
  'Pairs of years that are compared for these mines: consecutive ones, bridges over thin years, report periods.';
