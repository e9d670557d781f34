-- Purpose: damaged ground outside the licence, where it may be enough for an alert.
-- Rules: what of pieces of damage classes lies outside the licence, inside the mine's boundary; a mine without a
--   licence boundary raises none. Connected parts smaller than the smallest mapped patch of damage are left
--   out: an edge that two sources drew differently is no trespass. So the area may be below that of
--   mine_area.unlicensed_area_m2.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84); share is that of the mine's damage of the year, 0..1.
--   from_year is null, nothing is compared; top_level null: any.
-- Used by: lode_api.derive_alerts; least_m2 is the smallest threshold.
create function lode_api.derive_outside_licence(
  mine_ids integer[], years integer[], least_m2 double precision
)
returns table (
  mine_id integer, from_year integer, to_year integer, area_m2 double precision, share double precision,
  top_level text, reason text, reason_zh text, geom geometry
)
language sql stable
begin atomic
  with damage as (
    select c.land_class_code, c.name, c.name_zh, c.min_patch_m2
    from lode.land_class c
    where c.damage_kind in ('excavated', 'occupied', 'subsided')
  ),
  beyond as materialized (
    select y.mine_id, y.year, sum(a.area_m2 order by a.area_m2) as damage_m2,
      (array_agg(d.name order by a.unlicensed_area_m2 desc, d.land_class_code))[1] as class_name,
      (array_agg(d.name_zh order by a.unlicensed_area_m2 desc, d.land_class_code))[1] as class_name_zh
    from lode_api.derive_alert_since(mine_ids, years) t
    join lode.mine_year y on y.mine_id = t.mine_id and y.year >= t.since
    join lode.mine_area a on a.mine_year_id = y.mine_year_id
    join damage d on d.land_class_code = a.land_class_code
    group by y.mine_id, y.year
    having sum(a.unlicensed_area_m2 order by a.unlicensed_area_m2) > 0
      and sum(a.unlicensed_area_m2 order by a.unlicensed_area_m2) >= least_m2 * (1 - 1e-9)
  ),
  ground as (
    select b.mine_id, b.year,
      st_union(x.geom order by x.geom) as geom
    from beyond b
    join lode.mine m on m.mine_id = b.mine_id
    join lode.mine_zone z on z.mine_id = b.mine_id
    join lode.mine_piece q
      on q.mine_zone_id = z.mine_zone_id and q.year = b.year and q.unlicensed_area_m2 > 0
    join damage d on d.land_class_code = q.land_class_code
    left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
    cross join lateral (select coalesce(q.geom, l.geom) as geom) g
    cross join lateral (
      select case
        when q.unlicensed_area_m2 < q.area_m2 then lode_api.safe_difference(g.geom, m.licence_boundary)
        else g.geom
      end as geom
      offset 0 -- cut once
    ) x
    group by b.mine_id, b.year
  ),
  measured as (
    select b.mine_id, b.year, b.damage_m2, b.class_name, b.class_name_zh, p.geom, p.area_m2
    from beyond b
    join ground g on g.mine_id = b.mine_id and g.year = b.year
    cross join lateral lode_api.large_parts(g.geom, (select min(d.min_patch_m2) from damage d)) as p
  )
  select m.mine_id, null::integer, m.year, m.area_m2, s.share, null::text,
    format('Damage of %s m2 outside the licence in %s, %s %% of the mine''s damage; mostly %s',
      to_char(m.area_m2, 'FM999,999,999,990'), m.year, to_char(100 * s.share, 'FM990.0'), m.class_name),
    format('%s年许可范围外损毁%s平方米，占该矿损毁面积%s%%，主要为%s', m.year,
      to_char(m.area_m2, 'FM999,999,999,990'), to_char(100 * s.share, 'FM990.0'), m.class_name_zh),
    m.geom
  from measured m
  cross join lateral (select least(m.area_m2 / m.damage_m2, 1) as share) s;
end;

comment on function lode_api.derive_outside_licence(integer[], integer[], double precision) is
  'Damage of these mines outside their licence of at least so many m2, with its numbers and its ground.';
