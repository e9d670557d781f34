-- Purpose: which pairs of years are to be compared for these mines.
-- Rules: consecutive years that observed the mine, and the periods of lode.report_period whose years both
--   did (where they are not consecutive anyway).
-- Used by: lode_api.derive_change.
create function lode_api.wanted_pairs(mine_ids integer[])
returns table (mine_id integer, from_year integer, to_year integer, is_consecutive boolean)
language sql stable
as $$
  select y.mine_id, y.year, n.year, true
  from lode.mine_year y
  cross join lateral (
    select min(z.year) as year from lode.mine_year z where z.mine_id = y.mine_id and z.year > y.year
  ) n
  where y.mine_id = any(mine_ids) and n.year is not null
  union all
  select y.mine_id, p.from_year, p.to_year, false
  from lode.report_period p
  join lode.mine_year y on y.year = p.from_year and y.mine_id = any(mine_ids)
  join lode.mine_year z on z.mine_id = y.mine_id and z.year = p.to_year
  where exists (
    select from lode.mine_year b
    where b.mine_id = y.mine_id and b.year > p.from_year and b.year < p.to_year
  )
$$;

comment on function lode_api.wanted_pairs(integer[]) is
  'Pairs of years that are compared for these mines: consecutive ones and report periods.';
