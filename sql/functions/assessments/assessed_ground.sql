-- Purpose: the ground that an assessment samples: pieces of the year map inside mines, each ground once.
-- Rules: without codes the ground of all mines, where mines overlap that of the smallest code. With codes the
--   union of these mines: each whole, even where a mine that was not named overlaps it; where two that were
--   named overlap, the ground counts for the smaller code (order of bytes).
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: `lode assess sample`; lode_api.area_uncertainty has the same rules.
create function lode_api.assessed_ground(of_year integer, codes text[])
returns table (
  mine_piece_id bigint,
  mine_code text,
  land_class_code integer,
  landcover_id bigint,
  label_id integer,
  area_m2 double precision,
  geom geometry
)
language sql stable
begin atomic
  select q.mine_piece_id, m.code, q.land_class_code, q.landcover_id, q.label_id,
    case when o.geom is null then q.area_m2 else st_area(c.geom::geography) end,
    case -- whole polygons are looked up only for who asks for shapes
      when o.geom is null then
        coalesce(q.geom, (select l.geom from lode.landcover l where l.landcover_id = q.landcover_id))
      else c.geom
    end
  from lode.mine m
  join lode.mine_zone z on z.mine_id = m.mine_id
  join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = of_year
  left join lateral (
    select st_union(n.boundary) as geom
    from lode.mine n
    where n.code = any(codes)
      and n.code collate "C" < m.code collate "C"
      and n.boundary && z.geom
  ) o on codes is not null and not z.is_exclusive
  cross join lateral (
    select case when o.geom is not null then
      st_collectionextract(st_difference(
        coalesce(q.geom, (select l.geom from lode.landcover l where l.landcover_id = q.landcover_id)), o.geom
      ), 3)
    end as geom
  ) c
  where (codes is null and z.is_exclusive or m.code = any(codes))
    and (o.geom is null or not st_isempty(c.geom));
end;

comment on function lode_api.assessed_ground(integer, text[]) is
  'Pieces of the year map inside all mines, or inside those with these codes; each ground once.';
