-- Purpose: ground that became tailings pond between two years, where it may be enough for an alert.
-- Rules: growth is ground that is pond in the later year, was observed in the earlier by a network that maps
--   tailings ponds (or by an interpreter), and was something else. Pond on ground where the earlier year's
--   network does not map ponds is no growth: it may be as old as the mine. Where there is enough of it, it
--   gets a row of its own that raises a notice at most, says so, and has no share.
--   Connected parts smaller than the smallest mapped pond are left out, so the area may be below
--   mine_transition's. Water does not change the area: how much of the ground had been water is measured on
--   that ground, and said, apart for water that touched the pond, which may be the pond at low water.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84); share is that of the pond before, null where there was none
--   (less than 1 m2). top_level is the highest level a row may raise; null: any.
-- Used by: lode_api.derive_alerts; least_m2 is the smallest threshold.
create function lode_api.derive_tailings_growth(
  mine_ids integer[], years integer[], least_m2 double precision
)
returns table (
  mine_id integer, from_year integer, to_year integer, area_m2 double precision, share double precision,
  top_level text, reason text, reason_zh text, geom geometry
)
language sql stable
begin atomic
  with pond as (
    select c.land_class_code, c.min_patch_m2 from lode.land_class c where c.key = 'tailings_pond'
  ),
  moved as (
    select x.mine_pair_id,
      sum(x.area_m2 order by x.area_m2) filter (where x.from_class_code = pond.land_class_code) as before_m2,
      sum(x.area_m2 order by x.area_m2) filter (where x.from_class_code <> pond.land_class_code) as became_m2,
      bool_or(c.key = 'water') as had_water
    from lode_api.alert_pairs(mine_ids, years) p
    cross join pond
    join lode.mine_transition x
      on x.mine_pair_id = p.mine_pair_id and pond.land_class_code in (x.from_class_code, x.to_class_code)
    join lode.land_class c on c.land_class_code = x.from_class_code
    group by x.mine_pair_id
  ),
  pair as materialized ( -- runs of the earlier year that could not have found a pond
    select p.mine_pair_id, p.mine_id, p.from_year, p.to_year, b.run_ids as blind_run_ids,
      coalesce(v.before_m2, 0) as before_m2, coalesce(v.had_water, false) as had_water
    from lode_api.alert_pairs(mine_ids, years) p
    cross join pond
    join lode.mine_year y on y.mine_id = p.mine_id and y.year = p.from_year
    cross join lateral (
      select array_agg(r.run_id) as run_ids
      from lode.run r
      join lode.model d on d.model_id = r.model_id
      where r.run_id = any(y.run_ids) and pond.land_class_code <> all(d.mapped_codes)
    ) b
    left join moved v on v.mine_pair_id = p.mine_pair_id
    where v.became_m2 >= least_m2 * (1 - 1e-9) or b.run_ids is not null
  ),
  shape as materialized ( -- the pond in each zone and year
    select g.mine_pair_id, z.mine_zone_id, q.year = g.to_year as is_after,
      st_union(o.geom order by o.geom) as geom
    from pair g
    cross join pond
    join lode.mine_zone z on z.mine_id = g.mine_id
    join lode.mine_piece q
      on q.mine_zone_id = z.mine_zone_id and q.year in (g.from_year, g.to_year)
      and q.land_class_code = pond.land_class_code
    left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
    cross join lateral (select coalesce(q.geom, l.geom) as geom) o
    group by g.mine_pair_id, g.to_year, z.mine_zone_id, q.year
  ),
  grown as materialized ( -- pond that was none before, of what the earlier year observed
    select a.mine_pair_id, a.mine_zone_id, z.is_exclusive, x.geom
    from shape a
    join pair g on g.mine_pair_id = a.mine_pair_id
    join lode.mine_zone z on z.mine_zone_id = a.mine_zone_id
    join lode.zone_year v on v.mine_zone_id = a.mine_zone_id and v.year = g.from_year
    left join shape b
      on b.mine_zone_id = a.mine_zone_id and b.mine_pair_id = a.mine_pair_id and not b.is_after
    cross join lateral (
      select case when v.geom is null then a.geom else lode_api.safe_intersection(a.geom, v.geom) end as geom offset 0
    ) s
    cross join lateral (
      select st_collectionextract(
        case when b.geom is null then s.geom else lode_api.safe_difference(s.geom, b.geom) end, 3
      ) as geom
      offset 0
    ) x
    where a.is_after and not st_isempty(x.geom)
  ),
  ground as materialized (
    select g.mine_pair_id, s.is_looked_for, st_union(s.geom order by g.is_exclusive) as geom
    from grown g
    join pair p on p.mine_pair_id = g.mine_pair_id
    cross join lateral (
      select st_union(o.geom order by o.geom) as geom
      from lode.mine_piece q
      left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
      cross join lateral (select coalesce(q.geom, l.geom) as geom) o
      where p.blind_run_ids is not null and q.mine_zone_id = g.mine_zone_id and q.year = p.from_year
        and q.run_id = any(p.blind_run_ids) and o.geom && g.geom
    ) blind
    cross join lateral (
      select true as is_looked_for,
        case when blind.geom is null then g.geom else lode_api.safe_difference(g.geom, blind.geom) end as geom
      union all
      select false, lode_api.safe_intersection(g.geom, blind.geom) where blind.geom is not null
    ) s
    group by g.mine_pair_id, s.is_looked_for
  ),
  measured as materialized (
    select g.mine_pair_id, g.is_looked_for, p.geom, p.area_m2
    from ground g
    cross join lateral lode_api.large_parts(g.geom, (select pond.min_patch_m2 from pond)) as p
  ),
  water as (
    select m.mine_pair_id,
      sum(x.area_m2 order by x.area_m2) as water_m2,
      sum(x.area_m2 order by x.area_m2) filter (where exists (
        select from shape b
        where b.mine_pair_id = m.mine_pair_id and not b.is_after
          and st_dwithin(b.geom, w.geom, 1e-8) -- 1 mm: they were cut from one map
      )) as low_m2
    from measured m
    join pair p on p.mine_pair_id = m.mine_pair_id and p.had_water
    cross join lateral (
      select d.geom
      from (
        select st_union(o.geom order by o.geom) as geom
        from lode.mine_zone z
        join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = p.from_year
        join lode.land_class c on c.land_class_code = q.land_class_code and c.key = 'water'
        left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
        cross join lateral (select coalesce(q.geom, l.geom) as geom) o
        where z.mine_id = p.mine_id and o.geom && m.geom
      ) u
      cross join lateral st_dump(u.geom) d
      where d.geom && m.geom
    ) w
    cross join lateral (
      select st_area(lode_api.safe_intersection(m.geom, w.geom)::geography) as area_m2 offset 0
    ) x
    where m.is_looked_for
    group by m.mine_pair_id
  ),
  said as (
    select p.mine_id, p.from_year, p.to_year, m.is_looked_for, m.area_m2, m.geom,
      case when p.before_m2 >= 1 then p.before_m2 end as before_m2,
      coalesce(w.low_m2, 0) as low_m2, coalesce(w.water_m2 - coalesce(w.low_m2, 0), 0) as other_m2,
      case when m.is_looked_for then o.area_m2 end as unknown_m2
    from measured m
    join pair p on p.mine_pair_id = m.mine_pair_id
    left join water w on w.mine_pair_id = m.mine_pair_id and m.is_looked_for
    left join measured o on o.mine_pair_id = m.mine_pair_id and not o.is_looked_for
    where m.area_m2 >= least_m2
  )
  select s.mine_id, s.from_year, s.to_year, s.area_m2,
    case when s.is_looked_for then s.area_m2 / s.before_m2 end,
    case when not s.is_looked_for then 'notice' end,
    case
      when s.is_looked_for then format('The tailings pond grew by %s m2 from %s to %s, %s%s%s%s',
        n.area, s.from_year, s.to_year,
        case
          when s.before_m2 is null then 'there was none before'
          else format('%s %% of the %s m2 before', n.percent, n.before)
        end,
        case when s.low_m2 >= 1 then format('; %s m2 of it had been water beside the pond', n.low) end,
        case when s.other_m2 >= 1 then format('; %s m2 of it had been other water', n.other) end,
        case when s.unknown_m2 >= 1 then
          format('; another %s m2 lie where it was not looked for in %s', n.unknown, s.from_year)
        end)
      else format('Tailings pond of %s m2 in %s, not looked for in %s: it may be older', n.area, s.to_year,
        s.from_year)
    end,
    case
      when s.is_looked_for then format('%s年至%s年尾矿库扩大%s平方米，%s%s%s%s', s.from_year, s.to_year, n.area,
        case
          when s.before_m2 is null then '此前无尾矿库'
          else format('为原有%s平方米的%s%%', n.before, n.percent)
        end,
        case when s.low_m2 >= 1 then format('，其中%s平方米原为库边水域', n.low) end,
        case when s.other_m2 >= 1 then format('，其中%s平方米原为其他水域', n.other) end,
        case when s.unknown_m2 >= 1 then format('，另有%s平方米所在地面%s年未识别尾矿库', n.unknown, s.from_year) end)
      else format('%s年见尾矿库%s平方米，%s年未识别该地类，可能早已存在', s.to_year, n.area, s.from_year)
    end,
    s.geom
  from said s
  cross join lateral (
    select to_char(s.area_m2, 'FM999,999,999,990') as area,
      to_char(s.before_m2, 'FM999,999,999,990') as before,
      to_char(s.low_m2, 'FM999,999,999,990') as low,
      to_char(s.other_m2, 'FM999,999,999,990') as other,
      to_char(s.unknown_m2, 'FM999,999,999,990') as unknown,
      to_char(100 * s.area_m2 / s.before_m2, 'FM999,999,990.0') as percent
  ) n;
end;

comment on function lode_api.derive_tailings_growth(integer[], integer[], double precision) is
  'Growth of tailings ponds of these mines of at least so many m2, with its numbers and its ground.';
