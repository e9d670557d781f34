-- Purpose: change of damage of the login's mines.
-- Rules: as in lode_api.own_mines. A function with its owner's rights, not a view over all mines: in such a view's
--   plan EXPLAIN ANALYZE counts the rows of other mines that meet a condition of the reader's. It can be called by
--   itself, so it has the view's columns and rows and no others.
-- Used by: the view lode_api.own_change_by_mine_year.
create function lode_api.own_change_rows()
returns table (
  ogc_fid bigint, mine_code text, mine_name text, from_year integer, to_year integer, kind text,
  new_area_m2 double precision, treated_area_m2 double precision, persisting_area_m2 double precision,
  converted_from_area_m2 double precision, converted_to_area_m2 double precision,
  damage_from_area_m2 double precision, damage_to_area_m2 double precision, unobserved_area_m2 double precision,
  observed_fraction double precision
)
language sql stable security definer rows 100
set search_path = lode, public, pg_temp
as $$
  select c.ogc_fid, c.mine_code, c.mine_name, c.from_year, c.to_year, c.kind, c.new_area_m2, c.treated_area_m2,
    c.persisting_area_m2, c.converted_from_area_m2, c.converted_to_area_m2, c.damage_from_area_m2,
    c.damage_to_area_m2, c.unobserved_area_m2, c.observed_fraction
  from lode_api.change_by_mine_year c
  where c.mine_code in (select o.mine_code from lode_api.own_mines() o)
$$;

comment on function lode_api.own_change_rows() is 'Change of damage of the login''s mines.';
