-- Purpose: ground that a pixel of web maps covers.
-- Units: m2; latitude in degrees. CRS: the sphere of Web Mercator (radius 6378137 m).
-- Used by: derive_general and the tiles, which leave out what is smaller than a pixel.
create function lode_api.pixel_area(zoom integer, latitude double precision) returns double precision
language sql immutable strict parallel safe
begin atomic
  select (lode_api.pixel_degrees(zoom) * radians(1) * 6378137.0 * cos(radians(latitude))) ^ 2;
end;

comment on function lode_api.pixel_area(integer, double precision) is
  'Ground under a web map''s pixel at a zoom and latitude, m2.';
