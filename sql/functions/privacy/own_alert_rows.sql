-- Purpose: alerts of the login's mines.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's.
-- Used by: the view lode_api.own_alert.
create function lode_api.own_alert_rows() returns setof lode_api.damage_alert
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select s.* from lode_api.damage_alert s where s.mine_code in (select o.mine_code from lode_api.own_mines() o)
$$;

comment on function lode_api.own_alert_rows() is 'Alerts of the login''s mines.';
