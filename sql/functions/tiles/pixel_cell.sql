-- Purpose: one cell of the grid of the pixels of a zoom, counted from longitude 0 and latitude 0.
-- CRS: EPSG:4326; latitude (degrees) is that of the scene, for the height of a pixel.
-- Used by: lode_api.derive_general, lode_api.generalise_damage.
create function lode_api.pixel_cell(
  zoom integer, latitude double precision, col integer, line integer
) returns geometry
language sql immutable strict parallel safe
begin atomic
  select st_makeenvelope(
    col * lode_api.pixel_degrees(zoom),
    line * lode_api.pixel_degrees(zoom) * cos(radians(latitude)),
    (col + 1) * lode_api.pixel_degrees(zoom),
    (line + 1) * lode_api.pixel_degrees(zoom) * cos(radians(latitude)),
    4326
  );
end;

comment on function lode_api.pixel_cell(integer, double precision, integer, integer) is
  'A cell of the grid of the pixels of a zoom, EPSG:4326.';
