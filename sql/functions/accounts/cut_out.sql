-- Purpose: the part of a polygon inside a mine's ground, fast for outlines of many thousand vertices.
-- CRS: EPSG:4326. Null where they do not meet.
-- Used by: lode_api.derive_pieces, derive_alert_confidence, landcover_tile.
create function lode_api.cut_out(ground geometry, polygon geometry) returns geometry
language plpgsql immutable parallel safe
as $$
declare
  cut constant geometry := st_collectionextract(
    lode_api.safe_intersection(ground, lode_api.near_part(polygon, ground)), 3
  );
begin
  return case when not st_isempty(cut) then cut end;
end
$$;

comment on function lode_api.cut_out(geometry, geometry) is
  'The part of a polygon inside a mine''s ground, fast for outlines of many vertices; null: none.';
