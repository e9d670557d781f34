-- Purpose: width of a pixel of web maps in degrees of longitude: a tile is 256 pixels wide.
-- Rules: in degrees of latitude a pixel is as high as this times the cosine of the latitude, because Web
--   Mercator stretches both directions alike.
-- Used by: lode_api.general_shape, derive_general, the tiles.
create function lode_api.pixel_degrees(zoom integer) returns double precision
language sql immutable strict parallel safe
begin atomic
  select 360.0 / (256.0 * 2.0 ^ zoom);
end;

comment on function lode_api.pixel_degrees(integer) is
  'Width of a web map''s pixel at a zoom, degrees of longitude; a tile is 256 pixels wide.';
