-- Purpose: the smallest zoom at which ground has 8 pixels of web maps, enough to be drawn by itself.
-- Units: m2 (geodesic), degrees. From zoom to zoom a pixel's ground falls to a quarter.
-- Used by: lode_api.derive_general.
create function lode_api.general_zoom(area_m2 double precision, latitude double precision) returns integer
language sql immutable strict parallel safe
begin atomic
  select greatest(ceil(ln(8 * lode_api.pixel_area(0, latitude) / area_m2) / ln(4)), 0)::integer;
end;

comment on function lode_api.general_zoom(double precision, double precision) is
  'The smallest zoom at which an area (m2) at a latitude has 8 pixels.';
