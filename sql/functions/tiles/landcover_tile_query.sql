-- Purpose: lode_api.landcover_tile for martin, which takes no function whose fourth argument is no json.
-- Rules: the comment is TileJSON because martin reads it as such.
-- Used by: martin.
create function lode_api.landcover_tile_query(z integer, x integer, y integer, query json default null)
returns bytea
language sql stable parallel safe
begin atomic
  select lode_api.landcover_tile(z, x, y, lode_api.tile_year(query));
end;

comment on function lode_api.landcover_tile_query(integer, integer, integer, json) is
  '{"description": "Land cover of a year, by class: ?year=2021; default the newest with a map", '
  '"minzoom": 0, "maxzoom": 16, '
  '"vector_layers": [{"id": "landcover", "fields": {"ogc_fid": "Key of the polygon", "land_class_code": "Class code", "land_class": "Class key", "land_class_name": "Class, English", "land_class_name_zh": "Class, Chinese", "colour": "Map colour", "area_m2": "Geodesic area, m2", "mean_probability": "0..1"}}]}';
