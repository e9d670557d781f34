-- Purpose: from which class to which the ground of mines went, for given pairs of years.
-- Rules: only ground that both years observed. In each zone the class that covers most of both years is not
--   intersected: its row and column are what the others leave of the areas of the two years. So the matrix
--   adds up to the areas, and most of the ground, which did not change, costs nothing.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_change.
create function lode_api.derive_transitions(pair_ids integer[]) returns void
language plpgsql
set work_mem = '64MB' -- pieces are grouped with their ground
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
        else st_collectionextract(lode_api.safe_intersection(s.other, g.geom), 3)
      end as geom
      offset 0
    ) x
    where not st_isempty(x.geom)
  ),
  margin as materialized (
    select p.mine_pair_id, p.mine_zone_id, p.is_before, p.land_class_code,
      sum(p.area_m2 order by p.area_m2) as area_m2
    from piece p
    group by p.mine_pair_id, p.mine_zone_id, p.is_before, p.land_class_code
  ),
  largest as materialized (
    select distinct on (m.mine_pair_id, m.mine_zone_id) m.mine_pair_id, m.mine_zone_id, m.land_class_code
    from (
      select n.mine_pair_id, n.mine_zone_id, n.land_class_code, sum(n.area_m2 order by n.area_m2) as area_m2
      from margin n
      group by n.mine_pair_id, n.mine_zone_id, n.land_class_code
    ) m
    order by m.mine_pair_id, m.mine_zone_id, m.area_m2 desc, m.land_class_code
  ),
  side as materialized ( -- in arrays: then pieces meet those of their own zone alone, whatever is planned
    select g.mine_pair_id, g.mine_zone_id,
      array_agg(p.land_class_code) filter (where p.is_before) as from_codes,
      array_agg(p.geom) filter (where p.is_before) as from_geoms,
      array_agg(p.land_class_code) filter (where not p.is_before) as to_codes,
      array_agg(p.geom) filter (where not p.is_before) as to_geoms
    from largest g
    join piece p
      on p.mine_zone_id = g.mine_zone_id and p.mine_pair_id = g.mine_pair_id
      and p.land_class_code <> g.land_class_code
    group by g.mine_pair_id, g.mine_zone_id
  ),
  crossed as materialized (
    select s.mine_pair_id, s.mine_zone_id, b.code as from_class_code, a.code as to_class_code,
      sum(x.area_m2 order by x.area_m2) as area_m2
    from side s
    cross join lateral unnest(s.from_codes, s.from_geoms) as b(code, geom)
    cross join lateral unnest(s.to_codes, s.to_geoms) as a(code, geom)
    cross join lateral ( -- measured before rows are sorted: what is sorted is then a number, no ground
      select st_area(lode_api.safe_intersection(
        lode_api.near_part(b.geom, a.geom), lode_api.near_part(a.geom, b.geom)
      )::geography) as area_m2
      offset 0
    ) x
    where a.geom && b.geom
    group by s.mine_pair_id, s.mine_zone_id, b.code, a.code
  ),
  gone as materialized (
    select c.mine_pair_id, c.mine_zone_id, c.from_class_code as land_class_code, true as is_before,
      sum(c.area_m2 order by c.area_m2) as area_m2
    from crossed c
    group by c.mine_pair_id, c.mine_zone_id, c.from_class_code
    union all
    select c.mine_pair_id, c.mine_zone_id, c.to_class_code, false, sum(c.area_m2 order by c.area_m2)
    from crossed c
    group by c.mine_pair_id, c.mine_zone_id, c.to_class_code
  ),
  matrix as (
    select c.mine_pair_id, c.mine_zone_id, c.from_class_code, c.to_class_code, c.area_m2
    from crossed c
    union all -- from another class to the largest, and from the largest to another class
    select m.mine_pair_id, m.mine_zone_id,
      case when m.is_before then m.land_class_code else g.land_class_code end,
      case when m.is_before then g.land_class_code else m.land_class_code end,
      m.area_m2 - coalesce(o.area_m2, 0)
    from largest g
    join margin m
      on m.mine_pair_id = g.mine_pair_id and m.mine_zone_id = g.mine_zone_id
      and m.land_class_code <> g.land_class_code
    left join gone o
      on (o.mine_pair_id, o.mine_zone_id, o.land_class_code, o.is_before)
        = (m.mine_pair_id, m.mine_zone_id, m.land_class_code, m.is_before)
    union all -- what stayed the largest: its area before, less what the other classes took of it
    select g.mine_pair_id, g.mine_zone_id, g.land_class_code, g.land_class_code,
      m.area_m2 + coalesce(o.area_m2, 0)
    from largest g
    join (
      select n.mine_pair_id, n.mine_zone_id, l.land_class_code,
        sum(s.area_m2 order by s.area_m2) as area_m2
      from largest l
      join margin n on n.mine_pair_id = l.mine_pair_id and n.mine_zone_id = l.mine_zone_id
      cross join lateral (
        select case when n.is_before = (n.land_class_code = l.land_class_code) then n.area_m2 else 0 end
          * case when n.is_before then 1 else -1 end as area_m2
      ) s
      group by n.mine_pair_id, n.mine_zone_id, l.land_class_code
    ) m on m.mine_pair_id = g.mine_pair_id and m.mine_zone_id = g.mine_zone_id
    left join (
      select c.mine_pair_id, c.mine_zone_id, sum(c.area_m2 order by c.area_m2) as area_m2
      from crossed c
      group by c.mine_pair_id, c.mine_zone_id
    ) o on o.mine_pair_id = g.mine_pair_id and o.mine_zone_id = g.mine_zone_id
  )
  select x.mine_pair_id, x.from_class_code, x.to_class_code, sum(x.area_m2 order by x.area_m2),
    coalesce(sum(x.area_m2 order by x.area_m2) filter (where z.is_exclusive), 0)
  from matrix x
  join lode.mine_zone z on z.mine_zone_id = x.mine_zone_id
  where x.area_m2 > 1e-3 -- less is rounding
  group by x.mine_pair_id, x.from_class_code, x.to_class_code
  order by x.mine_pair_id, x.from_class_code, x.to_class_code;
end
$$;

comment on function lode_api.derive_transitions(integer[]) is
  'Derive lode.mine_transition of these pairs of years, which have none yet.';
