-- Purpose: what of a large shape lies near another one: enough of it for their overlay, and much cheaper.
-- Rules: a shape of more than 256 vertices is clipped to the box round the other, a metre wider, which takes
--   one pass over them. A clip that is not valid (the algorithm promises no more) is mended; where there is none
--   (it may give up), the whole shape is taken.
-- CRS: EPSG:4326.
-- Used by: lode_api.cut_out, derive_transitions, derive_patch_history, blind_ground, landcover_tile.
create function lode_api.near_part(shape geometry, around geometry) returns geometry
language plpgsql immutable parallel safe
as $$
begin
  if st_npoints(shape) <= 256 then
    return shape;
  end if;
  return lode_api.sound(coalesce(st_clipbybox2d(shape, box2d(st_expand(around, 1e-5))), shape));
end
$$;

comment on function lode_api.near_part(geometry, geometry) is
  'What of a large shape lies near another one, enough for their overlay.';
