-- Purpose: a shape in the coordinates of a tile, 4096 to its width.
-- Rules: what lies outside the tile's ground is cut off and vertices go to the tile's own grid before anything
--   is transformed; null when nothing is left.
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
    visible := st_clipbybox2d(shape, ground::box2d);
  end if;
  if z > 10 then -- what is generalised is on a coarser grid already
    step := lode_api.pixel_degrees(z) / 16;
    visible := st_snaptogrid(
      visible, 0, 0, step, step * cos(radians((st_ymin(ground) + st_ymax(ground)) / 2))
    );
  end if;
  return st_asmvtgeom(st_transform(visible, 3857), st_tileenvelope(z, x, y), 4096, 64, true);
end
$$;

comment on function lode_api.tile_shape(geometry, integer, integer, integer, geometry) is
  'A shape (EPSG:4326) in the coordinates of a tile; null when nothing of it is there.';
