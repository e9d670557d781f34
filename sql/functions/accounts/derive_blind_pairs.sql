-- Purpose: take out of the change between two years the ground that one of them could not judge.
-- Rules: damaged before and "undamaged" after according to a network that does not map the class: not treated
--   but not compared. The same for new damage of a class that networks map, where the earlier year's did not
--   map it. A class that no network maps is new when interpreters draw it for the first time.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_change, after derive_transitions. Costs nothing where networks map the same classes.
create function lode_api.derive_blind_pairs(pair_ids integer[]) returns void
language plpgsql
as $$
begin
  with pair as materialized (
    select p.mine_pair_id, p.mine_id, p.from_year, p.to_year
    from lode.mine_pair p
    where p.mine_pair_id = any(pair_ids)
  ),
  blind as materialized (
    select * from lode_api.blind_classes(array(select distinct p.mine_id from pair p))
  ),
  crossing as materialized (
    select p.mine_pair_id, b.land_class_code as from_class_code, g.land_class_code as to_class_code,
      g.is_exclusive, g.geom, st_area(g.geom::geography) as area_m2
    from pair p
    join blind b on b.mine_id = p.mine_id and b.year = p.to_year
    cross join lateral lode_api.blind_ground(
      p.mine_id, p.from_year, b.land_class_code, p.to_year, b.run_id
    ) g
    union all
    select p.mine_pair_id, g.land_class_code, b.land_class_code, g.is_exclusive, g.geom,
      st_area(g.geom::geography)
    from pair p
    join blind b on b.mine_id = p.mine_id and b.year = p.from_year and b.is_mapped
    cross join lateral lode_api.blind_ground(
      p.mine_id, p.to_year, b.land_class_code, p.from_year, b.run_id
    ) g
  ),
  cell as (
    select c.mine_pair_id, c.from_class_code, c.to_class_code,
      sum(c.area_m2 order by c.area_m2) as area_m2,
      coalesce(sum(c.area_m2 order by c.area_m2) filter (where c.is_exclusive), 0) as exclusive_area_m2
    from crossing c
    group by c.mine_pair_id, c.from_class_code, c.to_class_code
  ),
  taken as (
    update lode.mine_transition t set
      area_m2 = greatest(t.area_m2 - c.area_m2, 0),
      exclusive_area_m2 = greatest(t.exclusive_area_m2 - c.exclusive_area_m2, 0)
    from cell c
    where (t.mine_pair_id, t.from_class_code, t.to_class_code)
      = (c.mine_pair_id, c.from_class_code, c.to_class_code)
  )
  update lode.mine_pair p set blind_geom = b.geom
  from (
    select c.mine_pair_id, st_multi(st_union(c.geom order by c.geom)) as geom
    from crossing c
    group by c.mine_pair_id
  ) b
  where p.mine_pair_id = b.mine_pair_id;

  delete from lode.mine_transition t
  where t.mine_pair_id = any(pair_ids) and t.area_m2 <= 1e-3; -- less is rounding
end
$$;

comment on function lode_api.derive_blind_pairs(integer[]) is
  'Take ground that one year could not judge out of the change of these pairs of years.';
