-- Purpose: the ground of each year on which "undamaged" says nothing: an earlier year saw damage there, of a
--   class that the network which found none does not map.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_accounts, after derive_areas. All years of these mines are worked out again: costs
--   nothing where networks map the same classes.
create function lode_api.derive_blind_years(mine_ids integer[]) returns void
language plpgsql
as $$
begin
  with blind as materialized (
    select * from lode_api.blind_classes(mine_ids)
  ),
  found as materialized (
    select b.mine_id, b.year, st_multi(st_union(g.geom order by g.geom)) as geom
    from blind b
    join lode.mine_year e on e.mine_id = b.mine_id and e.year < b.year
    cross join lateral lode_api.blind_ground(b.mine_id, e.year, b.land_class_code, b.year, b.run_id) g
    group by b.mine_id, b.year
  )
  update lode.mine_year y set blind_geom = f.geom
  from lode.mine_year o
  left join found f on f.mine_id = o.mine_id and f.year = o.year
  where o.mine_id = any(mine_ids) and y.mine_year_id = o.mine_year_id
    and (y.blind_geom is not null or f.geom is not null);
end
$$;

comment on function lode_api.derive_blind_years(integer[]) is
  'Derive the ground on which years of these mines could not judge whether earlier damage was still there.';
