-- Purpose: what of a large shape lies near another one: enough of it for their overlay, and much cheaper.
-- Rules: a shape of many vertices is clipped to the box round the other, which takes one pass over them; where
--   that clip is not valid (the algorithm promises no more) the whole shape is given back.
-- CRS: EPSG:4326.
-- Used by: lode_api.cut_out, derive_transitions, derive_patch_history.
create function lode_api.near_part(shape geometry, around geometry) returns geometry
language plpgsql immutable parallel safe
as $$
declare
  near geometry;
begin
  if st_npoints(shape) <= 256 then
    return shape;
  end if;
  near := st_clipbybox2d(shape, box2d(st_expand(around, 1e-5)));
  return case when st_isvalid(near) then near else shape end;
end
$$;

comment on function lode_api.near_part(geometry, geometry) is
  'What of a large shape lies near another one, enough for their overlay.';
