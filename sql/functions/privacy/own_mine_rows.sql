-- Purpose: mines of the login, with their outlines.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's. It can be called by
--   itself, so it has the view's columns and rows and no others.
-- Used by: the view lode_api.own_mine.
create function lode_api.own_mine_rows()
returns table (
  ogc_fid integer, mine_code text, mine_name text, mineral text, mining_method text,
  boundary geometry(MultiPolygon, 4326), licence_boundary geometry(MultiPolygon, 4326)
)
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select m.mine_id, m.code, m.name, m.mineral, m.mining_method, m.boundary, m.licence_boundary
  from lode.mine m
  where m.mine_id in (select o.mine_id from lode_api.own_mines() o)
$$;

comment on function lode_api.own_mine_rows() is 'Mines of the login, with their outlines.';
