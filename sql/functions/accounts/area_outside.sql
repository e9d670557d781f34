-- Purpose: how much of a piece of damaged ground lies outside a licence.
-- Units: m2 (geodesic, WGS 84); infinity: all of it. CRS: EPSG:4326. Null: there is no licence, or it is no
--   damage.
-- Used by: lode_api.derive_pieces.
create function lode_api.area_outside(
  licence geometry, piece geometry, of_kind text
) returns double precision
language plpgsql immutable parallel safe
as $$
begin
  if licence is null or of_kind not in ('excavated', 'occupied', 'subsided') then
    return null;
  elsif lode_api.covers(licence, piece) then
    return 0;
  elsif not lode_api.meets(licence, piece) then
    return 'infinity';
  end if;
  return st_area(lode_api.safe_difference(piece, licence)::geography);
end
$$;

comment on function lode_api.area_outside(geometry, geometry, text) is
  'How much of a piece of damaged ground lies outside a licence, m2 (infinity: all); null: no licence, or no damage.';
