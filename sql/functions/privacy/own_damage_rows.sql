-- Purpose: damaged area of the login's mines by year and class.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's. It can be called by
--   itself, so it has the view's columns and rows and no others.
-- Used by: the view lode_api.own_damage_by_mine_year.
create function lode_api.own_damage_rows()
returns table (
  ogc_fid bigint, mine_code text, mine_name text, year integer, land_class text, land_class_name_zh text, kind text,
  area_m2 double precision, observed_fraction double precision, interpreted_area_m2 double precision,
  is_interpreted boolean, reason text
)
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select d.ogc_fid, d.mine_code, d.mine_name, d.year, d.land_class, d.land_class_name_zh, d.kind, d.area_m2,
    d.observed_fraction, d.interpreted_area_m2, d.is_interpreted, d.reason
  from lode_api.damage_by_mine_year d
  where d.mine_code in (select o.mine_code from lode_api.own_mines() o)
$$;

comment on function lode_api.own_damage_rows() is 'Damaged area of the login''s mines by year and class.';
