-- Purpose: cut the ground of mines where that of another mine begins.
-- Rules: ground inside a mine of smaller code (order of bytes, whatever the database's collation) is not
--   exclusive: sums over mines leave it to that mine.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_anew.
create function lode_api.derive_zones(mine_ids integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.mine_zone where mine_id = any(mine_ids);

  insert into lode.mine_zone (mine_id, is_exclusive, geom, area_m2, mine_sha256)
  with lower_mine as materialized (
    select m.mine_id, st_union(n.boundary order by n.code collate "C") as geom
    from lode.mine m
    join lode.mine n
      on n.code collate "C" < m.code collate "C" and lode_api.meets(n.boundary, m.boundary)
    where m.mine_id = any(mine_ids)
    group by m.mine_id
  ),
  zone as materialized (
    select m.mine_id, e.is_exclusive, st_multi(st_collectionextract(e.geom, 3)) as geom
    from lode.mine m
    left join lower_mine o on o.mine_id = m.mine_id
    cross join lateral (
      select true, case when o.geom is null then m.boundary else lode_api.safe_difference(m.boundary, o.geom) end
      union all
      select false, lode_api.safe_intersection(m.boundary, o.geom) where o.geom is not null
    ) as e(is_exclusive, geom)
    where m.mine_id = any(mine_ids)
  ),
  measured as materialized (
    select z.mine_id, z.is_exclusive, z.geom, st_area(z.geom::geography) as area_m2
    from zone z
    where not st_isempty(z.geom)
  )
  select z.mine_id, z.is_exclusive, z.geom, z.area_m2,
    lode_api.mine_sha256(m.code, m.boundary, m.licence_boundary)
  from measured z
  join lode.mine m on m.mine_id = z.mine_id
  where z.area_m2 > 0
  order by z.mine_id, z.is_exclusive desc;
end
$$;

comment on function lode_api.derive_zones(integer[]) is
  'Derive lode.mine_zone of these mines again: their ground by who counts it.';
