-- Purpose: from which year on the alerts of each mine have to be derived again when these years were.
-- Rules: a year that changes moves the patches of later years, and the year before it may be seen again in it.
--   Where no earlier year observed the mine, no earlier alert can hold: 0.
-- Used by: lode_api.derive_alerts and what it calls.
create function lode_api.derive_alert_since(mine_ids integer[], years integer[])
returns table (mine_id integer, since integer)
language sql stable
begin atomic
  select m.mine_id, coalesce((
    select max(y.year) from lode.mine_year y
    where y.mine_id = m.mine_id and y.year < (select min(u.year) from unnest(years) as u(year))
  ), 0)
  from (select distinct u.mine_id from unnest(mine_ids) as u(mine_id)) m;
end;

comment on function lode_api.derive_alert_since(integer[], integer[]) is
  'First year whose alerts depend on these years, by mine.';
