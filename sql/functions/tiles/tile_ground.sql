-- Purpose: the ground of a tile of web maps, with the margin that is drawn around it.
-- Rules: zoom 0 to 24, x and y from 0 to 2^z - 1, counted from the north-west; for anything else null, because
--   maps ask for tiles beyond the edge of the world whenever somebody pans there. The margin is 1/64 of the
--   tile's width, as st_asmvtgeom is told by the tiles.
-- CRS: EPSG:4326; computed here because a projection would wrap what lies beyond the date line.
-- Used by: lode_api.landcover_tile, lode_api.damage_tile.
create function lode_api.tile_ground(z integer, x integer, y integer) returns geometry
language plpgsql immutable parallel safe
as $$
declare
  tiles double precision;
  north double precision;
  south double precision;
begin
  if z is null or x is null or y is null or z not between 0 and 24 then
    return null;
  end if;
  tiles := 2 ^ z;
  if x < 0 or y < 0 or x >= tiles or y >= tiles then
    return null;
  end if;
  north := degrees(atan(sinh(pi() * (1 - 2 * (y - 1 / 64.0) / tiles))));
  south := degrees(atan(sinh(pi() * (1 - 2 * (y + 1 + 1 / 64.0) / tiles))));
  return st_makeenvelope(
    greatest(360 * (x - 1 / 64.0) / tiles - 180, -180), south,
    least(360 * (x + 1 + 1 / 64.0) / tiles - 180, 180), north, 4326
  );
end
$$;

comment on function lode_api.tile_ground(integer, integer, integer) is
  'Ground of a tile of web maps with its margin, EPSG:4326; null: there is no such tile.';
