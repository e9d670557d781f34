-- Purpose: the largest zoom for which outlines are kept; further in, tiles are drawn from what is published.
-- Rules: the zoom that the tables lode.landcover_general and lode.damage_general end at.
-- Used by: lode_api.derive_general, lode_api.generalise_damage, the tiles.
create function lode_api.largest_general_zoom() returns integer
language sql immutable parallel safe
begin atomic
  select 12;
end;

comment on function lode_api.largest_general_zoom() is
  'The largest zoom of web maps that is drawn from generalised outlines.';
