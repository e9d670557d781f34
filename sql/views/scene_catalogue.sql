-- Purpose: every scene with its outline, for QGIS and for lists of what there is.
-- Units: metres, shares 0..1. CRS: EPSG:4326.
-- Used by: QGIS, `lode report`, operators.
create view lode_api.scene_catalogue as
select
  s.scene_id as ogc_fid,
  s.product,
  s.version,
  e.key as sensor,
  s.acquired_on,
  extract(year from s.acquired_on)::integer as year,
  s.resolution_m,
  s.srid,
  s.width_px,
  s.height_px,
  array_to_string(s.band_names, ' ') as bands,
  s.processing_level,
  s.cloud_fraction,
  s.valid_fraction,
  s.superseded_by is null as is_current,
  s.tile_table,
  s.sha256,
  s.ingested_at,
  s.footprint::geometry(MultiPolygon, 4326) as geom
from lode.scene s
join lode.sensor e on e.sensor_id = s.sensor_id;

comment on view lode_api.scene_catalogue is
  'Scenes with the outline of their valid pixels; pixels lie in lode_raster under tile_table. EPSG:4326.';
comment on column lode_api.scene_catalogue.ogc_fid is 'Key: scene_id';
comment on column lode_api.scene_catalogue.product is 'Product name';
comment on column lode_api.scene_catalogue.version is 'Version of the product, from 1';
comment on column lode_api.scene_catalogue.sensor is 'Instrument key';
comment on column lode_api.scene_catalogue.acquired_on is 'Day of acquisition (UTC)';
comment on column lode_api.scene_catalogue.year is 'Year of acquisition';
comment on column lode_api.scene_catalogue.resolution_m is 'Pixel width, m';
comment on column lode_api.scene_catalogue.srid is 'EPSG code of the pixel grid';
comment on column lode_api.scene_catalogue.width_px is 'Columns, pixels';
comment on column lode_api.scene_catalogue.height_px is 'Rows, pixels';
comment on column lode_api.scene_catalogue.bands is 'Band names in stored order';
comment on column lode_api.scene_catalogue.processing_level is 'What the stored values mean';
comment on column lode_api.scene_catalogue.cloud_fraction is 'Share of valid pixels under cloud or shadow, 0..1';
comment on column lode_api.scene_catalogue.valid_fraction is 'Share of the grid that holds data, 0..1';
comment on column lode_api.scene_catalogue.is_current is 'False once a newer version replaced it';
comment on column lode_api.scene_catalogue.tile_table is 'Tile table in schema lode_raster';
comment on column lode_api.scene_catalogue.sha256 is 'SHA-256 of the source file';
comment on column lode_api.scene_catalogue.ingested_at is 'When it became visible';
comment on column lode_api.scene_catalogue.geom is 'Outline of the valid pixels, EPSG:4326';
