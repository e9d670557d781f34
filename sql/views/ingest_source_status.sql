-- Purpose: sources of scenes: when each is looked through next, what went wrong last, and how far its scenes are.
-- Units: shares 0..1. CRS: EPSG:4326.
-- Used by: `lode source list`, operators, QGIS.
create view lode_api.ingest_source_status as
select
  s.ingest_source_id as ogc_fid,
  s.name,
  s.kind,
  s.location,
  s.enabled,
  s.cron,
  s.next_scan_at,
  s.last_scan_at,
  s.last_error,
  m.name as model,
  s.cloud_limit,
  s.from_day,
  s.to_day,
  array_to_string(s.collections, ' ') as collections,
  array_to_string(s.mine_codes, ' ') as mine_codes,
  s.report_folder,
  coalesce(i.items, 0)::integer as item_count,
  coalesce(i.under_way, 0)::integer as under_way_count,
  coalesce(i.stored, 0)::integer as stored_count,
  coalesce(i.published, 0)::integer as published_count,
  coalesce(i.skipped, 0)::integer as skipped_count,
  coalesce(i.failed, 0)::integer as failed_count,
  coalesce(i.fetched_bytes, 0)::bigint as fetched_bytes,
  s.created_by,
  s.created_at,
  s.changed_by,
  s.area::geometry(MultiPolygon, 4326) as geom
from lode.ingest_source s
left join lode.model m on m.model_id = s.model_id
left join (
  select
    x.ingest_source_id,
    count(*) as items,
    count(*) filter (where x.status in ('found', 'fetching', 'fetched')
      or (x.status in ('ingested', 'interpreting') and x.run_id is not null)) as under_way,
    count(*) filter (where x.ingested_at is not null) as stored,
    count(*) filter (where x.status in ('published', 'reported')) as published,
    count(*) filter (where x.status = 'skipped') as skipped,
    count(*) filter (where x.status = 'failed') as failed,
    sum(x.fetched_bytes) as fetched_bytes
  from lode.ingest_item x
  group by x.ingest_source_id
) as i on i.ingest_source_id = s.ingest_source_id;

comment on view lode_api.ingest_source_status is
  'Folders and catalogues that scenes come from, and how far their scenes are. EPSG:4326.';
comment on column lode_api.ingest_source_status.ogc_fid is 'Key: ingest_source_id';
comment on column lode_api.ingest_source_status.name is 'Name of the source';
comment on column lode_api.ingest_source_status.kind is 'folder, stac_api or stac_catalogue';
comment on column lode_api.ingest_source_status.location is 'Path or URL';
comment on column lode_api.ingest_source_status.enabled is 'False: paused';
comment on column lode_api.ingest_source_status.cron is 'When it is looked through (UTC); null: only when asked';
comment on column lode_api.ingest_source_status.next_scan_at is 'When it is due';
comment on column lode_api.ingest_source_status.last_scan_at is 'When it was looked through last';
comment on column lode_api.ingest_source_status.last_error is 'What went wrong then; null: nothing did';
comment on column lode_api.ingest_source_status.model is 'Network that interprets its scenes; null: none does';
comment on column lode_api.ingest_source_status.cloud_limit is 'Only scenes clouded no more than this, 0..1';
comment on column lode_api.ingest_source_status.from_day is 'Only scenes of this day (UTC) or later';
comment on column lode_api.ingest_source_status.to_day is 'Only scenes of this day (UTC) or earlier';
comment on column lode_api.ingest_source_status.collections is 'Only these STAC collections';
comment on column lode_api.ingest_source_status.mine_codes is 'Only scenes that meet one of these mines';
comment on column lode_api.ingest_source_status.report_folder is 'Where reports are written; null: none are';
comment on column lode_api.ingest_source_status.item_count is 'Versions of scenes that were found';
comment on column lode_api.ingest_source_status.under_way_count is 'Those not at their end yet';
comment on column lode_api.ingest_source_status.stored_count is 'Those that became a scene';
comment on column lode_api.ingest_source_status.published_count is 'Those whose interpretation was published';
comment on column lode_api.ingest_source_status.skipped_count is 'Those that were not wanted';
comment on column lode_api.ingest_source_status.failed_count is 'Those that failed';
comment on column lode_api.ingest_source_status.fetched_bytes is 'Bytes that were fetched or read for them';
comment on column lode_api.ingest_source_status.created_by is 'Who added it';
comment on column lode_api.ingest_source_status.created_at is 'When it was added';
comment on column lode_api.ingest_source_status.changed_by is
  'Who last changed what work it makes; its runs count against the quota of this login';
comment on column lode_api.ingest_source_status.geom is 'Its area, EPSG:4326; null: where the mines are';
