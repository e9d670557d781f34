-- Purpose: mines of the login, with their outlines.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's.
-- Used by: the view lode_api.own_mine.
create function lode_api.own_mine_rows() returns setof lode.mine
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select s.* from lode.mine s where s.mine_id in (select o.mine_id from lode_api.own_mines() o)
$$;

comment on function lode_api.own_mine_rows() is 'Mines of the login, with their outlines.';
