-- Purpose: a digest of what of a mine its areas stand on: its code, boundary and licence.
-- Used by: lode_api.derive_zones, which keeps it with the zones; `lode db check`, which compares it.
create function lode_api.mine_sha256(code text, boundary geometry, licence_boundary geometry) returns text
language sql stable parallel safe
begin atomic
  select encode(sha256(
    convert_to(code, 'UTF8') || '\x00'::bytea || st_asewkb(boundary)
      || coalesce('\x00'::bytea || st_asewkb(licence_boundary), ''::bytea)
  ), 'hex');
end;

comment on function lode_api.mine_sha256(text, geometry, geometry) is
  'SHA-256 of what of a mine its areas stand on: code, boundary, licence.';
