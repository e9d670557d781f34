-- Purpose: totals of regions by year and by class.
-- Rules: ground counts once: in mines, ground outside every mine of smaller code; outside, ground in no mine;
--   the two never overlap. A class has a row where it was found, and with 0 where a network that maps it
--   observed the region and did not find it; a year has one where anything of the region was observed, with null
--   where nobody looked for damage.
-- Units: m2 (geodesic, WGS 84).
-- Used by: whatever derives something of regions, at its end: sums of stored areas, no geometry.
create function lode_api.derive_region_years(region_ids integer[], since integer) returns void
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  delete from lode.region_area where region_id = any(region_ids) and year >= since;
  delete from lode.region_year where region_id = any(region_ids) and year >= since;

  insert into lode.region_area (
    region_id, year, land_class_code, in_mine_area_m2, outside_mine_area_m2, interpreted_area_m2, mine_count
  )
  with looked_for as (
    select distinct g.region_id, g.year, code.land_class_code
    from lode.region_ground g
    join lode.run r on r.run_id = g.run_id
    join lode.model d on d.model_id = r.model_id
    cross join lateral unnest(d.mapped_codes) as code(land_class_code)
    join lode.land_class c
      on c.land_class_code = code.land_class_code and c.damage_kind in ('excavated', 'occupied', 'subsided')
    where g.region_id = any(region_ids) and g.year >= since
  ),
  part as (
    select x.region_id, a.year, a.land_class_code,
      sum(a.exclusive_area_m2 order by a.exclusive_area_m2) as in_mine_area_m2,
      0::double precision as outside_mine_area_m2,
      sum(a.interpreted_area_m2 order by a.interpreted_area_m2) as interpreted_area_m2,
      count(*) as mine_count
    from lode.region_mine x
    join lode.region_mine_area a on a.region_mine_id = x.region_mine_id and a.year >= since
    where x.region_id = any(region_ids)
    group by x.region_id, a.year, a.land_class_code
    union all
    select e.region_id, e.year, e.land_class_code, 0, sum(e.area_m2 order by e.area_m2),
      sum(e.interpreted_area_m2 order by e.interpreted_area_m2), 0
    from lode.region_piece e
    where e.region_id = any(region_ids) and e.year >= since
    group by e.region_id, e.year, e.land_class_code
    union all
    select l.region_id, l.year, l.land_class_code, 0, 0, 0, 0
    from looked_for l
  )
  select p.region_id, p.year, p.land_class_code, sum(p.in_mine_area_m2 order by p.in_mine_area_m2),
    sum(p.outside_mine_area_m2 order by p.outside_mine_area_m2),
    sum(p.interpreted_area_m2 order by p.interpreted_area_m2), sum(p.mine_count)
  from part p
  group by p.region_id, p.year, p.land_class_code
  order by p.region_id, p.year, p.land_class_code;

  insert into lode.region_year (
    region_id, year, region_area_m2, observed_area_m2, interpreted_area_m2, damaged_area_m2, newly_area_m2,
    cumulative_area_m2, mine_count, run_count
  )
  with whole as (
    select p.region_id, sum(p.area_m2 order by p.area_m2) as area_m2
    from lode.region_part p
    where p.region_id = any(region_ids)
    group by p.region_id
  ),
  held as (
    select x.region_id, count(*) as mine_count
    from lode.region_mine x
    where x.region_id = any(region_ids)
    group by x.region_id
  ),
  seen as (
    select g.region_id, g.year, sum(g.observed_area_m2 order by g.observed_area_m2) as observed_area_m2,
      sum(g.interpreted_area_m2 order by g.interpreted_area_m2) as interpreted_area_m2,
      count(g.run_id) as run_count
    from lode.region_ground g
    where g.region_id = any(region_ids) and g.year >= since
    group by g.region_id, g.year
  ),
  damage as (
    select a.region_id, a.year,
      sum(t.area_m2 order by t.area_m2) as area_m2
    from lode.region_area a
    cross join lateral (select a.in_mine_area_m2 + a.outside_mine_area_m2 as area_m2) t
    where a.region_id = any(region_ids) and a.year >= since
    group by a.region_id, a.year
  ),
  newly as (
    select n.region_id, n.year, sum(n.area_m2 order by n.area_m2) as area_m2
    from (
      select x.region_id, y.year, y.newly_area_m2 as area_m2
      from lode.region_mine x
      join lode.region_mine_year y on y.region_mine_id = x.region_mine_id and y.year >= since
      where x.region_id = any(region_ids)
      union all
      select e.region_id, e.year, e.newly_area_m2
      from lode.region_piece e
      where e.region_id = any(region_ids) and e.year >= since
    ) n
    group by n.region_id, n.year
  ),
  carried as ( -- added first: a running sum from `since` is then that from the first year to the last bit
    select distinct on (y.region_id) y.region_id, y.cumulative_area_m2
    from lode.region_year y
    where y.region_id = any(region_ids) and y.year < since
    order by y.region_id, y.year desc
  ),
  added as (
    select s.region_id, s.year,
      coalesce(n.area_m2, 0) + case
        when s.year = min(s.year) over (partition by s.region_id) then coalesce(c.cumulative_area_m2, 0)
        else 0
      end as area_m2
    from seen s
    left join newly n on n.region_id = s.region_id and n.year = s.year
    left join carried c on c.region_id = s.region_id
  )
  select s.region_id, s.year, w.area_m2, least(s.observed_area_m2, w.area_m2),
    least(s.interpreted_area_m2, w.area_m2), d.area_m2,
    case when d.area_m2 is not null then coalesce(n.area_m2, 0) end,
    sum(a.area_m2) over (partition by s.region_id order by s.year),
    coalesce(h.mine_count, 0), s.run_count
  from seen s
  join added a on a.region_id = s.region_id and a.year = s.year
  join whole w on w.region_id = s.region_id
  left join held h on h.region_id = s.region_id
  left join damage d on d.region_id = s.region_id and d.year = s.year
  left join newly n on n.region_id = s.region_id and n.year = s.year
  order by s.region_id, s.year;
end
$$;

comment on function lode_api.derive_region_years(integer[], integer) is
  'Derive lode.region_area and lode.region_year of these regions again, from this year on.';
