-- Purpose: a shape as it is, or mended where an overlay left it invalid.
-- Rules: the union of outlines that all but touch may hold a shell inside another one. Mending by structure keeps
--   the ground of both; the other method would cut the inner one out as a hole.
-- CRS: that of the shape.
-- Used by: lode_api.safe_difference, safe_intersection, halves, near_part, derive_pieces, derive_damage,
--   derive_patches.
create function lode_api.sound(shape geometry) returns geometry
language sql immutable parallel safe
begin atomic
  select case
    when st_isvalid(shape) then shape
    else st_collectionextract(st_makevalid(shape, 'method=structure keepcollapsed=false'), 3)
  end;
end;

comment on function lode_api.sound(geometry) is 'A shape, mended where an overlay left it invalid.';
