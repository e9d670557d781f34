-- Purpose: what of a shape another one does not cover, without ever failing on what overlays made.
-- Rules: st_difference refuses a shape that an earlier overlay left invalid; then both are mended. A doubtful shape costs
--   time, never a publication.
-- CRS: that of both. Null where one of them is null.
-- Used by: everything that derives.
create function lode_api.safe_difference(one geometry, other geometry) returns geometry
language plpgsql immutable parallel safe
as $$
begin
  return st_difference(one, other);
exception
  when internal_error then
    return st_difference(lode_api.sound(one), lode_api.sound(other));
end
$$;

comment on function lode_api.safe_difference(geometry, geometry) is
  'What of a shape another one does not cover, also of shapes that an overlay left invalid.';
