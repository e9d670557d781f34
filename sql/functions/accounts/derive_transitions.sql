-- Purpose: from which class to which the ground of mines went, for given pairs of years.
-- Rules: only ground that both years observed. In each zone the class that covers most of both years is not
--   intersected: its row and column are what the others leave of the areas of the two years. So the matrix
--   adds up to the areas, and most of the ground, which did not change, costs nothing.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_change.
create function lode_api.derive_transitions(pair_ids integer[]) returns void
language plpgsql
as $$
begin
  insert into lode.mine_transition (
    mine_pair_id, from_class_code, to_class_code, area_m2, exclusive_area_m2
  )
  with zone_pair as materialized (
    select p.mine_pair_id, z.mine_zone_id, z.is_exclusive, p.from_year, p.to_year,
      b.geom as seen_before, a.geom as seen_after
    from lode.mine_pair p
    join lode.mine_zone z on z.mine_id = p.mine_id
    join lode.zone_year b on b.mine_zone_id = z.mine_zone_id and b.year = p.from_year
    join lode.zone_year a on a.mine_zone_id = z.mine_zone_id and a.year = p.to_year
    where p.mine_pair_id = any(pair_ids)
  ),
  piece as materialized (
    select e.mine_pair_id, e.mine_zone_id, s.is_before, q.land_class_code, x.geom,
      case when w.is_whole then q.area_m2 else st_area(x.geom::geography) end as area_m2
    from zone_pair e
    cross join lateral (
      values (true, e.from_year, e.seen_after), (false, e.to_year, e.seen_before)
    ) as s(is_before, year, other)
    join lode.mine_piece q on q.mine_zone_id = e.mine_zone_id and q.year = s.year
    left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
    cross join lateral (select st_force2d(coalesce(q.geom, l.geom)) as geom offset 0) g
    cross join lateral (select s.other is null or lode_api.covers(s.other, g.geom) as is_whole offset 0) w
    cross join lateral (
      select case
        when w.is_whole then g.geom
        else st_collectionextract(st_intersection(s.other, g.geom), 3)
      end as geom
      offset 0
    ) x
    where not st_isempty(x.geom)
  ),
  margin as materialized (
    select p.mine_pair_id, p.mine_zone_id, p.is_before, p.land_class_code, sum(p.area_m2) as area_m2
    from piece p
    group by p.mine_pair_id, p.mine_zone_id, p.is_before, p.land_class_code
  ),
  largest as materialized (
    select distinct on (m.mine_pair_id, m.mine_zone_id) m.mine_pair_id, m.mine_zone_id, m.land_class_code
    from (
      select n.mine_pair_id, n.mine_zone_id, n.land_class_code, sum(n.area_m2) as area_m2
      from margin n
      group by n.mine_pair_id, n.mine_zone_id, n.land_class_code
    ) m
    order by m.mine_pair_id, m.mine_zone_id, m.area_m2 desc, m.land_class_code
  ),
  crossed as materialized (
    select b.mine_pair_id, b.mine_zone_id, b.land_class_code as from_class_code,
      a.land_class_code as to_class_code,
      sum(st_area(st_intersection(
        lode_api.near_part(b.geom, a.geom), lode_api.near_part(a.geom, b.geom)
      )::geography)) as area_m2
    from largest g
    join piece b
      on b.mine_zone_id = g.mine_zone_id and b.mine_pair_id = g.mine_pair_id and b.is_before
      and b.land_class_code <> g.land_class_code
    join piece a
      on a.mine_zone_id = g.mine_zone_id and a.mine_pair_id = g.mine_pair_id and not a.is_before
      and a.land_class_code <> g.land_class_code
      and a.geom && b.geom
    group by b.mine_pair_id, b.mine_zone_id, b.land_class_code, a.land_class_code
  ),
  matrix as (
    select c.mine_pair_id, c.mine_zone_id, c.from_class_code, c.to_class_code, c.area_m2
    from crossed c
    union all -- from another class to the largest
    select m.mine_pair_id, m.mine_zone_id, m.land_class_code, g.land_class_code,
      m.area_m2 - coalesce((
        select sum(c.area_m2) from crossed c
        where c.mine_pair_id = m.mine_pair_id and c.mine_zone_id = m.mine_zone_id
          and c.from_class_code = m.land_class_code
      ), 0)
    from largest g
    join margin m
      on m.mine_pair_id = g.mine_pair_id and m.mine_zone_id = g.mine_zone_id and m.is_before
      and m.land_class_code <> g.land_class_code
    union all -- from the largest to another class
    select m.mine_pair_id, m.mine_zone_id, g.land_class_code, m.land_class_code,
      m.area_m2 - coalesce((
        select sum(c.area_m2) from crossed c
        where c.mine_pair_id = m.mine_pair_id and c.mine_zone_id = m.mine_zone_id
          and c.to_class_code = m.land_class_code
      ), 0)
    from largest g
    join margin m
      on m.mine_pair_id = g.mine_pair_id and m.mine_zone_id = g.mine_zone_id and not m.is_before
      and m.land_class_code <> g.land_class_code
    union all -- what stayed the largest: its area before, less what the other classes took of it
    select g.mine_pair_id, g.mine_zone_id, g.land_class_code, g.land_class_code,
      coalesce((
        select sum(case when m.is_before = (m.land_class_code = g.land_class_code) then m.area_m2 else 0 end
          * case when m.is_before then 1 else -1 end)
        from margin m
        where m.mine_pair_id = g.mine_pair_id and m.mine_zone_id = g.mine_zone_id
      ), 0) + coalesce((
        select sum(c.area_m2) from crossed c
        where c.mine_pair_id = g.mine_pair_id and c.mine_zone_id = g.mine_zone_id
      ), 0)
    from largest g
  )
  select x.mine_pair_id, x.from_class_code, x.to_class_code, sum(x.area_m2),
    coalesce(sum(x.area_m2) filter (where z.is_exclusive), 0)
  from matrix x
  join lode.mine_zone z on z.mine_zone_id = x.mine_zone_id
  where x.area_m2 > 1e-3 -- less is rounding
  group by x.mine_pair_id, x.from_class_code, x.to_class_code
  order by x.mine_pair_id, x.from_class_code, x.to_class_code;
end
$$;

comment on function lode_api.derive_transitions(integer[]) is
  'Derive lode.mine_transition of these pairs of years, which have none yet.';
