-- Purpose: cut the ground of mines where another mine or the licence begins.
-- Rules: ground inside a mine of smaller code (order of bytes, whatever the database's collation) is not
--   exclusive: sums over mines leave it to that mine. A mine without a licence boundary is neither licensed
--   nor unlicensed (null).
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_all, the trigger on lode.mine.
create function lode_api.derive_zones(mine_ids integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.mine_zone where mine_id = any(mine_ids);

  insert into lode.mine_zone (mine_id, is_exclusive, is_licensed, geom, area_m2)
  with lower_mine as materialized (
    select m.mine_id, st_union(n.boundary) as geom
    from lode.mine m
    join lode.mine n
      on n.code collate "C" < m.code collate "C" and st_intersects(n.boundary, m.boundary)
    where m.mine_id = any(mine_ids)
    group by m.mine_id
  ),
  by_owner as (
    select m.mine_id, m.licence_boundary, e.is_exclusive, e.geom
    from lode.mine m
    left join lower_mine o on o.mine_id = m.mine_id
    cross join lateral (
      select true, case when o.geom is null then m.boundary else st_difference(m.boundary, o.geom) end
      union all
      select false, st_intersection(m.boundary, o.geom) where o.geom is not null
    ) as e(is_exclusive, geom)
    where m.mine_id = any(mine_ids)
  ),
  by_licence as materialized (
    select b.mine_id, b.is_exclusive, l.is_licensed, st_multi(st_collectionextract(l.geom, 3)) as geom
    from by_owner b
    cross join lateral (
      select null::boolean, b.geom where b.licence_boundary is null
      union all
      select true, st_intersection(b.geom, b.licence_boundary) where b.licence_boundary is not null
      union all
      select false, st_difference(b.geom, b.licence_boundary) where b.licence_boundary is not null
    ) as l(is_licensed, geom)
  ),
  measured as materialized (
    select c.mine_id, c.is_exclusive, c.is_licensed, c.geom, st_area(c.geom::geography) as area_m2
    from by_licence c
    where not st_isempty(c.geom)
  )
  select z.mine_id, z.is_exclusive, z.is_licensed, z.geom, z.area_m2
  from measured z
  where z.area_m2 > 0
  order by z.mine_id, z.is_exclusive desc, z.is_licensed desc nulls first;
end
$$;

comment on function lode_api.derive_zones(integer[]) is
  'Derive lode.mine_zone of these mines again: their ground by who counts it and by licence.';
