-- Purpose: lode_api.damage_tile for martin, which takes no function whose fourth argument is no json.
-- Rules: the comment is TileJSON because martin reads it as such.
-- Used by: martin.
create function lode_api.damage_tile_query(z integer, x integer, y integer, query json default null)
returns bytea
language sql stable parallel safe
begin atomic
  select lode_api.damage_tile(z, x, y, lode_api.tile_year(query));
end;

comment on function lode_api.damage_tile_query(integer, integer, integer, json) is
  '{"description": "Damaged ground in mines and its change: ?year=2021; default the newest with damage", '
  '"minzoom": 0, "maxzoom": 16, '
  '"vector_layers": [{"id": "damage", "fields": {"ogc_fid": "Key", "mine_code": "Mine", "mine_name": "Name of the mine", "damage_kind": "Kind", "year": "Year", "area_m2": "Geodesic area, m2"}}, {"id": "change", "fields": {"ogc_fid": "Key", "code": "Patch", "mine_code": "Mine", "mine_name": "Name of the mine", "change": "new, persisting or treated", "damage_kind": "Kind", "from_year": "Earlier year", "to_year": "Later year", "area_m2": "Geodesic area, m2"}}]}';
