-- Purpose: whether two shapes meet, without ever failing.
-- Rules: on valid outlines that all but touch, GEOS may give up with a TopologyException. Then the answer is
--   yes, and the caller overlays them, which does not fail and finds nothing where there is nothing.
-- CRS: that of both. Null where one of them is null.
-- Used by: everything that derives.
create function lode_api.meets(one geometry, other geometry) returns boolean
language plpgsql immutable parallel safe
as $$
begin
  return st_intersects(one, other);
exception
  when internal_error then
    return true;
end
$$;

comment on function lode_api.meets(geometry, geometry) is
  'Whether two shapes meet; true where the geometry library cannot tell.';
