-- Purpose: ground that became tailings pond between consecutive years, where it may be enough for an alert.
-- Rules: to tailings pond from any other class, over ground that both years observed (mine_transition).
--   Connected parts smaller than the smallest mapped tailings pond are left out, so the area may be below
--   mine_transition's. What had been water before may be the same pond at low water: the reason says how much.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84); share is that of the pond before, null where there was none.
-- Used by: lode_api.derive_alerts; least_m2 is the smallest threshold.
create function lode_api.derive_tailings_growth(
  mine_ids integer[], years integer[], least_m2 double precision
)
returns table (
  mine_id integer, from_year integer, to_year integer, area_m2 double precision, share double precision,
  reason text, reason_zh text, geom geometry
)
language sql stable
as $$
  with pond as (
    select c.land_class_code, c.min_patch_m2 from lode.land_class c where c.key = 'tailings_pond'
  ),
  growth as materialized (
    select p.mine_id, p.from_year, p.to_year,
      coalesce(sum(x.area_m2) filter (where x.from_class_code = pond.land_class_code), 0) as before_m2,
      coalesce(sum(x.area_m2) filter (
        where x.to_class_code = pond.land_class_code and c.key = 'water'
      ), 0) as water_m2
    from lode_api.derive_alert_since(mine_ids, years) t
    cross join pond
    join lode.mine_pair p on p.mine_id = t.mine_id and p.to_year >= t.since and p.is_consecutive
    join lode.mine_transition x on x.mine_pair_id = p.mine_pair_id
    join lode.land_class c on c.land_class_code = x.from_class_code
    where pond.land_class_code in (x.from_class_code, x.to_class_code)
    group by p.mine_id, p.from_year, p.to_year
    having sum(x.area_m2) filter (where x.from_class_code <> pond.land_class_code) >= least_m2 * (1 - 1e-9)
  ),
  shape as materialized ( -- the pond in each zone and year
    select g.mine_id, g.from_year, g.to_year, z.mine_zone_id, q.year = g.to_year as is_after,
      st_union(coalesce(q.geom, l.geom) order by q.landcover_id, q.label_id) as geom
    from growth g
    cross join pond
    join lode.mine_zone z on z.mine_id = g.mine_id
    join lode.mine_piece q
      on q.mine_zone_id = z.mine_zone_id and q.year in (g.from_year, g.to_year)
      and q.land_class_code = pond.land_class_code
    left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
    group by g.mine_id, g.from_year, g.to_year, z.mine_zone_id, q.year
  ),
  grown as (
    select a.mine_id, a.from_year, a.to_year, z.is_exclusive, st_collectionextract(
      case when b.geom is null then s.geom else st_difference(s.geom, b.geom) end, 3
    ) as geom
    from shape a
    join lode.mine_zone z on z.mine_zone_id = a.mine_zone_id
    join lode.zone_year v on v.mine_zone_id = a.mine_zone_id and v.year = a.from_year
    left join shape b on b.mine_zone_id = a.mine_zone_id and b.from_year = a.from_year and not b.is_after
    cross join lateral (
      select case when v.geom is null then a.geom else st_intersection(a.geom, v.geom) end as geom
    ) s
    where a.is_after
  ),
  ground as (
    select g.mine_id, g.from_year, g.to_year, st_union(g.geom order by g.is_exclusive) as geom
    from grown g
    group by g.mine_id, g.from_year, g.to_year
  ),
  measured as (
    select w.mine_id, w.from_year, w.to_year, w.before_m2, w.water_m2, p.geom, p.area_m2
    from growth w
    join ground g on (g.mine_id, g.from_year, g.to_year) = (w.mine_id, w.from_year, w.to_year)
    cross join lateral lode_api.large_parts(g.geom, (select pond.min_patch_m2 from pond)) as p
  )
  select m.mine_id, m.from_year, m.to_year, m.area_m2, m.area_m2 / nullif(m.before_m2, 0),
    format('The tailings pond grew by %s m2 from %s to %s, %s%s', n.area, m.from_year, m.to_year,
      case
        when m.before_m2 = 0 then 'there was none before'
        else format('%s %% of the %s m2 before', n.percent, n.before)
      end,
      case when m.water_m2 > 0 then format('; %s m2 of it had been water', n.water) end),
    format('%s年至%s年尾矿库扩大%s平方米，%s%s', m.from_year, m.to_year, n.area,
      case when m.before_m2 = 0 then '此前无尾矿库' else format('为原有%s平方米的%s%%', n.before, n.percent) end,
      case when m.water_m2 > 0 then format('，其中%s平方米原为水域', n.water) end),
    m.geom
  from measured m
  cross join lateral (
    select to_char(m.area_m2, 'FM999,999,999,990') as area,
      to_char(m.before_m2, 'FM999,999,999,990') as before,
      to_char(m.water_m2, 'FM999,999,999,990') as water,
      to_char(100 * m.area_m2 / nullif(m.before_m2, 0), 'FM999,990.0') as percent
  ) n
$$;

comment on function lode_api.derive_tailings_growth(integer[], integer[], double precision) is
  'Growth of tailings ponds of these mines of at least so many m2, with its numbers and its ground.';
