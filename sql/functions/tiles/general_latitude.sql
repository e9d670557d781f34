-- Purpose: the latitude whose pixels damaged ground is drawn on for maps of small scale.
-- Rules: the nearest whole degree of the shape's middle, so that shapes that lie together share one grid; within
--   half a degree a pixel's height differs by less than 1 % up to 48 degrees. Web Mercator ends at 85 degrees.
-- Used by: lode_api.generalise_damage.
create function lode_api.general_latitude(shape geometry) returns double precision
language sql immutable strict parallel safe
begin atomic
  select least(greatest(round((st_ymin(shape) + st_ymax(shape)) / 2), -85), 85)::double precision;
end;

comment on function lode_api.general_latitude(geometry) is
  'The whole degree of latitude whose pixels a shape (EPSG:4326) is drawn on for maps of small scale.';
