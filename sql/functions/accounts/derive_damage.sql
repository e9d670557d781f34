-- Purpose: damaged ground by mine, year and kind, as one shape each.
-- Rules: water is damage here because only ground inside mines is in mine_piece.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_mines; what it makes is the base of patches, change polygons and tiles.
create function lode_api.derive_damage(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.mine_damage where mine_id = any(mine_ids) and year = any(years);

  insert into lode.mine_damage (mine_id, year, damage_kind, geom, area_m2, start_date, end_date)
  select z.mine_id, q.year, c.damage_kind,
    st_multi(st_collectionextract(lode_api.sound(st_union(g.geom order by g.geom)), 3)),
    sum(q.area_m2 order by q.area_m2),
    make_date(q.year, 1, 1), make_date(q.year + 1, 1, 1)
  from lode.mine_zone z
  join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = any(years)
  join lode.land_class c on c.land_class_code = q.land_class_code
  left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
  cross join lateral (select coalesce(q.geom, l.geom) as geom) g
  where z.mine_id = any(mine_ids) and c.damage_kind in ('excavated', 'occupied', 'subsided')
  group by z.mine_id, q.year, c.damage_kind
  order by z.mine_id, q.year, c.damage_kind;
end
$$;

comment on function lode_api.derive_damage(integer[], integer[]) is
  'Derive lode.mine_damage of these mines and years again, from their pieces.';
