-- Purpose: a polygon of many vertices as parts that have fewer: its box is halved, and each half again.
-- Rules: each half takes one pass over the vertices, where an overlay would take ten times as long. A box is
--   cut a little off its middle and reaches beyond the polygon on the other sides: vertices just on its edges,
--   as outlines on a grid of degrees have them, might leave parts invalid. Together the parts are the polygon.
--   Small parts are mended; of a large one lode_api.near_part takes what is needed and mends that.
-- CRS: EPSG:4326.
-- Used by: lode_api.derive_parts.
create function lode_api.halves(polygon geometry, most_vertices integer) returns setof geometry
language sql immutable strict parallel safe
begin atomic
  with recursive part(geom, vertices) as (
    select polygon, st_npoints(polygon)
    union all
    select c.geom, st_npoints(c.geom)
    from part p
    cross join lateral (select box3d(p.geom) as box offset 0) o -- read once
    cross join lateral (
      select st_xmin(o.box) as west, st_ymin(o.box) as south, st_xmax(o.box) as east, st_ymax(o.box) as north
    ) e
    cross join lateral (
      select (e.east - e.west) * cos(radians(e.south)) > e.north - e.south as is_wide,
        e.west + (e.east - e.west) * 0.50137 as x, e.south + (e.north - e.south) * 0.50137 as y
    ) m
    cross join lateral (
      values
        (e.west - 1, e.south - 1, case when m.is_wide then m.x else e.east + 1 end,
          case when m.is_wide then e.north + 1 else m.y end),
        (case when m.is_wide then m.x else e.west - 1 end, case when m.is_wide then e.south - 1 else m.y end,
          e.east + 1, e.north + 1)
    ) as h(west, south, east, north)
    cross join lateral (select st_makeenvelope(h.west, h.south, h.east, h.north, 4326) as geom) b
    cross join lateral (
      select coalesce(
        st_clipbybox2d(p.geom, b.geom::box2d), lode_api.safe_intersection(p.geom, b.geom)
      ) as geom
      offset 0 -- clipped once; the algorithm may give up, an overlay does not
    ) c
    where p.vertices > most_vertices and not st_isempty(c.geom)
  )
  select st_multi(st_collectionextract(
    case when p.vertices > 256 then p.geom else lode_api.sound(p.geom) end, 3
  ))
  from part p
  where p.vertices <= most_vertices;
end;

comment on function lode_api.halves(geometry, integer) is
  'A polygon as parts of fewer vertices, cut along meridians and parallels.';
