-- Purpose: alerts of the login's mines.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's. It can be called by
--   itself, so it has the view's columns and rows and no others.
-- Used by: the view lode_api.own_alert.
create function lode_api.own_alert_rows()
returns table (
  ogc_fid integer, mine_code text, mine_name text, kind text, level text, year integer, from_year integer,
  area_m2 double precision, share double precision, confidence double precision, reason text, reason_zh text,
  state text, reviewed_at timestamp with time zone, first_raised_at timestamp with time zone, start_date date,
  end_date date, geom geometry(MultiPolygon, 4326)
)
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select a.ogc_fid, a.mine_code, a.mine_name, a.kind, a.level, a.year, a.from_year, a.area_m2, a.share, a.confidence,
    a.reason, a.reason_zh, a.state, a.reviewed_at, a.first_raised_at, a.start_date, a.end_date, a.geom
  from lode_api.damage_alert a
  where a.is_current and a.mine_code in (select o.mine_code from lode_api.own_mines() o)
$$;

comment on function lode_api.own_alert_rows() is 'Alerts of the login''s mines.';
