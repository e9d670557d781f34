-- Purpose: the part of a shape inside a mine that some year before a given one observed and could judge, and
--   that none of them saw damaged.
-- Rules: a year cannot judge ground that a network which does not map the class of its damage found undamaged.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_new_damage, for ground that the earlier year of a pair did not see.
create function lode_api.seen_bare_before(of_mine integer, of_year integer, shape geometry) returns geometry
language sql stable
begin atomic
  with blind as (
    select b.year, st_union(g.geom order by g.geom) as geom
    from lode_api.blind_classes(array[of_mine]) b
    cross join lateral lode_api.blind_ground(of_mine, of_year, b.land_class_code, b.year, b.run_id) g
    where b.is_mapped and b.year < of_year
    group by b.year
  ),
  seen as (
    select st_union(case
      when b.geom is null then coalesce(y.geom, z.geom)
      else lode_api.safe_difference(coalesce(y.geom, z.geom), b.geom)
    end order by y.year, z.is_exclusive) as geom
    from lode.mine_zone z
    join lode.zone_year y on y.mine_zone_id = z.mine_zone_id and y.year < of_year
    left join blind b on b.year = y.year
    where z.mine_id = of_mine
  ),
  damage as (
    select st_union(d.geom order by d.year, d.damage_kind) as geom
    from lode.mine_damage d
    where d.mine_id = of_mine and d.year < of_year
  )
  select case
    when s.geom is null then st_setsrid('multipolygon empty'::geometry, 4326)
    when d.geom is null then lode_api.safe_intersection(shape, s.geom)
    else lode_api.safe_difference(lode_api.safe_intersection(shape, s.geom), d.geom)
  end
  from seen s
  cross join damage d;
end;

comment on function lode_api.seen_bare_before(integer, integer, geometry) is
  'The part of a shape inside a mine that years before a given one observed, and none saw damaged.';
