-- Purpose: whether a polygon lies wholly on some ground, without ever failing.
-- Rules: on valid outlines that all but touch, GEOS may give up with a TopologyException. Then the answer is
--   no, and the caller cuts the polygon, which does not fail: a doubtful case costs time, never a publication.
-- CRS: that of both. Null where one of them is null.
-- Used by: everything that derives.
create function lode_api.covers(ground geometry, polygon geometry) returns boolean
language plpgsql immutable parallel safe
as $$
begin
  return st_covers(ground, polygon);
exception
  when internal_error then
    return false;
end
$$;

comment on function lode_api.covers(geometry, geometry) is
  'Whether a polygon lies wholly on some ground; false where the geometry library cannot tell.';
