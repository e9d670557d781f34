-- Purpose: damaged area of the login's mines by year and class.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's.
-- Used by: the view lode_api.own_damage_by_mine_year.
create function lode_api.own_damage_rows() returns setof lode_api.damage_by_mine_year
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select s.* from lode_api.damage_by_mine_year s where s.mine_code in (select o.mine_code from lode_api.own_mines() o)
$$;

comment on function lode_api.own_damage_rows() is 'Damaged area of the login''s mines by year and class.';
