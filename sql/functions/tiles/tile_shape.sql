-- Purpose: a shape in the coordinates of a tile, 4096 to its width.
-- Rules: what lies outside the tile's ground is cut off, and further in than generalised outlines are kept, an outline loses the
--   vertices that stand out by less than a quarter of a pixel, and parts and holes that are narrower, before
--   anything is transformed: transforming and cleaning all of them takes six times as long. A small
--   square at its edge stands for a shape of which nothing would be left. Null when nothing of it is there.
-- CRS: from EPSG:4326 to EPSG:3857 to the tile.
-- Used by: lode_api.landcover_tile, lode_api.damage_tile; ground is that of lode_api.tile_ground.
create function lode_api.tile_shape(shape geometry, z integer, x integer, y integer, ground geometry)
returns geometry
language plpgsql immutable strict parallel safe
as $$
declare
  step double precision;
  visible geometry := shape;
begin
  if not shape @ ground then
    visible := coalesce(st_clipbybox2d(shape, ground::box2d), shape); -- the algorithm may give up
  end if;
  if z > lode_api.largest_general_zoom() then -- what is generalised is on a coarser grid already
    step := lode_api.pixel_degrees(z) / 4 * cos(radians((st_ymin(ground) + st_ymax(ground)) / 2));
    visible := coalesce(
      st_simplify(visible, step),
      st_expand(st_startpoint(st_exteriorring(st_geometryn(visible, 1))), step / 2)
    );
  end if;
  return st_asmvtgeom(st_transform(visible, 3857), st_tileenvelope(z, x, y), 4096, 64, true);
end
$$;

comment on function lode_api.tile_shape(geometry, integer, integer, integer, geometry) is
  'A shape (EPSG:4326) in the coordinates of a tile; null when nothing of it is there.';
