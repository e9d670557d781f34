-- Purpose: whether a year saw a shape inside a mine, or a part of it that is more than a line.
-- CRS: EPSG:4326. `blind` is the ground that the year could not judge; null: none.
-- Used by: lode_api.derive_patch_history.
create function lode_api.is_seen(of_mine integer, of_year integer, shape geometry, blind geometry)
returns boolean
language plpgsql stable
as $$
declare
  seen geometry := st_collectionextract(lode_api.seen_part(of_mine, of_year, shape), 3);
begin
  if blind is not null then
    seen := lode_api.safe_difference(seen, blind);
  end if;
  return st_area(seen) > 1e-9 * st_area(shape); -- less is rounding along an edge
end
$$;

comment on function lode_api.is_seen(integer, integer, geometry, geometry) is
  'Whether a year saw a shape inside a mine, or a part of it.';
