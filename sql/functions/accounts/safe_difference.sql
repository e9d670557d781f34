-- Purpose: what of a shape another one does not cover, without ever failing on what overlays made.
-- Rules: st_difference refuses some shapes that an earlier overlay left invalid, and polygons with a stray point
--   or line beside them. Then the polygons of both are mended and overlaid on a grid of 1e-12 degrees (a
--   ten-thousandth of a millimetre), which always comes to an end. A doubtful shape costs time, never a
--   publication. An invalid shape may also pass unnoticed, with a wrong result: who may have one mends it first.
-- CRS: EPSG:4326. Null where one of them is null.
-- Used by: everything that derives.
create function lode_api.safe_difference(one geometry, other geometry) returns geometry
language plpgsql immutable parallel safe
as $$
begin
  return st_difference(one, other);
exception
  when internal_error then
    return st_difference(
      lode_api.sound(st_collectionextract(one, 3)), lode_api.sound(st_collectionextract(other, 3)), 1e-12
    );
end
$$;

comment on function lode_api.safe_difference(geometry, geometry) is
  'What of a shape another one does not cover, also where the geometry library gives up at first.';
