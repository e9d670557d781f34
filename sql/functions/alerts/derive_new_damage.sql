-- Purpose: ground that is newly damaged between two years, where it may be enough for an alert.
-- Rules: damaged in the later year and seen undamaged in the earlier, as mine_change counts it; in addition
--   ground that the earlier year did not see (cloud) or could not judge (its network does not map the class),
--   that another year before saw, and that none saw damaged: the reason says how much. Connected parts of one
--   kind smaller than its smallest mapped patch are left out.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84); share is that of the mine's area, 0..1. top_level null: any.
-- Used by: lode_api.derive_alerts; least_m2 is the smallest threshold.
create function lode_api.derive_new_damage(
  mine_ids integer[], years integer[], least_m2 double precision
)
returns table (
  mine_id integer, from_year integer, to_year integer, area_m2 double precision, share double precision,
  top_level text, reason text, reason_zh text, geom geometry
)
language sql stable
begin atomic
  with least_patch as (
    select c.damage_kind, min(c.min_patch_m2) as area_m2 from lode.land_class c group by c.damage_kind
  ),
  pair as materialized ( -- those where what is not known to persist may be enough, rounding allowed for
    select p.mine_id, p.from_year, p.to_year, q.blind_geom
    from lode_api.alert_pairs(mine_ids, years) p
    join lode.mine_pair q on q.mine_pair_id = p.mine_pair_id
    join lode.mine_change c on c.mine_pair_id = p.mine_pair_id and c.damage_kind = 'any'
    cross join lateral (
      select sum(d.area_m2 order by d.area_m2) as area_m2
      from lode.mine_damage d
      where d.mine_id = p.mine_id and d.year = p.to_year
    ) t
    where t.area_m2 * (1 + 1e-6) - c.persisting_area_m2 >= least_m2
  ),
  earlier as materialized (
    select p.mine_id, p.from_year, p.to_year, st_union(d.geom order by d.damage_kind) as geom
    from pair p
    join lode.mine_damage d on d.mine_id = p.mine_id and d.year = p.from_year
    group by p.mine_id, p.from_year, p.to_year
  ),
  fresh as materialized (
    select p.mine_id, p.from_year, p.to_year, d.damage_kind, p.blind_geom is not null as is_blind, f.geom,
      case
        when p.blind_geom is null then s.geom
        else lode_api.safe_difference(s.geom, p.blind_geom)
      end as seen
    from pair p
    join lode.mine_damage d on d.mine_id = p.mine_id and d.year = p.to_year
    left join earlier e on (e.mine_id, e.from_year, e.to_year) = (p.mine_id, p.from_year, p.to_year)
    cross join lateral (
      select case when e.geom is null then d.geom else lode_api.safe_difference(d.geom, e.geom) end as geom offset 0
    ) f
    cross join lateral (
      select lode_api.seen_part(p.mine_id, p.from_year, f.geom) as geom offset 0
    ) s
  ),
  part as materialized (
    select f.mine_id, f.from_year, f.to_year, f.damage_kind, f.is_blind, g.geom, g.area_m2,
      case
        when u.geom is null then 0
        else st_area(lode_api.safe_intersection(g.geom, u.geom)::geography)
      end as unseen_m2
    from fresh f
    join least_patch k on k.damage_kind = f.damage_kind
    cross join lateral (
      select case when st_area(f.seen) < st_area(f.geom) * (1 - 1e-9) then lode_api.seen_bare_before(
        f.mine_id, f.to_year, lode_api.safe_difference(f.geom, f.seen)
      ) end as geom offset 0
    ) u
    cross join lateral lode_api.large_parts(
      case when u.geom is null then f.seen else st_union(f.seen, u.geom) end, k.area_m2
    ) as g
  ),
  total as (
    select p.mine_id, p.from_year, p.to_year, sum(p.area_m2 order by p.damage_kind) as area_m2,
      sum(p.unseen_m2 order by p.damage_kind) as unseen_m2, bool_or(p.is_blind) as is_blind,
      string_agg(
        p.damage_kind || ' ' || to_char(p.area_m2, 'FM999,999,999,990') || ' m2', ', ' order by p.damage_kind
      ) as kinds,
      string_agg(
        case p.damage_kind when 'excavated' then '挖损' when 'occupied' then '压占' else '塌陷' end
          || to_char(p.area_m2, 'FM999,999,999,990') || '平方米', '，' order by p.damage_kind
      ) as kinds_zh,
      st_multi(st_normalize(st_union(p.geom order by p.damage_kind))) as geom
    from part p
    group by p.mine_id, p.from_year, p.to_year
    having sum(p.area_m2 order by p.damage_kind) >= least_m2
  )
  select t.mine_id, t.from_year, t.to_year, t.area_m2, n.share, null::text,
    format('New damage of %s m2 from %s to %s, %s %% of the mine: %s%s', n.area, t.from_year, t.to_year,
      n.percent, t.kinds,
      case when t.unseen_m2 >= 1 then
        format('; %s m2 of it not seen in %s%s', n.unseen, t.from_year,
          case when t.is_blind then ' or not looked for' end)
      end),
    format('%s年至%s年新增损毁%s平方米，占矿区面积%s%%：%s%s', t.from_year, t.to_year, n.area, n.percent,
      t.kinds_zh,
      case when t.unseen_m2 >= 1 then
        format('，其中%s平方米%s年未观测%s', n.unseen, t.from_year, case when t.is_blind then '或未识别' end)
      end),
    t.geom
  from total t
  join lode.mine_year y on y.mine_id = t.mine_id and y.year = t.to_year
  cross join lateral (select least(t.area_m2 / y.boundary_area_m2, 1) as share) s
  cross join lateral (
    select s.share, to_char(t.area_m2, 'FM999,999,999,990') as area,
      to_char(t.unseen_m2, 'FM999,999,999,990') as unseen, to_char(100 * s.share, 'FM990.0') as percent
  ) n;
end;

comment on function lode_api.derive_new_damage(integer[], integer[], double precision) is
  'New damage of these mines of at least so many m2, with its numbers and its ground.';
