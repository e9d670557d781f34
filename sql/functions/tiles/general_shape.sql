-- Purpose: a shape on the grid of the pixels of a zoom.
-- Rules: vertices go to the nearest corner of the grid, so that neighbours that share vertices still share
--   them and no gap opens between them; what is narrower than a pixel falls together. Null when nothing is left.
--   The grid's origin is 0 0 and its step halves from zoom to zoom, so that a shape may be made from that of a
--   larger zoom. Rings may touch or cross themselves: making them valid costs fifty times as much, tiles do
--   without it, and who intersects them makes them valid first.
-- CRS: EPSG:4326; latitude (degrees) is that of the scene or the shape, for the height of a pixel.
-- Used by: lode_api.derive_general, lode_api.generalise_damage, the tiles.
create function lode_api.general_shape(shape geometry, zoom integer, latitude double precision)
returns geometry
language plpgsql immutable strict parallel safe
as $$
declare
  pixel constant double precision := lode_api.pixel_degrees(zoom);
  snapped geometry;
begin
  snapped := st_simplify(st_snaptogrid(shape, 0, 0, pixel, pixel * cos(radians(latitude))), 0);
  return case when not st_isempty(snapped) then st_multi(snapped) end;
end
$$;

comment on function lode_api.general_shape(geometry, integer, double precision) is
  'A shape (EPSG:4326) on the grid of the pixels of a zoom; null when it is smaller than they are.';
