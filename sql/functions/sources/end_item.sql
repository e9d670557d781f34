-- Purpose: a report is asked for when nothing of its source is under way any more.
-- Rules: looked at when the transaction commits, one transaction after the other for a source: of two that end its
--   last items at the same time, the second one sees both.
-- Used by: the trigger on lode.ingest_item.
create function lode_api.end_item() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from lode.ingest_source s
    where s.ingest_source_id = new.ingest_source_id and s.report_folder is not null
  ) then
    return null;
  end if;
  perform pg_advisory_xact_lock(x'10DE0006'::integer, new.ingest_source_id);
  if not exists (
    select from lode.ingest_item i
    where i.ingest_source_id = new.ingest_source_id
      and (i.status in ('found', 'fetching', 'fetched', 'interpreting') or (i.status = 'ingested' and i.run_id is not null))
  ) and exists (
    select from lode.ingest_item i
    where i.ingest_source_id = new.ingest_source_id and i.status = 'published'
  ) then
    perform lode_api.enqueue(
      'report', 'report_source', jsonb_build_object('ingest_source_id', new.ingest_source_id),
      format('report of source %s', new.ingest_source_id)
    );
  end if;
  return null;
end
$$;

comment on function lode_api.end_item() is
  'Trigger: asks for a report when nothing of its source is under way any more.';
