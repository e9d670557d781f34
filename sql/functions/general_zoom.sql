-- Purpose: the smallest of the zooms 0, 2, 4, ... at which ground is as large as a pixel of web maps.
-- Units: m2 (geodesic), degrees. From one of these zooms to the next a pixel's ground falls 16 times.
-- Used by: lode_api.derive_general.
create function lode_api.general_zoom(area_m2 double precision, latitude double precision) returns integer
language sql immutable strict parallel safe
as $$
  select greatest(2 * ceil(ln(lode_api.pixel_area(0, latitude) / area_m2) / ln(16)), 0)::integer
$$;

comment on function lode_api.general_zoom(double precision, double precision) is
  'The smallest even zoom at which an area (m2) at a latitude is as large as a pixel.';
