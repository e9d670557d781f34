-- Purpose: ask for the report of a source when nothing of it is under way any more.
-- Rules: one transaction after the other for a source: of two that end its last scenes at the same time, the second
--   one sees both. One that waits is not asked for twice. A scene or run that was deleted keeps no other waiting.
-- Used by: lode_api.end_item, workers that looked through the source.
create function lode_api.ask_report(source_id integer) returns boolean
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from lode.ingest_source s where s.ingest_source_id = source_id and s.report_folder is not null
  ) then
    return false;
  end if;
  perform pg_advisory_xact_lock(x'10DE0006'::integer, source_id);
  if exists (
    select from lode.ingest_item i
    where i.ingest_source_id = source_id
      and (i.status in ('found', 'fetching', 'fetched')
        or (i.status in ('ingested', 'interpreting') and i.run_id is not null))
  ) or not exists (
    select from lode.ingest_item i
    where i.ingest_source_id = source_id and i.status = 'published' and i.scene_id is not null
  ) then
    return false;
  end if;
  return lode_api.enqueue(
    'report', 'report_source', jsonb_build_object('ingest_source_id', source_id),
    format('report of source %s', source_id)
  ) is not null;
end
$$;

comment on function lode_api.ask_report(integer) is
  'Ask for the report of a source when nothing of it is under way any more; whether a job was made.';
