-- Purpose: the year map inside mines: pieces of ground, each with its class and where that comes from.
-- Rules: interpreters first (lode.interpreted_ground), then the ground that runs own. A polygon wholly inside
--   a zone keeps the area it was published with; only those on an edge are cut and measured. What nobody
--   observed is in no piece.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_accounts. `offset 0` keeps the planner from writing a costly expression out in
--   every place where its value is used; st_force2d brings a polygon into memory once for all that follows.
--   Each stage is sorted, so that it ends before the next begins: tests against the same shape many times in a
--   row keep it prepared, and two stages in turn would drive out each other's.
create function lode_api.derive_pieces(mine_ids integer[], years integer[]) returns void
language plpgsql
set work_mem = '64MB' -- pieces are sorted with their ground
set enable_memoize = off -- which would hash it
as $$
begin
  delete from lode.mine_piece q
  using lode.mine_zone z
  where z.mine_zone_id = q.mine_zone_id and z.mine_id = any(mine_ids) and q.year = any(years);
  delete from lode.zone_year y
  using lode.mine_zone z
  where z.mine_zone_id = y.mine_zone_id and z.mine_id = any(mine_ids) and y.year = any(years);

  insert into lode.mine_piece (
    mine_zone_id, year, land_class_code, label_id, geom, area_m2, unlicensed_area_m2
  )
  select z.mine_zone_id, g.year, g.land_class_code, g.label_id, x.geom, a.area_m2,
    case when u.area_m2 is not null then least(u.area_m2, a.area_m2) end
  from lode.mine_zone z
  join lode.mine m on m.mine_id = z.mine_id
  join lode.interpreted_ground g on g.geom && z.geom and g.year = any(years)
  cross join lateral (select lode_api.covers(z.geom, g.geom) as is_whole offset 0) w
  cross join lateral (
    select case
      when w.is_whole then g.geom
      else st_multi(st_collectionextract(lode_api.safe_intersection(z.geom, g.geom), 3))
    end as geom
    offset 0
  ) x
  cross join lateral (
    select case when w.is_whole then g.area_m2 else st_area(x.geom::geography) end as area_m2 offset 0
  ) a
  join lode.land_class k on k.land_class_code = g.land_class_code
  cross join lateral (
    select lode_api.area_outside(m.licence_boundary, x.geom, k.damage_kind) as area_m2 offset 0
  ) u
  where z.mine_id = any(mine_ids) and not st_isempty(x.geom)
  order by z.mine_zone_id, g.year, g.label_id;

  with meeting as ( -- sorted by what is owned, which may have many vertices
    select z.mine_zone_id, z.geom, m.licence_boundary as licence, o.year, o.run_id, o.owned
    from lode.mine_zone z
    join lode.mine m on m.mine_id = z.mine_id
    join lode.observation o on o.geom && z.geom and o.year = any(years) and o.owned is not null
    where z.mine_id = any(mine_ids)
    order by o.run_id, z.mine_zone_id
    offset 0
  ),
  part as materialized (
    select t.mine_zone_id, t.licence, t.year, t.run_id, w.is_whole, p.geom,
      exists (
        select from lode.interpreted_ground g where g.year = t.year and g.geom && t.geom
      ) as has_labels
    from meeting t
    cross join lateral (select lode_api.covers(t.owned, t.geom) as is_whole offset 0) w
    cross join lateral (
      select case when w.is_whole then t.geom else st_multi(lode_api.cut_out(t.geom, t.owned)) end as geom
      offset 0
    ) p
    where p.geom is not null
    order by t.mine_zone_id, t.year, t.run_id
  ),
  candidate as (
    select p.mine_zone_id, p.licence, p.year, p.run_id, p.has_labels, p.geom as ground, l.landcover_id,
      l.land_class_code, l.area_m2, st_force2d(l.geom) as geom, true as is_polygon
    from part p
    join lode.landcover l on l.run_id = p.run_id and l.geom && p.geom
    where not exists (select from lode.landcover_part e where e.landcover_id = l.landcover_id)
    union all
    select p.mine_zone_id, p.licence, p.year, p.run_id, p.has_labels, p.geom, l.landcover_id,
      l.land_class_code, null, st_force2d(e.geom), false
    from part p
    join lode.landcover_part e on e.run_id = p.run_id and e.geom && p.geom
    join lode.landcover l on l.landcover_id = e.landcover_id
    offset 0
  ),
  found as materialized (
    select p.mine_zone_id, p.year, p.run_id, p.landcover_id, p.land_class_code, p.area_m2,
      p.is_polygon, p.is_polygon and w.is_whole and i.geom is null as is_whole, x.geom, p.licence,
      case when p.licence is not null and x.geom is null then p.geom end as polygon
    from candidate p
    cross join lateral (select lode_api.covers(p.ground, p.geom) as is_whole offset 0) w
    cross join lateral (
      select case
        when not w.is_whole then lode_api.cut_out(p.ground, p.geom)
        when p.is_polygon then p.geom
        else lode_api.sound(p.geom)
      end as geom
      offset 0
    ) c
    cross join lateral (
      select st_union(g.geom order by g.label_id) as geom
      from lode.interpreted_ground g
      where p.has_labels and g.year = p.year and g.geom && c.geom and lode_api.meets(g.geom, c.geom)
    ) i
    cross join lateral (
      select case
        when i.geom is not null then st_collectionextract(lode_api.safe_difference(c.geom, i.geom), 3)
        when not (p.is_polygon and w.is_whole) then c.geom
      end as geom
      offset 0
    ) x
    where c.geom is not null
    order by p.mine_zone_id, p.year, p.landcover_id
  ),
  -- Parts of a polygon are one piece again: along the cuts between them one part may have a vertex where the
  -- other has none, and then geodesic edges leave slivers.
  joined as (
    select f.mine_zone_id, f.year, f.run_id, f.landcover_id, f.land_class_code, f.area_m2, f.is_whole, f.geom,
      f.licence, f.polygon
    from found f
    where f.is_polygon
    union all
    select f.mine_zone_id, f.year, f.run_id, f.landcover_id, f.land_class_code, null, false,
      case when count(*) > 1 then st_union(array_agg(f.geom order by f.geom)) else (array_agg(f.geom))[1] end,
      (array_agg(f.licence))[1], null
    from found f
    where not f.is_polygon
    group by f.mine_zone_id, f.year, f.run_id, f.landcover_id, f.land_class_code
  ),
  sized as materialized (
    select j.mine_zone_id, j.year, j.run_id, j.landcover_id, j.land_class_code, x.geom as cut,
      case when j.is_whole then j.area_m2 else st_area(x.geom::geography) end as area_m2,
      u.area_m2 as unlicensed_area_m2
    from joined j
    join lode.land_class k on k.land_class_code = j.land_class_code
    cross join lateral (
      select case when not j.is_whole then st_multi(j.geom) end as geom
      offset 0
    ) x
    cross join lateral (
      select lode_api.area_outside(j.licence, coalesce(x.geom, j.polygon), k.damage_kind) as area_m2 offset 0
    ) u
    where j.is_whole or not st_isempty(x.geom)
  ),
  stored as (
    insert into lode.mine_piece (
      mine_zone_id, year, land_class_code, run_id, landcover_id, geom, area_m2, unlicensed_area_m2
    )
    select s.mine_zone_id, s.year, s.land_class_code, s.run_id, s.landcover_id, s.cut, s.area_m2,
      case when s.unlicensed_area_m2 is not null then least(s.unlicensed_area_m2, s.area_m2) end
    from sized s
    order by s.mine_zone_id, s.year, s.landcover_id
  ),
  seen as (
    select s.mine_zone_id, s.year, bool_or(s.is_whole) as is_whole,
      case when not bool_or(s.is_whole) then st_union(s.geom order by s.geom) end as geom
    from (
      select p.mine_zone_id, p.year, p.is_whole, case when not p.is_whole then p.geom end as geom
      from part p
      union all
      select q.mine_zone_id, q.year, false, q.geom
      from lode.mine_piece q
      join lode.mine_zone z on z.mine_zone_id = q.mine_zone_id
      where z.mine_id = any(mine_ids) and q.year = any(years)
    ) s
    group by s.mine_zone_id, s.year
  ),
  measured as (
    select s.mine_zone_id, s.year, s.is_whole, s.geom, z.area_m2 as zone_area_m2,
      case when s.is_whole then z.area_m2 else st_area(s.geom::geography) end as area_m2
    from seen s
    join lode.mine_zone z on z.mine_zone_id = s.mine_zone_id
  )
  insert into lode.zone_year (mine_zone_id, year, geom, area_m2)
  select m.mine_zone_id, m.year,
    case -- what rounding leaves open along an edge is no gap
      when m.is_whole or m.area_m2 >= m.zone_area_m2 * (1 - 1e-9) then null
      else st_multi(st_collectionextract(m.geom, 3))
    end,
    least(m.area_m2, m.zone_area_m2)
  from measured m
  order by m.mine_zone_id, m.year;
end
$$;

comment on function lode_api.derive_pieces(integer[], integer[]) is
  'Derive lode.mine_piece and lode.zone_year of these mines and years again.';
