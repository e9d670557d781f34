-- Purpose: what became of each patch: change polygons between years, when it was last seen, and the mine's new
--   and cumulative damage by year.
-- Rules: each year is compared with the one before it, or with an earlier one where that saw too little (a
--   bridging pair). New is what of a patch the earlier year observed undamaged and the later damaged (for a patch first
--   seen before: damaged again); persisting is what both saw damaged; treated is what the earlier year saw
--   damaged and the later observed undamaged. Ground that one of the years could not judge is in none of them.
--   A patch was last seen in the latest year that saw half of it damaged, whatever years between did not see.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_mines, after derive_patches and derive_change.
create function lode_api.derive_patch_history(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
declare
  since integer := (select min(y) from unnest(years) as y);
begin
  delete from lode.damage_change c where c.mine_id = any(mine_ids) and c.to_year >= since;

  insert into lode.damage_change (
    damage_patch_id, code, mine_id, from_year, to_year, change, damage_kind, first_damaged_on, last_seen_on,
    area_m2, start_date, end_date, geom
  )
  with damage as materialized (
    select d.mine_id, d.year, st_union(d.geom order by d.damage_kind) as geom
    from lode.mine_damage d
    where d.mine_id = any(mine_ids)
    group by d.mine_id, d.year
  ),
  pair as materialized (
    select p.mine_id, p.from_year, p.to_year, p.blind_geom as blind, b.geom as before, a.geom as after
    from lode.mine_pair p
    left join damage b on b.mine_id = p.mine_id and b.year = p.from_year
    left join damage a on a.mine_id = p.mine_id and a.year = p.to_year
    where p.mine_id = any(mine_ids) and p.to_year >= since
      and (p.is_bridging or p.is_consecutive and not exists (
        select from lode.mine_pair o
        where o.mine_id = p.mine_id and o.to_year = p.to_year and o.is_bridging
      ))
  ),
  history as (
    select t.damage_patch_id, p.from_year, p.to_year, x.change,
      case
        when p.blind is null or x.change = 'persisting' then x.geom
        else lode_api.safe_difference(st_collectionextract(x.geom, 3), p.blind)
      end as geom
    from pair p
    join lode.damage_patch t on t.mine_id = p.mine_id and t.first_year <= p.to_year
    cross join lateral (
      select lode_api.near_part(p.before, t.geom) as before, lode_api.near_part(p.after, t.geom) as after
      offset 0
    ) n
    cross join lateral (
      with b as materialized (
        select case
          when t.first_year = p.from_year then t.geom
          else lode_api.safe_intersection(t.geom, n.before)
        end as geom
        where t.first_year <= p.from_year and n.before is not null
      )
      select 'new' as change, lode_api.seen_part(t.mine_id, p.from_year, t.geom) as geom
      where t.first_year = p.to_year
      union all
      select 'new', lode_api.seen_part(t.mine_id, p.from_year, case
        when n.before is null then lode_api.safe_intersection(t.geom, n.after)
        else lode_api.safe_difference(lode_api.safe_intersection(t.geom, n.after), n.before)
      end)
      where t.first_year < p.to_year and t.first_year <> p.from_year and n.after is not null
      union all
      select 'persisting', lode_api.safe_intersection(b.geom, n.after) from b where n.after is not null
      union all
      select 'treated', lode_api.seen_part(t.mine_id, p.to_year, case
        when n.after is null then b.geom
        else lode_api.safe_difference(b.geom, n.after)
      end)
      from b
    ) x
  ),
  measured as materialized (
    select h.damage_patch_id, h.from_year, h.to_year, h.change, g.geom,
      st_area(g.geom::geography) as area_m2
    from history h
    cross join lateral (select st_multi(st_collectionextract(h.geom, 3)) as geom offset 0) g
    where not st_isempty(g.geom)
  )
  select t.damage_patch_id, t.code, t.mine_id, m.from_year, m.to_year, m.change, t.damage_kind,
    t.first_damaged_on, t.last_seen_on, m.area_m2, make_date(m.to_year, 1, 1), make_date(m.to_year + 1, 1, 1),
    m.geom
  from measured m
  join lode.damage_patch t on t.damage_patch_id = m.damage_patch_id
  where m.area_m2 > 1e-3 -- less is rounding
  order by t.mine_id, m.to_year, t.code, m.change;

  with year_seen as materialized (
    select y.mine_id, y.year, y.blind_geom as blind,
      y.observed_area_m2 >= y.boundary_area_m2 * (1 - 1e-9) and y.blind_geom is null as is_whole
    from lode.mine_year y
    where y.mine_id = any(mine_ids)
  ),
  followed as materialized ( -- pairs whose polygons tell all of a patch's damage in the later year
    select p.mine_id, p.to_year
    from lode.mine_pair p
    join year_seen f on f.mine_id = p.mine_id and f.year = p.from_year and f.is_whole
    where p.mine_id = any(mine_ids) and p.is_consecutive and p.blind_geom is null
  ),
  told as (
    select d.damage_patch_id, d.to_year, sum(d.area_m2 order by d.area_m2) as area_m2
    from lode.damage_change d
    where d.mine_id = any(mine_ids) and d.change <> 'treated'
    group by d.damage_patch_id, d.to_year
  ),
  later as materialized (
    select t.damage_patch_id, y.year,
      case
        when f.mine_id is not null then coalesce(c.area_m2, 0)
        else (
          select coalesce(sum(n.area_m2 order by n.area_m2), 0)
          from lode.mine_damage d
          cross join lateral (
            select st_area(
              lode_api.safe_intersection(t.geom, lode_api.near_part(d.geom, t.geom))::geography
            ) as area_m2
            offset 0 -- measured once
          ) n
          where d.mine_id = t.mine_id and d.year = y.year and d.geom && t.geom
        )
      end as area_m2,
      y.is_whole or lode_api.is_seen(t.mine_id, y.year, t.geom, y.blind) as is_seen
    from lode.damage_patch t
    join year_seen y on y.mine_id = t.mine_id and y.year > t.first_year
    left join followed f on f.mine_id = y.mine_id and f.to_year = y.year
    left join told c on c.damage_patch_id = t.damage_patch_id and c.to_year = y.year
    where t.mine_id = any(mine_ids)
  ),
  seen as (
    select t.damage_patch_id,
      greatest(t.first_year, max(l.year) filter (where l.area_m2 >= 0.5 * t.area_m2)) as year,
      coalesce(
        (array_agg(l.area_m2 order by l.year desc) filter (where l.is_seen or l.area_m2 > 1e-3))[1],
        t.area_m2
      ) as damaged_area_m2
    from lode.damage_patch t
    left join later l on l.damage_patch_id = t.damage_patch_id
    where t.mine_id = any(mine_ids)
    group by t.damage_patch_id, t.first_year, t.area_m2
  ),
  dated as (
    select s.damage_patch_id, s.year, s.damaged_area_m2,
      case when s.year = t.first_year then t.first_damaged_on else y.last_acquired_on end as on_day
    from seen s
    join lode.damage_patch t on t.damage_patch_id = s.damage_patch_id
    join lode.mine_year y on y.mine_id = t.mine_id and y.year = s.year
  )
  update lode.damage_patch t set
    last_seen_year = d.year, last_seen_on = d.on_day, damaged_area_m2 = d.damaged_area_m2,
    end_date = make_date(d.year + 1, 1, 1)
  from dated d
  where d.damage_patch_id = t.damage_patch_id
    and (t.last_seen_year, t.last_seen_on, t.damaged_area_m2)
      is distinct from (d.year, d.on_day, d.damaged_area_m2);

  update lode.damage_change c set last_seen_on = t.last_seen_on
  from lode.damage_patch t
  where t.damage_patch_id = c.damage_patch_id and t.mine_id = any(mine_ids)
    and c.last_seen_on <> t.last_seen_on;

  with exclusive as (
    select z.mine_id, st_union(z.geom) filter (where z.is_exclusive) as geom
    from lode.mine_zone z
    where z.mine_id = any(mine_ids)
    group by z.mine_id
    having not bool_and(z.is_exclusive)
  ),
  first_seen as (
    select t.mine_id, t.first_year, sum(t.area_m2 order by t.area_m2) as area_m2,
      sum(x.area_m2 order by x.area_m2) as exclusive_area_m2
    from lode.damage_patch t
    left join exclusive e on e.mine_id = t.mine_id
    cross join lateral (
      select case
        when e.mine_id is null then t.area_m2
        when e.geom is null then 0
        when lode_api.covers(e.geom, t.geom) then t.area_m2
        else st_area(lode_api.safe_intersection(t.geom, e.geom)::geography)
      end as area_m2
      offset 0 -- measured once
    ) x
    where t.mine_id = any(mine_ids)
    group by t.mine_id, t.first_year
  ),
  unseen as (
    select y.mine_year_id,
      sum(x.area_m2 order by x.area_m2) as area_m2
    from lode.mine_year y
    join lode.damage_patch t on t.mine_id = y.mine_id and t.first_year <= y.year
    cross join lateral (
      select lode_api.seen_part(t.mine_id, y.year, t.geom) as geom offset 0
    ) s
    cross join lateral (
      select case
        when y.blind_geom is null then s.geom
        else lode_api.safe_difference(st_collectionextract(s.geom, 3), y.blind_geom)
      end as geom
      offset 0
    ) g
    cross join lateral (select t.area_m2 - st_area(g.geom::geography) as area_m2 offset 0) x
    where y.mine_id = any(mine_ids)
      and (y.observed_area_m2 < y.boundary_area_m2 * (1 - 1e-9) or y.blind_geom is not null)
    group by y.mine_year_id
  ),
  series as (
    select y.mine_year_id,
      coalesce(sum(f.area_m2 order by f.area_m2) filter (where f.first_year = y.year), 0) as newly,
      coalesce(sum(f.area_m2 order by f.area_m2), 0) as cumulative,
      coalesce(sum(f.exclusive_area_m2 order by f.exclusive_area_m2) filter (where f.first_year = y.year), 0)
        as exclusive_newly,
      coalesce(sum(f.exclusive_area_m2 order by f.exclusive_area_m2), 0) as exclusive_cumulative
    from lode.mine_year y
    left join first_seen f on f.mine_id = y.mine_id and f.first_year <= y.year
    where y.mine_id = any(mine_ids)
    group by y.mine_year_id
  )
  update lode.mine_year y set
    newly_area_m2 = s.newly, cumulative_area_m2 = s.cumulative,
    unobserved_damage_area_m2 = greatest(coalesce(u.area_m2, 0), 0),
    exclusive_newly_area_m2 = s.exclusive_newly, exclusive_cumulative_area_m2 = s.exclusive_cumulative
  from series s
  left join unseen u on u.mine_year_id = s.mine_year_id
  where s.mine_year_id = y.mine_year_id;
end
$$;

comment on function lode_api.derive_patch_history(integer[], integer[]) is
  'Derive lode.damage_change of these mines again and follow their patches and cumulative damage.';
