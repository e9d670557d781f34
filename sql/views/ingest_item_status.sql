-- Purpose: every scene that was found in a source, how far it came, and why it went no further.
-- Units: shares 0..1. CRS: EPSG:4326.
-- Used by: `lode source show`, operators, QGIS.
create view lode_api.ingest_item_status as
select
  i.ingest_item_id as ogc_fid,
  s.name as source,
  i.item_key,
  i.href,
  i.status,
  i.attempt,
  i.error,
  i.acquired_on,
  i.cloud_fraction,
  i.fetched_bytes,
  i.scene_id,
  c.product,
  c.version as product_version,
  i.run_id,
  r.status as run_status,
  i.report,
  i.sha256,
  i.found_at,
  i.started_at,
  i.ingested_at,
  i.published_at,
  i.reported_at,
  i.footprint::geometry(MultiPolygon, 4326) as geom
from lode.ingest_item i
join lode.ingest_source s on s.ingest_source_id = i.ingest_source_id
left join lode.scene c on c.scene_id = i.scene_id
left join lode.run r on r.run_id = i.run_id;

comment on view lode_api.ingest_item_status is 'What was found in sources and how far it came. EPSG:4326.';
comment on column lode_api.ingest_item_status.ogc_fid is 'Key: ingest_item_id';
comment on column lode_api.ingest_item_status.source is 'Name of the source';
comment on column lode_api.ingest_item_status.item_key is 'Collection and id of the STAC item, or path in the folder';
comment on column lode_api.ingest_item_status.href is 'Where it lies';
comment on column lode_api.ingest_item_status.status is
  'found, fetching, fetched, ingested, interpreting, published, reported, skipped or failed';
comment on column lode_api.ingest_item_status.attempt is 'Times its ingest was started';
comment on column lode_api.ingest_item_status.error is 'Why it was skipped or failed, or how the last attempt ended';
comment on column lode_api.ingest_item_status.acquired_on is 'Day of acquisition as the catalogue says (UTC)';
comment on column lode_api.ingest_item_status.cloud_fraction is 'Share of cloud as the catalogue says, 0..1';
comment on column lode_api.ingest_item_status.fetched_bytes is 'Bytes that were fetched or read';
comment on column lode_api.ingest_item_status.scene_id is 'The scene it became';
comment on column lode_api.ingest_item_status.product is 'Product name of that scene';
comment on column lode_api.ingest_item_status.product_version is 'Version of that scene';
comment on column lode_api.ingest_item_status.run_id is 'Its interpretation';
comment on column lode_api.ingest_item_status.run_status is 'How far that is';
comment on column lode_api.ingest_item_status.report is 'Folder of the report that tells of it';
comment on column lode_api.ingest_item_status.sha256 is 'SHA-256 of the scene''s content';
comment on column lode_api.ingest_item_status.found_at is 'When it was found';
comment on column lode_api.ingest_item_status.started_at is 'Start of the last attempt';
comment on column lode_api.ingest_item_status.ingested_at is 'When its scene was stored';
comment on column lode_api.ingest_item_status.published_at is 'When its interpretation was published';
comment on column lode_api.ingest_item_status.reported_at is 'When its report was complete';
comment on column lode_api.ingest_item_status.geom is
  'Outline of the scene, before that as the catalogue says, EPSG:4326; null: not known';
