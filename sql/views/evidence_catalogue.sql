-- Purpose: layers of evidence with the study area they lie in.
-- CRS: EPSG:4326.
-- Used by: QGIS, `lode prospect list`.
create view lode_api.evidence_catalogue as
select
  e.evidence_layer_id as ogc_fid,
  a.name as area,
  e.name,
  e.kind,
  e.element,
  e.unit,
  a.srid,
  a.resolution_m,
  a.width_px,
  a.height_px,
  e.source_name,
  e.source_resolution_m,
  e.resampling,
  e.shift_x_px,
  e.shift_y_px,
  e.valid_fraction,
  e.tile_table,
  e.sha256,
  e.ingested_at,
  e.error_kind,
  e.gridding,
  a.geom
from lode.evidence_layer e
join lode.evidence_area a on a.evidence_area_id = e.evidence_area_id;

comment on view lode_api.evidence_catalogue is
  'Layers of evidence for ore with the ground that is judged; values lie in lode_raster under tile_table. EPSG:4326.';
comment on column lode_api.evidence_catalogue.ogc_fid is 'Key: evidence_layer_id';
comment on column lode_api.evidence_catalogue.area is 'Study area';
comment on column lode_api.evidence_catalogue.name is 'Name within the area';
comment on column lode_api.evidence_catalogue.kind is 'geochemistry, geophysics, geology or spectral';
comment on column lode_api.evidence_catalogue.element is 'Element or oxide it is the content of';
comment on column lode_api.evidence_catalogue.unit is 'Unit of its values';
comment on column lode_api.evidence_catalogue.srid is 'EPSG code of the grid';
comment on column lode_api.evidence_catalogue.resolution_m is 'Cell width, m';
comment on column lode_api.evidence_catalogue.width_px is 'Columns, cells';
comment on column lode_api.evidence_catalogue.height_px is 'Rows, cells';
comment on column lode_api.evidence_catalogue.source_name is 'File it came from';
comment on column lode_api.evidence_catalogue.source_resolution_m is 'Cell width in the file, m';
comment on column lode_api.evidence_catalogue.resampling is 'How it was brought onto the grid';
comment on column lode_api.evidence_catalogue.shift_x_px is
  'How far its cells lay east of the grid''s, cells';
comment on column lode_api.evidence_catalogue.shift_y_px is
  'How far its cells lay south of the grid''s, cells';
comment on column lode_api.evidence_catalogue.valid_fraction is
  'Share of the judged ground with a value, 0..1';
comment on column lode_api.evidence_catalogue.tile_table is 'Tile table in schema lode_raster';
comment on column lode_api.evidence_catalogue.sha256 is 'SHA-256 of the file';
comment on column lode_api.evidence_catalogue.ingested_at is 'When it was stored';
comment on column lode_api.evidence_catalogue.error_kind is
  'What the second band of its tiles holds; null: they have one band';
comment on column lode_api.evidence_catalogue.gridding is
  'How samples were gridded, and how well; null: it came as a raster';
comment on column lode_api.evidence_catalogue.geom is 'Ground that is judged, EPSG:4326';
